-- Money in: the entries of payments, and of bank statement lines that were matched without one.
with {% include '_receivable.sql' %},

{% include '_kept.sql' %}

select
    cast(moves.id as text) as receipt_id,
    moves.name as receipt_number,
    cast(min(receivable.partner_id) as text) as customer_id,
    moves.company_id,
    moves.date as receipt_date,
    moves.date as posting_date,
    line_currency.name as currency_code,
    -sum(receivable.amount_currency) - coalesce(max(kept.amount), 0) as amount,
    max(rates.exchange_rate) as exchange_rate,
    max(moves.ref) as bank_reference,
    moves.status,
    case when moves.status = 'void' then moves.voided_on end as voided_on,
    moves.created_at,
    moves.updated_at
from moves
inner join receivable on receivable.move_id = moves.id
inner join res_currency as line_currency on line_currency.id = receivable.currency_id
left join rates on rates.move_id = moves.id
left join kept on kept.move_id = moves.id
where moves.purpose = 'receipt' and receivable.amount_currency < 0
group by
    moves.id, moves.name, moves.company_id, moves.date, line_currency.name, moves.status, moves.voided_on,
    moves.created_at, moves.updated_at
