select
    id as credit_memo_id,
    entity as customer_id,
    day_text(trandate) as credit_memo_date,
    amount_text(amount, foreigntotal) as amount,
    currency_code,
    company_id,
    document_number as credit_memo_number,
    memo as reason,
    exchangerate as exchange_rate,
    state as status,
    utc(moment_of(createddate)) as created_at,
    utc(moment_of(lastmodifieddate)) as updated_at
from transactions
where kind = 'credit_memo'
