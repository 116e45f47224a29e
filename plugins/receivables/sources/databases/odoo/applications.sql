-- Partial reconciles of a credit with an invoice, as they stand: one that is undone is deleted there. The day is the
-- day it was recorded.
with {% include '_receivable.sql' %},

{% include '_kept.sql' %},

numbered as (
    select
        receivable.id, receivable.move_id, receivable.amount_currency,
        {%- if has('account_move_line', 'discount_amount_currency') %}
        line.discount_date,
        -- Odoo keeps what is to be paid in time, not what may be kept.
        receivable.amount_currency - coalesce(line.discount_amount_currency, receivable.amount_currency)
            as discount_amount,
        {%- else %}
        {{ note('account_move_line has no discount_amount_currency: of several invoices the first that was paid has the discount') }}
        cast(null as date) as discount_date,
        0 as discount_amount,
        {%- endif %}
        row_number() over (partition by receivable.move_id order by receivable.date_maturity, receivable.id)
            as instalment_number,
        count(*) over (partition by receivable.move_id) as instalments
    from receivable
    {%- if has('account_move_line', 'discount_amount_currency') %}
    inner join account_move_line as line on line.id = receivable.id
    {%- endif %}
),

matches as (
    select
        partial.id, credit.purpose, credit.id as credit_id, invoice.id as invoice_id,
        partial.debit_amount_currency as amount,
        -- The early payment discount that the terms grant to who pays the line whole and in time.
        case
            when partial.debit_amount_currency = numbered.amount_currency and numbered.discount_date >= credit.date
                then numbered.discount_amount
            else 0
        end as earned,
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
),

-- A payment says how much the customer kept, not of which invoice: each has the discount that its terms grant. What
-- is left (a discount without terms) belongs to the first that was paid, of several on one day to the largest; and all
-- of it does where the terms grant more than was kept, because then nobody knows which of them was taken.
allotted as (
    select
        matches.*,
        coalesce(kept.amount, 0) as kept,
        sum(matches.earned) over (partition by matches.credit_id) as all_earned
    from matches
    left join kept on kept.move_id = matches.credit_id
),

discounts as (
    select
        allotted.*,
        case when allotted.all_earned <= allotted.kept then allotted.earned else 0 end
        + case
            when allotted.place > 1 then 0
            when allotted.all_earned <= allotted.kept then allotted.kept - allotted.all_earned
            else allotted.kept
        end as discount_amount
    from allotted
)

select
    cast(discounts.id as text) as application_id,
    case discounts.purpose when 'receipt' then 'receipt' when 'refund' then 'credit_memo' else 'journal' end
        as credit_type,
    cast(discounts.credit_id as text) as credit_id,
    cast(discounts.invoice_id as text) as invoice_id,
    discounts.amount - discounts.discount_amount as amount,
    discounts.discount_amount,
    discounts.applied_on,
    discounts.instalment_number,
    discounts.created_at,
    discounts.updated_at
from discounts
