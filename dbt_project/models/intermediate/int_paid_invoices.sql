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

    select
        document_id,
        min(effective_date) as settled_on
    from running
    where balance = 0
    group by document_id

),

-- What else than cash was in effect that day, even if it only fed the excess.
other_settlements as (

    select settlements.invoice_id as document_id
    from {{ ref('int_settlements') }} as settlements
    inner join first_zero
        on settlements.invoice_id = first_zero.document_id
        and settlements.effective_date <= first_zero.settled_on
        and coalesce(settlements.ended_on, {{ forever() }}) > first_zero.settled_on
    where
        settlements.known_until = {{ forever() }}
        and settlements.settled_by <> 'receipt'
        and not settlements.is_automatic

),

-- Automatic memos give way: they count with what they still settle together. A void is no payment.
given_or_ended as (

    select entries.document_id
    from entries
    inner join first_zero
        on entries.document_id = first_zero.document_id
        and entries.effective_date <= first_zero.settled_on
    where
        entries.entry_type = 'application' and entries.application_id is null
        or entries.ledger_side = 'document' and entries.event_type = 'ended'
    group by entries.document_id, entries.ledger_side
    having sum(entries.amount) <> 0

),

others as (

    select document_id from other_settlements
    union
    select document_id from given_or_ended

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
    left join others
        on first_zero.document_id = others.document_id
    where others.document_id is null

)

select * from paid
