select
    id as invoice_id,
    customer_id,
    coalesce(cast(date_of(transaction_date) as varchar), transaction_date) as invoice_date,
    amount_text(number_of(total_amount), total_amount) as amount,
    doc_number as invoice_number,
    company_of(department_id) as company_id,
    'invoice' as document_type,
    cast(date_of(due_date) as varchar) as due_date,
    currency_id as currency_code,
    total_tax as tax_amount,
    exchange_rate,
    case
        when number_of(total_amount) = 0 and contains(coalesce(private_note, ''), getvariable('void_note'))
            then 'void'
        else 'posted'
    end as status,
    utc(moment_of(created_at)) as created_at,
    utc(moment_of(updated_at)) as updated_at
from invoice
where not is_true(_fivetran_deleted)
union all
-- What a journal adds to a customer's debt can be paid like an invoice.
select
    'JE-' || line_id, customer_id, coalesce(cast(date_of(transaction_date) as varchar), transaction_date),
    amount_text(amount, given_amount), doc_number, null, 'debit_memo', null, currency_id, null, exchange_rate, 'posted',
    utc(moment_of(created_at)), utc(moment_of(updated_at))
from journals
where side = 'debit'
