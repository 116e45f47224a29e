-- Partial reconciles of a credit with an invoice, as they stand: one that is undone is deleted there. The day is the
-- day it was recorded.
with {% include '_receivable.sql' %},

{% include '_kept.sql' %},

numbered as (
    select
        receivable.id, receivable.move_id,
        row_number() over (partition by receivable.move_id order by receivable.date_maturity, receivable.id)
            as instalment_number,
        count(*) over (partition by receivable.move_id) as instalments
    from receivable
),

matches as (
    select
        partial.id, credit.purpose, credit.id as credit_id, invoice.id as invoice_id,
        partial.debit_amount_currency as amount,
        cast(timezone({{ zone }}, partial.create_date at time zone 'UTC') as date) as applied_on,
        case when numbered.instalments > 1 then numbered.instalment_number end as instalment_number,
        partial.create_date at time zone 'UTC' as created_at,
        partial.write_date at time zone 'UTC' as updated_at,
        row_number() over (
            partition by credit.id
            order by cast(partial.create_date as date), partial.debit_amount_currency desc, partial.id
        ) as place
    from account_partial_reconcile as partial
    inner join numbered on numbered.id = partial.debit_move_id
    inner join moves as invoice on invoice.id = numbered.move_id and invoice.purpose = 'invoice'
    inner join receivable as credit_line on credit_line.id = partial.credit_move_id
    inner join moves as credit on credit.id = credit_line.move_id
    where partial.debit_amount_currency <> 0 and credit.purpose in ('receipt', 'refund', 'journal')
)

select
    cast(matches.id as text) as application_id,
    case matches.purpose when 'receipt' then 'receipt' when 'refund' then 'credit_memo' else 'journal' end
        as credit_type,
    cast(matches.credit_id as text) as credit_id,
    cast(matches.invoice_id as text) as invoice_id,
    matches.amount - case when matches.place = 1 then coalesce(kept.amount, 0) else 0 end as amount,
    case when matches.place = 1 then coalesce(kept.amount, 0) else 0 end as discount_amount,
    matches.applied_on,
    matches.instalment_number,
    matches.created_at,
    matches.updated_at
from matches
left join kept on kept.move_id = matches.credit_id
