select
    receipt_id,
    customer_id,
    cast(cast(paid_at as date) as varchar) as receipt_date,
    cast(amount as varchar) as amount,
    currency_code,
    method,
    utc(paid_at) as created_at
from paid
