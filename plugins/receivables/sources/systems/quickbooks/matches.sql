-- One row per amount of a credit that a payment sets against a debit.
--
-- A payment's lines name invoices on one side and credit memos or journals on the other; its own money is what the
-- debits come to beyond these. A payment of 0 only applies credits.
with

live_payments as (

    select * from payment where not is_true(_fivetran_deleted)

),

-- Which of a journal's lines a payment settles is not said: the first one of the customer on that side.
journal_sides as (

    select journal_entry_id, customer_id, side, min(line_id) as line_id from journals group by all

),

lines as (

    select
        payment_line.payment_id,
        case
            when payment_line.invoice_id is not null then 'invoice'
            when payment_line.credit_memo_id is not null then 'credit_memo'
            when debit_journals.line_id is not null then 'invoice'
            when credit_journals.line_id is not null then 'journal'
            when coalesce(payment_line.check_id, payment_line.expense_id) is not null then 'refund'
        end as kind,
        coalesce(
            payment_line.invoice_id,
            payment_line.credit_memo_id,
            'JE-' || debit_journals.line_id,
            'JE-' || credit_journals.line_id,
            payment_line.check_id,
            payment_line.expense_id
        ) as document_id,
        sum(number_of(payment_line.amount)) as amount,
        min(live_payments.transaction_date) as applied_on,
        min(live_payments.created_at) as created_at
    from payment_line
    inner join live_payments on payment_line.payment_id = live_payments.id
    left join journal_sides as debit_journals
        on payment_line.journal_entry_id = debit_journals.journal_entry_id
        and live_payments.customer_id = debit_journals.customer_id
        and debit_journals.side = 'debit'
    left join journal_sides as credit_journals
        on payment_line.journal_entry_id = credit_journals.journal_entry_id
        and live_payments.customer_id = credit_journals.customer_id
        and credit_journals.side = 'credit'
    group by all

),

debits as (

    select * from lines where kind in ('invoice', 'refund') and amount > 0

),

other_credits as (

    select payment_id, kind, document_id, amount from lines where kind in ('credit_memo', 'journal') and amount > 0

),

-- The payment's own money comes last: credits are used up first, as the payment says.
credits as (

    select payment_id, kind, document_id, amount, 1 as place from other_credits
    union all
    select id, 'receipt', id, number_of(total_amount), 2
    from live_payments
    where number_of(total_amount) > 0

),

debit_stretches as (

    select *, sum(amount) over (partition by payment_id order by kind = 'refund', document_id) as until from debits

),

credit_stretches as (

    select *, sum(amount) over (partition by payment_id order by place, kind, document_id) as until from credits

)

select
    debit.payment_id,
    debit.kind as debit_kind,
    debit.document_id as debit_id,
    credit.kind as credit_kind,
    credit.document_id as credit_id,
    least(debit.until, credit.until) - greatest(debit.until - debit.amount, credit.until - credit.amount) as amount,
    debit.applied_on,
    debit.created_at
from debit_stretches as debit
inner join credit_stretches as credit
    on debit.payment_id = credit.payment_id
    and debit.until > credit.until - credit.amount
    and credit.until > debit.until - debit.amount
