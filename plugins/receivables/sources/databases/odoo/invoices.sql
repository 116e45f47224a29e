-- Customer invoices and sales receipts. One that was cancelled after it was posted is void since that day; one that
-- never was posted stays a draft.
with {% include '_receivable.sql' %}

select
    cast(moves.id as text) as invoice_id,
    moves.name as invoice_number,
    cast(moves.partner_id as text) as customer_id,
    moves.company_id,
    case when moves.is_debit_note then 'debit_memo' else 'invoice' end as document_type,
    coalesce(moves.invoice_date, moves.date) as invoice_date,
    moves.date as posting_date,
    moves.invoice_date_due as due_date,
    moves.currency_code,
    moves.amount_total as amount,
    moves.amount_tax as tax_amount,
    rates.exchange_rate,
    moves.status,
    case when moves.status = 'void' then moves.voided_on end as voided_on,
    moves.ref as reference,
    moves.created_at,
    moves.updated_at
from moves
left join rates on rates.move_id = moves.id
where moves.purpose = 'invoice'
