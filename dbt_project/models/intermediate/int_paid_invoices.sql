with

-- What is known now; a claim that was taken back does not settle anything.
entries as (

    select * from {{ ref('int_ledger_claims') }}
    where known_until = {{ forever() }} and instalment_number >= 1

),

items as (

    select * from {{ ref('int_open_items') }} where known_until = {{ forever() }}

),

due_dates as (

    select
        document_id,
        max(company_id) as company_id,
        max(customer_id) as customer_id,
        max(due_date) as due_date,
        max(document_date) as document_date
    from items
    where instalment_number >= 1
    group by document_id

),

daily as (

    select
        document_id,
        effective_date,
        sum(amount) as change
    from entries
    group by document_id, effective_date

),

running as (

    select
        document_id,
        effective_date,
        sum(change) over (
            partition by document_id
            order by effective_date
            rows between unbounded preceding and current row
        ) as balance
    from daily

),

first_zero as (

    select document_id, min(effective_date) as settled_on
    from running
    where balance = 0
    group by document_id

),

-- What else than cash settled a part of it, and had not been taken back by then.
other_settlements as (

    select
        entries.document_id,
        -- Automatic memos give way to each other: only what they settle together counts.
        case
            when entries.entry_type = 'application' and entries.application_id is null then 'automatic'
            else entries.cause_document_id
        end as cause
    from entries
    inner join first_zero
        on entries.document_id = first_zero.document_id
        and entries.effective_date <= first_zero.settled_on
    where
        not (entries.event_type = 'posted' and entries.entry_type in ('invoice', 'debit_memo'))
        and not (entries.entry_type in ('application', 'discount') and entries.cause_type = 'receipt')
    group by
        entries.document_id,
        case
            when entries.entry_type = 'application' and entries.application_id is null then 'automatic'
            else entries.cause_document_id
        end
    having sum(entries.amount) <> 0

),

-- Settled by cash alone: what was credited, written off or voided says nothing about paying.
paid as (

    select
        due_dates.document_id,
        due_dates.company_id,
        due_dates.customer_id,
        due_dates.document_date,
        due_dates.due_date,
        first_zero.settled_on,
        {{ days_between('due_dates.document_date', 'first_zero.settled_on') }} as days_to_pay,
        {{ days_between('due_dates.due_date', 'first_zero.settled_on') }} as days_late
    from first_zero
    inner join due_dates
        on first_zero.document_id = due_dates.document_id
    left join (select distinct document_id from other_settlements) as others
        on first_zero.document_id = others.document_id
    where others.document_id is null

)

select * from paid
