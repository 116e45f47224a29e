select
    id as invoice_id,
    entity as customer_id,
    day_text(trandate) as invoice_date,
    amount_text(amount, foreigntotal) as amount,
    document_number as invoice_number,
    company_id,
    kind as document_type,
    cast(date_of(duedate) as varchar) as due_date,
    currency_code,
    exchangerate as exchange_rate,
    state as status,
    otherrefnum as reference,
    utc(moment_of(createddate)) as created_at,
    utc(moment_of(lastmodifieddate)) as updated_at
from transactions
where kind in ('invoice', 'debit_memo')
