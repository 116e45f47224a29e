with

invoices as (

    select * from {{ ref('int_documents') }}
    where document_type in ('invoice', 'debit_memo')

),

schedule_rows as (

    select * from {{ ref('stg_instalments') }}

),

scheduled_invoices as (

    select distinct invoice_id from schedule_rows

),

-- The days on which an invoice or any row of its schedule changed.
known_days as (

    select
        invoices.document_id,
        invoices.known_on as known_at
    from invoices
    inner join scheduled_invoices
        on invoices.document_id = scheduled_invoices.invoice_id
    union
    select
        schedule_rows.invoice_id as document_id,
        schedule_rows.known_on as known_at
    from schedule_rows

),

known_intervals as (

    select
        document_id,
        known_at,
        coalesce(
            lead(known_at) over (partition by document_id order by known_at), {{ forever() }}
        ) as next_known_at
    from known_days

),

invoices_then as (

    select
        invoices.document_id,
        invoices.amount,
        invoices.due_date,
        invoices.end_known_on,
        greatest(invoices.known_on, known_intervals.known_at) as known_on,
        least(invoices.known_until, known_intervals.next_known_at) as known_until
    from known_intervals
    inner join invoices
        on known_intervals.document_id = invoices.document_id
        and known_intervals.known_at < invoices.known_until
        and known_intervals.next_known_at > invoices.known_on

),

rows_then as (

    select
        invoices_then.document_id,
        invoices_then.amount as invoice_amount,
        invoices_then.known_on,
        invoices_then.known_until,
        schedule_rows.instalment_number,
        schedule_rows.due_date,
        schedule_rows.amount,
        sum(schedule_rows.amount) over (
            partition by invoices_then.document_id, invoices_then.known_on
        ) as scheduled_amount
    from invoices_then
    inner join schedule_rows
        on invoices_then.document_id = schedule_rows.invoice_id
        and not schedule_rows.is_removed
        -- An ended invoice keeps the schedule it had on the day before its end became known.
        and (
            (
                invoices_then.end_known_on is null
                and invoices_then.known_on >= schedule_rows.known_on
                and invoices_then.known_on < schedule_rows.known_until
            )
            or (
                invoices_then.end_known_on > schedule_rows.known_on
                and invoices_then.end_known_on <= schedule_rows.known_until
            )
        )

),

-- A schedule that does not add up to its invoice is no schedule (see int_refused_rows).
valid_rows as (

    select
        document_id,
        instalment_number,
        due_date,
        amount,
        known_on,
        known_until,
        row_number() over (
            partition by document_id, known_on order by due_date, instalment_number
        ) as position
    from rows_then
    where scheduled_amount = invoice_amount

),

validly_scheduled as (

    select distinct
        document_id,
        known_on
    from valid_rows

),

without_valid_rows as (

    select
        invoices_then.document_id,
        1 as instalment_number,
        invoices_then.due_date,
        invoices_then.amount,
        invoices_then.known_on,
        invoices_then.known_until,
        1 as position
    from invoices_then
    left join validly_scheduled
        on invoices_then.document_id = validly_scheduled.document_id
        and invoices_then.known_on = validly_scheduled.known_on
    where validly_scheduled.document_id is null

),

never_scheduled as (

    select
        invoices.document_id,
        1 as instalment_number,
        invoices.due_date,
        invoices.amount,
        invoices.known_on,
        invoices.known_until,
        1 as position
    from invoices
    left join scheduled_invoices
        on invoices.document_id = scheduled_invoices.invoice_id
    where scheduled_invoices.invoice_id is null

),

instalments as (

    select
        document_id,
        cast(instalment_number as integer) as instalment_number,
        due_date,
        amount,
        known_on,
        known_until,
        cast(position as integer) as position,
        true as is_scheduled
    from valid_rows
    union all
    select
        document_id,
        cast(instalment_number as integer) as instalment_number,
        due_date,
        amount,
        known_on,
        known_until,
        cast(position as integer) as position,
        true as is_scheduled
    from without_valid_rows
    union all
    select
        document_id,
        cast(instalment_number as integer) as instalment_number,
        due_date,
        amount,
        known_on,
        known_until,
        cast(position as integer) as position,
        false as is_scheduled
    from never_scheduled

)

select * from instalments
