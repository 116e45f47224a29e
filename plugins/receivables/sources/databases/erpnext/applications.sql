-- What was set against which invoice, from the payment ledger. The day is the day it was recorded.
with {% include '_ledger.sql' %},

pairs as (
    select
        ledger.voucher_type, ledger.voucher_no, ledger.against_voucher_no, ledger.party,
        -sum(ledger.amount) as amount,
        min(ledger.creation) as creation,
        max(ledger.modified) as modified,
        row_number() over (
            partition by ledger.voucher_type, ledger.voucher_no
            order by cast(min(ledger.creation) as date), sum(ledger.amount), ledger.against_voucher_no
        ) as place
    from ledger
    where ledger.against_voucher_type = 'Sales Invoice' and ledger.against_voucher_no <> ledger.voucher_no
        and ledger.amount < 0
    group by ledger.voucher_type, ledger.voucher_no, ledger.against_voucher_no, ledger.party
),

-- Money that the customer kept: a payment entry says how much, not of which invoice.
deductions as (
    select
        deduction.parent,
        round(sum(deduction.amount) / coalesce(nullif(max(payment.source_exchange_rate), 0), 1), 2) as amount
    from "tabPayment Entry Deduction" as deduction
    inner join "tabPayment Entry" as payment on payment.name = deduction.parent
    {%- if has('tabPayment Entry Deduction', 'is_exchange_gain_loss') %}
    where coalesce(deduction.is_exchange_gain_loss, 0) = 0
    {%- else %}
    {{ note('Payment Entry Deduction has no is_exchange_gain_loss: the exchange gain account of the company says which deductions are no discount') }}
    inner join "tabCompany" as company on company.name = payment.company
    where deduction.account <> coalesce(company.exchange_gain_loss_account, '')
    {%- endif %}
    group by deduction.parent
    having sum(deduction.amount) > 0
),

-- Rows of a payment entry name the part of the schedule that they pay, and keep the day they were added.
parts as (
    select
        reference.parent, reference.reference_name,
        {%- if has('tabPayment Entry Reference', 'payment_term') %}
        (
            select min(schedule.idx) from "tabPayment Schedule" as schedule
            where schedule.parent = reference.reference_name and schedule.parenttype = 'Sales Invoice'
                and schedule.payment_term = reference.payment_term
        ) as instalment_number,
        {%- else %}
        {{ note('Payment Entry Reference has no payment_term: payments name no instalment') }}
        cast(null as decimal(9, 0)) as instalment_number,
        {%- endif %}
        {%- if has('tabPayment Schedule', 'discount_date') %}
        -- The early payment discount that the terms grant to who pays the part whole and in time.
        coalesce(
            (
                select max(
                    case
                        when invoice.party_account_currency <> invoice.currency then 0
                        when schedule.discount_type = 'Percentage'
                            then round(invoice.grand_total * schedule.discount / 100, 2)
                        else schedule.discount
                    end
                )
                from "tabPayment Schedule" as schedule
                inner join "tabSales Invoice" as invoice on invoice.name = schedule.parent
                where schedule.parent = reference.reference_name and schedule.parenttype = 'Sales Invoice'
                    and schedule.payment_amount = reference.allocated_amount
                    and schedule.discount_date >= payment.posting_date
                    and (
                        {%- if has('tabPayment Entry Reference', 'payment_term') %}
                        schedule.payment_term = reference.payment_term or
                        {%- endif %}
                        not exists (
                            select 1 from "tabPayment Schedule" as other
                            where other.parent = schedule.parent and other.parenttype = 'Sales Invoice'
                                and other.name <> schedule.name
                        )
                    )
            ),
            0
        ) as earned,
        {%- else %}
        {{ note('Payment Schedule has no discount_date: of several invoices the first that was paid has the discount') }}
        0 as earned,
        {%- endif %}
        reference.allocated_amount as amount,
        reference.creation,
        reference.idx,
        sum(reference.allocated_amount) over (partition by reference.parent, reference.reference_name) as whole,
        row_number() over (
            partition by reference.parent, reference.reference_name
            order by cast(reference.creation as date), reference.allocated_amount desc, reference.idx
        ) as place
    from "tabPayment Entry Reference" as reference
    inner join "tabPayment Entry" as payment on payment.name = reference.parent
    where reference.reference_doctype = 'Sales Invoice' and reference.parenttype = 'Payment Entry'
),

