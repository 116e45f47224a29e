with

entries as (

    select * from {{ ref('int_ledger_entries') }}
    where instalment_number >= 1

),

items as (

    select * from {{ ref('int_open_items') }} where known_until = {{ forever() }}

),

due_dates as (

    select document_id, max(due_date) as due_date, max(document_date) as document_date
    from items
    where instalment_number >= 1
    group by document_id

),

daily as (

    select
        document_id,
        company_id,
        customer_id,
        effective_date,
        sum(amount) as change,
        sum(
            case
                when event_type = 'posted' and entry_type in ('invoice', 'debit_memo') then 0
                when entry_type in ('application', 'discount') and cause_type = 'receipt' then 0
                else amount
            end
        ) as other_change
    from entries
    group by document_id, company_id, customer_id, effective_date

),

running as (

    select
        document_id,
        company_id,
        customer_id,
        effective_date,
        sum(change) over until_day as balance,
        sum(abs(other_change)) over until_day as other_settled
    from daily
    window until_day as (
        partition by document_id
        order by effective_date
        rows between unbounded preceding and current row
    )

),

first_zero as (

    select document_id, min(effective_date) as settled_on
    from running
    where balance = 0
    group by document_id

),

-- Settled by cash alone: what was credited, written off or voided says nothing about paying.
paid as (

    select
        running.document_id,
        running.company_id,
        running.customer_id,
        due_dates.document_date,
        due_dates.due_date,
        first_zero.settled_on,
        {{ days_between('due_dates.document_date', 'first_zero.settled_on') }} as days_to_pay,
        {{ days_between('due_dates.due_date', 'first_zero.settled_on') }} as days_late
    from first_zero
    inner join running
        on first_zero.document_id = running.document_id
        and first_zero.settled_on = running.effective_date
    inner join due_dates
        on first_zero.document_id = due_dates.document_id
    where running.other_settled = 0

)

select * from paid
