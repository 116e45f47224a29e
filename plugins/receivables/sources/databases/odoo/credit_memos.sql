-- Customer refunds. Against which invoice they count is in the partial reconciles (applications).
with {% include '_receivable.sql' %}

select
    cast(moves.id as text) as credit_memo_id,
    moves.name as credit_memo_number,
    cast(moves.partner_id as text) as customer_id,
    moves.company_id,
    coalesce(moves.invoice_date, moves.date) as credit_memo_date,
    moves.date as posting_date,
    moves.currency_code,
    moves.amount_total as amount,
    moves.ref as reason,
    rates.exchange_rate,
    moves.status,
    case when moves.status = 'void' then moves.voided_on end as voided_on,
    moves.created_at,
    moves.updated_at
from moves
left join rates on rates.move_id = moves.id
where moves.purpose = 'refund'
