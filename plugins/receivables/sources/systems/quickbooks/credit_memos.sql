select
    id as credit_memo_id,
    customer_id,
    document_date as credit_memo_date,
    amount,
    currency_id as currency_code,
    company_id,
    doc_number as credit_memo_number,
    customer_memo as reason,
    exchange_rate,
    status,
    recorded_at as created_at,
    changed_at as updated_at
from documents
where kind = 'credit_memo'
