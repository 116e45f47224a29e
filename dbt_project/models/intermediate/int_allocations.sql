with

complex_invoices as (

    select * from {{ ref('int_complex_invoices') }}

),

invoices as (

    select documents.*
    from {{ ref('int_documents') }} as documents
    inner join complex_invoices
        on documents.document_id = complex_invoices.invoice_id

),

instalments as (

    select instalments.*
    from {{ ref('int_instalments') }} as instalments
    inner join complex_invoices
        on instalments.document_id = complex_invoices.invoice_id

),

settlements as (

    select settlements.*
    from {{ ref('int_settlements') }} as settlements
    inner join complex_invoices
        on settlements.invoice_id = complex_invoices.invoice_id

),

-- How an invoice splits depends on everything known of it: one picture per day on which that changed.
known_days as (

    select document_id as invoice_id, known_on as known_at from invoices
    union
    select document_id as invoice_id, known_until as known_at from invoices
    where known_until < {{ forever() }}
    union
    select document_id as invoice_id, known_on as known_at from instalments
    union
    select invoice_id, known_on as known_at from settlements
    union
    select invoice_id, known_until as known_at from settlements
    where known_until < {{ forever() }}

),

known_intervals as (

    select
        invoice_id,
        known_at as known_on,
        coalesce(
            lead(known_at) over (partition by invoice_id order by known_at), {{ forever() }}
        ) as known_until
    from known_days

),

-- The restated view exists as known now only.
pictures as (

    select invoice_id, 'known' as view_name, known_on, known_until from known_intervals
    union all
    select invoice_id, 'restated' as view_name, known_on, known_until from known_intervals
    where known_until = {{ forever() }}

),

invoices_then as (

    select
        pictures.view_name,
        pictures.known_on as picture_on,
        pictures.known_until as picture_until,
        invoices.*
    from pictures
    inner join invoices
        on pictures.invoice_id = invoices.document_id
        and pictures.known_on >= invoices.known_on
        and pictures.known_on < invoices.known_until

),

settlements_then as (

    select
        invoices_then.view_name,
        invoices_then.picture_on,
        settlements.invoice_id,
        settlements.settlement_id,
        settlements.settled_by,
        settlements.is_automatic,
        settlements.credit_document_id,
        settlements.cause_document_id,
        settlements.application_id,
        numbered.instalment_number,
        settlements.amount,
        settlements.discount_amount,
        case when invoices_then.view_name = 'known' then settlements.effective_date
            else settlements.restated_date end as event_date,
        settlements.ended_on,
        settlements.end_reason
    from invoices_then
    inner join settlements
        on invoices_then.document_id = settlements.invoice_id
        and invoices_then.picture_on >= settlements.known_on
        and invoices_then.picture_on < settlements.known_until
    -- A named instalment that the schedule does not have counts as unnamed.
    left join instalments as numbered
        on settlements.invoice_id = numbered.document_id
        and settlements.instalment_number = numbered.instalment_number
        and invoices_then.picture_on >= numbered.known_on
        and invoices_then.picture_on < numbered.known_until

),

lasting_settlements as (

    select * from settlements_then where ended_on is null or ended_on > event_date

),

events as (

    select
        view_name,
        picture_on,
        document_id as invoice_id,
        document_id || ':posted' as event_id,
        'posted' as event_type,
        0 as event_rank,
        document_date as event_date,
        document_type as entry_type,
        document_type as cause_type,
        'posted' as reason,
        document_id as cause_document_id,
        cast(null as varchar(200)) as application_id,
        cast(null as varchar(200)) as memo_id,
        cast(null as integer) as instalment_number,
        1 as in_effect_change,
        {{ money('0') }} as settled_change
    from invoices_then
    union all
    select
        view_name,
        picture_on,
        document_id as invoice_id,
        document_id || ':ended' as event_id,
        'ended' as event_type,
        3 as event_rank,
        ended_on as event_date,
        document_type as entry_type,
        document_type as cause_type,
        end_reason as reason,
        document_id as cause_document_id,
        cast(null as varchar(200)) as application_id,
        cast(null as varchar(200)) as memo_id,
        cast(null as integer) as instalment_number,
        -1 as in_effect_change,
        {{ money('0') }} as settled_change
    from invoices_then
    where ended_on is not null
    union all
    select
        view_name,
        picture_on,
        invoice_id,
        settlement_id || ':applied' as event_id,
        'applied' as event_type,
        1 as event_rank,
        event_date,
        case when settled_by in ('write_off', 'discount') then settled_by else 'application' end
            as entry_type,
        settled_by as cause_type,
        case when settled_by in ('write_off', 'discount') then 'posted' else 'applied' end as reason,
        cause_document_id,
        application_id,
        case when is_automatic then cause_document_id end as memo_id,
        instalment_number,
        0 as in_effect_change,
        amount as settled_change
    from lasting_settlements
    union all
    select
        view_name,
        picture_on,
        invoice_id,
        settlement_id || ':applied:discount' as event_id,
        'applied' as event_type,
        1 as event_rank,
        event_date,
        'discount' as entry_type,
        settled_by as cause_type,
        'applied' as reason,
        cause_document_id,
        application_id,
        cast(null as varchar(200)) as memo_id,
        instalment_number,
        0 as in_effect_change,
        discount_amount as settled_change
    from lasting_settlements
    where discount_amount <> 0
    union all
    select
        view_name,
        picture_on,
        invoice_id,
        settlement_id || ':ended' as event_id,
        'ended' as event_type,
        2 as event_rank,
        ended_on as event_date,
        case when settled_by in ('write_off', 'discount') then settled_by else 'application' end
            as entry_type,
        settled_by as cause_type,
        end_reason as reason,
        cause_document_id,
        application_id,
        case when is_automatic then cause_document_id end as memo_id,
        instalment_number,
        0 as in_effect_change,
        -amount as settled_change
    from lasting_settlements
    where ended_on is not null
    union all
    select
        view_name,
        picture_on,
        invoice_id,
        settlement_id || ':ended:discount' as event_id,
        'ended' as event_type,
        2 as event_rank,
        ended_on as event_date,
        'discount' as entry_type,
        settled_by as cause_type,
        end_reason as reason,
        cause_document_id,
        application_id,
        cast(null as varchar(200)) as memo_id,
        instalment_number,
        0 as in_effect_change,
        -discount_amount as settled_change
    from lasting_settlements
    where ended_on is not null and discount_amount <> 0

),

