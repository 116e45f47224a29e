select
    payment_id || ':' || credit_kind || ':' || credit_id || ':' || debit_id as application_id,
    credit_kind as credit_type,
    credit_id,
    debit_id as invoice_id,
    cast(amount as varchar) as amount,
    day_text(applied_on) as applied_on,
    utc(moment_of(created_at)) as created_at
from matches
where debit_kind = 'invoice'
