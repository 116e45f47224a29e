select
    id as credit_memo_id,
    customer_id,
    cast(dated_on as varchar) as credit_memo_date,
    cast(amount as varchar) as amount,
    currency_code,
    number as credit_memo_number,
    -- One from before the payment lowers its invoice; a later one is paid back or kept as credit.
    case when type = 'pre_payment' then invoice_id end as invoice_id,
    reason,
    case status when 'void' then 'void' else 'posted' end as status,
    cast(voided_on as varchar) as voided_on,
    utc(created_at) as created_at
from notes