ordered_events as (

    select
        events.*,
        row_number() over (
            partition by view_name, invoice_id, picture_on
            order by event_date, event_rank, event_id
        ) as event_number
    from events

),

-- Event by event, what each instalment can still take.
instalments_after as (

    select
        ordered_events.view_name,
        ordered_events.invoice_id,
        ordered_events.picture_on,
        ordered_events.event_number,
        instalments.instalment_number,
        instalments.position,
        instalments.amount * sum(ordered_events.in_effect_change) over event_order as capacity,
        sum(
            case
                when ordered_events.instalment_number = instalments.instalment_number
                    then ordered_events.settled_change
                else 0
            end
        ) over event_order as named_amount,
        sum(
            case when ordered_events.instalment_number is null then ordered_events.settled_change else 0 end
        ) over event_order as unnamed_amount,
        sum(ordered_events.settled_change) over event_order as settled_amount
    from ordered_events
    inner join instalments
        on ordered_events.invoice_id = instalments.document_id
        and ordered_events.picture_on >= instalments.known_on
        and ordered_events.picture_on < instalments.known_until
    window event_order as (
        partition by
            ordered_events.view_name,
            ordered_events.invoice_id,
            ordered_events.picture_on,
            instalments.instalment_number
        order by ordered_events.event_number
        rows between unbounded preceding and current row
    )

),

rooms as (

    select
        instalments_after.*,
        least(named_amount, capacity) as named_filled,
        capacity - least(named_amount, capacity) as room,
        coalesce(sum(capacity - least(named_amount, capacity)) over earlier_instalments, 0)
            as earlier_room,
        coalesce(sum(capacity) over earlier_instalments, 0) as earlier_capacity,
        sum(capacity) over (
            partition by view_name, invoice_id, picture_on, event_number
        ) as total_capacity
    from instalments_after
    window earlier_instalments as (
        partition by view_name, invoice_id, picture_on, event_number
        order by position
        rows between unbounded preceding and 1 preceding
    )

),

minor_units as (

    select
        rooms.*,
        invoices_then.allocation_policy,
        cast(case invoices_then.minor_unit when 0 then 1 when 3 then 1000 else 100 end as integer)
            as units,
        greatest(least(rooms.unnamed_amount, rooms.total_capacity), 0) as shared_amount
    from rooms
    inner join invoices_then
        on rooms.view_name = invoices_then.view_name
        and rooms.invoice_id = invoices_then.document_id
        and rooms.picture_on = invoices_then.picture_on

),

filled as (

    select
        minor_units.*,
        case
            when allocation_policy = 'pro_rata' and total_capacity > 0
                then least(
                    room,
                    {{ money(
                        "("
                        ~ whole_division(
                            "2 * cast(shared_amount * units as decimal(18, 0))"
                            ~ " * cast((earlier_capacity + capacity) * units as decimal(18, 0))"
                            ~ " + cast(total_capacity * units as decimal(18, 0))",
                            "2 * cast(total_capacity * units as decimal(18, 0))"
                        )
                        ~ " - "
                        ~ whole_division(
                            "2 * cast(shared_amount * units as decimal(18, 0))"
                            ~ " * cast(earlier_capacity * units as decimal(18, 0))"
                            ~ " + cast(total_capacity * units as decimal(18, 0))",
                            "2 * cast(total_capacity * units as decimal(18, 0))"
                        )
                        ~ ") / cast(units as decimal(18, 0))"
                    ) }}
                )
            else greatest(0, least(room, unnamed_amount - earlier_room))
        end as unnamed_filled
    from minor_units

),

