select
    receipt_id || ':' || invoice_id as application_id,
    'receipt' as credit_type,
    receipt_id as credit_id,
    invoice_id,
    cast(amount as varchar) as amount,
    cast(cast(paid_at as date) as varchar) as applied_on,
    utc(paid_at) as created_at
from paid
