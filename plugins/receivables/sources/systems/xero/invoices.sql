select
    invoice_id,
    contact_id as customer_id,
    day_text(date) as invoice_date,
    amount_text(number_of(total), total) as amount,
    invoice_number,
    'invoice' as document_type,
    cast(date_of(due_date) as varchar) as due_date,
    currency_code,
    total_tax as tax_amount,
    booking_rate as exchange_rate,
    case status when 'VOIDED' then 'void' when 'DRAFT' then 'draft' when 'SUBMITTED' then 'draft' else 'posted' end
        as status,
    reference,
    utc(moment_of(updated_date_utc)) as updated_at
from sales
