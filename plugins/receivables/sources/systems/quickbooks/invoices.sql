select
    id as invoice_id,
    customer_id,
    document_date as invoice_date,
    amount,
    doc_number as invoice_number,
    company_id,
    'invoice' as document_type,
    cast(date_of(due_date) as varchar) as due_date,
    currency_id as currency_code,
    total_tax as tax_amount,
    exchange_rate,
    status,
    recorded_at as created_at,
    changed_at as updated_at
from documents
where kind = 'invoice'
union all
-- What a journal adds to a customer's debt can be paid like an invoice.
select
    'JE-' || line_id, customer_id, day_text(transaction_date), amount_text(amount, given_amount), doc_number, null,
    'debit_memo', null, currency_id, null, exchange_rate, 'posted',
    utc(moment_of(created_at)), utc(moment_of(updated_at))
from journals
where side = 'debit'