open_instalments as (

    select
        view_name,
        invoice_id,
        picture_on,
        event_number,
        invoice_id || ':' || cast(instalment_number as varchar(20)) as open_item_id,
        invoice_id as document_id,
        instalment_number,
        room - unnamed_filled as balance
    from filled

),

excesses as (

    select
        view_name,
        invoice_id,
        picture_on,
        event_number,
        max(settled_amount) - sum(named_filled + unnamed_filled) as excess
    from filled
    group by view_name, invoice_id, picture_on, event_number

),

-- Memos that were applied because they name the invoice take the excess back, the last one first.
memos_then as (

    select
        lasting_settlements.view_name,
        lasting_settlements.invoice_id,
        lasting_settlements.picture_on,
        lasting_settlements.cause_document_id as memo_id,
        row_number() over (
            partition by
                lasting_settlements.view_name,
                lasting_settlements.invoice_id,
                lasting_settlements.picture_on
            order by memos.document_date desc, memos.document_id desc
        ) as memo_position
    from lasting_settlements
    inner join {{ ref('int_documents') }} as memos
        on lasting_settlements.cause_document_id = memos.document_id
        and lasting_settlements.picture_on >= memos.known_on
        and lasting_settlements.picture_on < memos.known_until
    where lasting_settlements.is_automatic

),

memos_after as (

    select
        ordered_events.view_name,
        ordered_events.invoice_id,
        ordered_events.picture_on,
        ordered_events.event_number,
        memos_then.memo_id,
        memos_then.memo_position,
        sum(
            case when ordered_events.memo_id = memos_then.memo_id then ordered_events.settled_change else 0 end
        ) over (
            partition by
                ordered_events.view_name,
                ordered_events.invoice_id,
                ordered_events.picture_on,
                memos_then.memo_id
            order by ordered_events.event_number
            rows between unbounded preceding and current row
        ) as memo_amount
    from ordered_events
    inner join memos_then
        on ordered_events.view_name = memos_then.view_name
        and ordered_events.invoice_id = memos_then.invoice_id
        and ordered_events.picture_on = memos_then.picture_on

),

memos_before as (

    select
        memos_after.*,
        coalesce(
            sum(memo_amount) over (
                partition by view_name, invoice_id, picture_on, event_number
                order by memo_position
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as later_memo_amount
    from memos_after

),

memo_rests as (

    select
        memos_before.view_name,
        memos_before.invoice_id,
        memos_before.picture_on,
        memos_before.event_number,
        memos_before.memo_id,
        greatest(
            0, least(memos_before.memo_amount, excesses.excess - memos_before.later_memo_amount)
        ) as taken_back
    from memos_before
    inner join excesses
        on memos_before.view_name = excesses.view_name
        and memos_before.invoice_id = excesses.invoice_id
        and memos_before.picture_on = excesses.picture_on
        and memos_before.event_number = excesses.event_number

),

taken_back as (

    select
        view_name, invoice_id, picture_on, event_number, sum(taken_back) as taken_back
    from memo_rests
    group by view_name, invoice_id, picture_on, event_number

),

balances as (

    select * from open_instalments
    union all
    select
        view_name,
        invoice_id,
        picture_on,
        event_number,
        memo_id as open_item_id,
        memo_id as document_id,
        cast(null as integer) as instalment_number,
        -taken_back as balance
    from memo_rests
    union all
    select
        excesses.view_name,
        excesses.invoice_id,
        excesses.picture_on,
        excesses.event_number,
        excesses.invoice_id || ':0' as open_item_id,
        excesses.invoice_id as document_id,
        0 as instalment_number,
        -(excesses.excess - coalesce(taken_back.taken_back, 0)) as balance
    from excesses
    left join taken_back
        on excesses.view_name = taken_back.view_name
        and excesses.invoice_id = taken_back.invoice_id
        and excesses.picture_on = taken_back.picture_on
        and excesses.event_number = taken_back.event_number

),

changes as (

    select
        balances.*,
        balance - coalesce(
            lag(balance) over (
                partition by view_name, invoice_id, picture_on, open_item_id order by event_number
            ),
            0
        ) as change
    from balances

),

allocations as (

    select
        changes.view_name,
        changes.invoice_id,
        ordered_events.event_id,
        changes.open_item_id,
        changes.document_id,
        ordered_events.cause_document_id,
        ordered_events.application_id,
        ordered_events.entry_type,
        ordered_events.cause_type,
        ordered_events.event_type,
        ordered_events.reason,
        changes.instalment_number,
        {{ money('changes.change') }} as amount,
        ordered_events.event_date as effective_date,
        invoices_then.picture_on as known_on,
        invoices_then.picture_until as known_until
    from changes
    inner join ordered_events
        on changes.view_name = ordered_events.view_name
        and changes.invoice_id = ordered_events.invoice_id
        and changes.picture_on = ordered_events.picture_on
        and changes.event_number = ordered_events.event_number
    inner join invoices_then
        on changes.view_name = invoices_then.view_name
        and changes.invoice_id = invoices_then.document_id
        and changes.picture_on = invoices_then.picture_on
    where changes.change <> 0

)

select * from allocations
