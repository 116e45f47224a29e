-- The payment terms of an invoice that has several: one receivable line each.
with {% include '_receivable.sql' %}

select
    cast(moves.id as text) as invoice_id,
    row_number() over (partition by moves.id order by receivable.date_maturity, receivable.id)
        as instalment_number,
    coalesce(receivable.date_maturity, moves.invoice_date_due, moves.date) as due_date,
    receivable.amount_currency as amount,
    moves.created_at,
    greatest(moves.updated_at, receivable.write_date at time zone 'UTC') as updated_at
from receivable
inner join moves on moves.id = receivable.move_id
where moves.purpose = 'invoice'
    and exists (
        select 1 from receivable as other where other.move_id = receivable.move_id and other.id <> receivable.id
    )
