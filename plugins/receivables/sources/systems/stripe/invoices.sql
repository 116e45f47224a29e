select
    id as invoice_id,
    customer_id,
    cast(billed_on as varchar) as invoice_date,
    amount_text(amount, total) as amount,
    number as invoice_number,
    'invoice' as document_type,
    cast(date_of(due_date) as varchar) as due_date,
    currency_code,
    cast(number_of(tax) * unit as varchar) as tax_amount,
    -- An uncollectible invoice was owed until it was written off.
    case status when 'draft' then 'draft' when 'void' then 'void' else 'posted' end as status,
    cast(date_of(status_transitions_voided_at) as varchar) as voided_on,
    description as reference,
    utc(coalesce(moment_of(created), cast(billed_on as timestamp))) as created_at
from bills
