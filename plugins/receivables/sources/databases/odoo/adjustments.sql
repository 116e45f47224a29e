-- Journals on a receivable account, write-offs and discounts by journal, and money paid back.
with {% include '_receivable.sql' %},

-- What each line was matched with, on either side.
matched as (
    select
        partial.id, partial.debit_move_id as line_id, partial.debit_amount_currency as amount,
        credit_line.move_id as other_move_id
    from account_partial_reconcile as partial
    inner join receivable as credit_line on credit_line.id = partial.credit_move_id
    union all
    select partial.id, partial.credit_move_id, partial.credit_amount_currency, debit_line.move_id
    from account_partial_reconcile as partial
    inner join receivable as debit_line on debit_line.id = partial.debit_move_id
),

-- Write-offs and discounts settle the invoice that they are matched with; money paid back uses up a credit.
parts as (
    select
        concat(receivable.id, '/', matched.id) as part_id, receivable.move_id, receivable.partner_id,
        receivable.currency_id, matched.amount, matched.other_move_id
    from receivable
    inner join matched on matched.line_id = receivable.id
    where matched.amount <> 0
    union all
    select
        concat(receivable.id, '/rest'), receivable.move_id, receivable.partner_id, receivable.currency_id,
        abs(receivable.amount_currency) - coalesce(done.amount, 0), null
    from receivable
    left join (
        select matched.line_id, sum(matched.amount) as amount from matched group by matched.line_id
    ) as done on done.line_id = receivable.id
    where abs(receivable.amount_currency) > coalesce(done.amount, 0)
),

adjustments as (
    select
        parts.part_id as adjustment_id,
        case moves.purpose when 'paid_back' then 'refund' else moves.purpose end as adjustment_type,
        moves.id as move_id, parts.partner_id, parts.currency_id, parts.amount,
        cast(null as date) as due_date,
        case when other.purpose = 'invoice' and moves.purpose <> 'paid_back' then cast(other.id as text) end
            as invoice_id,
        case
            when moves.purpose <> 'paid_back' then null
            when other.purpose = 'refund' then 'credit_memo'
            when other.purpose = 'receipt' then 'receipt'
            when other.purpose = 'journal' then 'journal'
        end as credit_type,
        case
            when moves.purpose = 'paid_back' and other.purpose in ('refund', 'receipt', 'journal')
                then cast(other.id as text)
        end as credit_id
    from parts
    inner join moves on moves.id = parts.move_id
    left join moves as other on other.id = parts.other_move_id
    where moves.purpose in ('write_off', 'discount', 'paid_back')
    union all
    -- A credit journal is one document, whatever it was set against.
    select
        cast(moves.id as text), 'journal_credit', moves.id, min(receivable.partner_id), receivable.currency_id,
        -sum(receivable.amount_currency), null, null, null, null
    from receivable
    inner join moves on moves.id = receivable.move_id
    where moves.purpose = 'journal' and receivable.amount_currency < 0
    group by moves.id, receivable.currency_id
    union all
    select
        concat(receivable.id, '/debit'), 'journal_debit', moves.id, receivable.partner_id,
        receivable.currency_id, receivable.amount_currency, receivable.date_maturity, null, null, null
    from receivable
    inner join moves on moves.id = receivable.move_id
    where moves.purpose = 'journal' and receivable.amount_currency > 0
)

select
    adjustments.adjustment_id,
    moves.name as adjustment_number,
    adjustments.adjustment_type,
    moves.date as adjustment_date,
    moves.date as posting_date,
    adjustments.due_date,
    adjustments.amount,
    cast(adjustments.partner_id as text) as customer_id,
    adjustments.invoice_id,
    adjustments.credit_type,
    adjustments.credit_id,
    moves.ref as reason,
    moves.company_id,
    currency.name as currency_code,
    rates.exchange_rate,
    moves.status,
    case when moves.status = 'void' then moves.voided_on end as voided_on,
    moves.created_at,
    moves.updated_at
from adjustments
inner join moves on moves.id = adjustments.move_id
inner join res_currency as currency on currency.id = adjustments.currency_id
left join rates on rates.move_id = moves.id