-- Each invoice has the discount that its terms grant. What is left (cents of rounding, or a discount without terms)
-- belongs to the first that was paid, of several on one day to the largest; and all of it does where the terms grant
-- more than was kept, because then nobody knows which of them was taken.
kept as (
    select
        deductions.parent, deductions.amount,
        case
            when sum(parts.earned) <= deductions.amount + 0.01 * count(*) then sum(parts.earned) else 0
        end as earned
    from deductions
    inner join parts on parts.parent = deductions.parent
    group by deductions.parent, deductions.amount
),

payments as (
    select
        case
            when parts.idx is null then concat(pairs.voucher_no, '/', pairs.against_voucher_no)
            else concat(pairs.voucher_no, '/', pairs.against_voucher_no, '/', parts.idx)
        end as application_id,
        pairs.voucher_no, pairs.against_voucher_no,
        coalesce(parts.amount, pairs.amount) as amount,
        case when kept.earned > 0 then coalesce(parts.earned, 0) else 0 end
        + case when pairs.place = 1 and coalesce(parts.place, 1) = 1 then coalesce(kept.amount - kept.earned, 0) else 0 end
            as discount_amount,
        cast(coalesce(parts.creation, pairs.creation) as date) as applied_on,
        parts.instalment_number, pairs.creation, pairs.modified
    from pairs
    left join parts
        on parts.parent = pairs.voucher_no and parts.reference_name = pairs.against_voucher_no
        and parts.whole = pairs.amount
    left join kept on kept.parent = pairs.voucher_no
    where pairs.voucher_type = 'Payment Entry'
)

select
    payments.application_id,
    'receipt' as credit_type,
    payments.voucher_no as credit_id,
    payments.against_voucher_no as invoice_id,
    payments.amount - payments.discount_amount as amount,
    payments.discount_amount,
    payments.applied_on,
    payments.instalment_number,
    payments.creation as created_at,
    payments.modified as updated_at
from payments
union all
select
    concat(pairs.voucher_no, '/', pairs.against_voucher_no),
    'credit_memo',
    pairs.voucher_no,
    pairs.against_voucher_no,
    pairs.amount,
    0,
    cast(pairs.creation as date),
    null,
    pairs.creation,
    pairs.modified
from pairs
where pairs.voucher_type = 'Sales Invoice'
union all
-- A journal carries a return over to an invoice, or is itself the credit.
select
    concat(pairs.voucher_no, '/', pairs.against_voucher_no),
    case
        when memos.credit_id is not null then 'credit_memo'
        when journals.purpose = 'receipt' then 'receipt'
        else 'journal'
    end,
    coalesce(memos.credit_id, concat(pairs.voucher_no, '/', pairs.party)),
    pairs.against_voucher_no,
    pairs.amount,
    0,
    cast(pairs.creation as date),
    null,
    pairs.creation,
    pairs.modified
from pairs
inner join journals on journals.name = pairs.voucher_no
left join (
    select ledger.voucher_no, min(ledger.against_voucher_no) as credit_id
    from ledger
    inner join "tabSales Invoice" as memo on memo.name = ledger.against_voucher_no and memo.is_return = 1
    where ledger.voucher_type = 'Journal Entry' and ledger.amount > 0
    group by ledger.voucher_no
) as memos on memos.voucher_no = pairs.voucher_no
where pairs.voucher_type = 'Journal Entry' and journals.purpose in ('journal', 'receipt')
union all
select
    concat(invoice.name, '/paid'),
    'receipt',
    concat(invoice.name, '/paid'),
    invoice.name,
    case
        when invoice.party_account_currency = invoice.currency
            then invoice.paid_amount - coalesce(invoice.change_amount, 0)
        else invoice.base_paid_amount - coalesce(invoice.base_change_amount, 0)
    end,
    0,
    invoice.posting_date,
    null,
    invoice.creation,
    invoice.modified
from "tabSales Invoice" as invoice
where invoice.is_pos = 1 and invoice.is_return = 0 and invoice.paid_amount > 0 and invoice.docstatus > 0
