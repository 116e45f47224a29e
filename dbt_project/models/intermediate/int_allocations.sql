{#- A settlement takes effect and may end: the event, its rank within a day, its day, its reason, its sign. -#}
{%- set settlement_events = [
    (
        'applied', 1, 'event_date',
        "case when settled_by in ('write_off', 'discount') then 'posted' else 'applied' end", '',
    ),
    ('ended', 2, 'ended_on', 'end_reason', '-'),
] -%}
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

    select
        document_id as invoice_id,
        known_on as known_at
    from invoices
    union
    select
        document_id as invoice_id,
        known_until as known_at
    from invoices
    where known_until < {{ forever() }}
    union
    select
        document_id as invoice_id,
        known_on as known_at
    from instalments
    union
    select
        invoice_id,
        known_on as known_at
    from settlements
    union
    select
        invoice_id,
        known_until as known_at
    from settlements
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

    select
        invoice_id,
        'known' as view_name,
        known_on,
        known_until
    from known_intervals
    union all
    select
        invoice_id,
        'restated' as view_name,
        known_on,
        known_until
    from known_intervals
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
        case
            when invoices_then.view_name = 'known' then settlements.effective_date
            else settlements.restated_date
        end as event_date,
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
    {% for event_type, event_rank, event_date, reason, sign in settlement_events -%}
        {% for column, suffix in [('amount', ''), ('discount_amount', ':discount')] -%}
            union all
            select
                view_name,
                picture_on,
                invoice_id,
                settlement_id || ':{{ event_type }}{{ suffix }}' as event_id,
                '{{ event_type }}' as event_type,
                {{ event_rank }} as event_rank,
                {{ event_date }} as event_date,
                {% if suffix -%}
                    'discount' as entry_type,
                {%- else -%}
                    case when settled_by in ('write_off', 'discount') then settled_by else 'application' end
                        as entry_type,
                {%- endif %}
                settled_by as cause_type,
                {{ reason }} as reason,
                cause_document_id,
                application_id,
                case when is_automatic then cause_document_id end as memo_id,
                instalment_number,
                0 as in_effect_change,
                {{ sign }}{{ column }} as settled_change
            from lasting_settlements
            where {{ event_date }} is not null and {{ column }} <> 0
        {% endfor -%}
    {% endfor %}

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
        -- Even steps are events; the odd ones before them are what an event makes automatic memos give back.
        2 * ordered_events.event_number as step,
        invoices_then.allocation_policy,
        invoices_then.minor_unit,
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
    inner join invoices_then
        on ordered_events.view_name = invoices_then.view_name
        and ordered_events.invoice_id = invoices_then.document_id
        and ordered_events.picture_on = invoices_then.picture_on
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

filled as (

    {{ fill_instalments('instalments_after') }}

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

-- Memos that were applied because they name the invoice keep what finds no room after all that the source
-- applied itself; the last one first.
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

memo_totals as (

    select
        view_name,
        invoice_id,
        picture_on,
        event_number,
        sum(memo_amount) as memo_amount
    from memos_after
    group by view_name, invoice_id, picture_on, event_number

),

-- The same without the automatic memos: they have the room that is left.
instalments_without_memos as (

    select
        instalments_after.view_name,
        instalments_after.invoice_id,
        instalments_after.picture_on,
        instalments_after.event_number,
        instalments_after.step,
        instalments_after.allocation_policy,
        instalments_after.minor_unit,
        instalments_after.instalment_number,
        instalments_after.position,
        instalments_after.capacity,
        instalments_after.named_amount,
        instalments_after.unnamed_amount - memo_totals.memo_amount as unnamed_amount,
        instalments_after.settled_amount - memo_totals.memo_amount as settled_amount
    from instalments_after
    inner join memo_totals
        on instalments_after.view_name = memo_totals.view_name
        and instalments_after.invoice_id = memo_totals.invoice_id
        and instalments_after.picture_on = memo_totals.picture_on
        and instalments_after.event_number = memo_totals.event_number

),

filled_without_memos as (

    {{ fill_instalments('instalments_without_memos') }}

),

memo_excesses as (

    select
        excesses.view_name,
        excesses.invoice_id,
        excesses.picture_on,
        excesses.event_number,
        max(excesses.excess) - (
            max(filled_without_memos.settled_amount)
            - sum(filled_without_memos.named_filled + filled_without_memos.unnamed_filled)
        ) as excess
    from excesses
    inner join filled_without_memos
        on excesses.view_name = filled_without_memos.view_name
        and excesses.invoice_id = filled_without_memos.invoice_id
        and excesses.picture_on = filled_without_memos.picture_on
        and excesses.event_number = filled_without_memos.event_number
    group by
        excesses.view_name, excesses.invoice_id, excesses.picture_on, excesses.event_number

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
            0, least(memos_before.memo_amount, memo_excesses.excess - memos_before.later_memo_amount)
        ) as taken_back
    from memos_before
    inner join memo_excesses
        on memos_before.view_name = memo_excesses.view_name
        and memos_before.invoice_id = memo_excesses.invoice_id
        and memos_before.picture_on = memo_excesses.picture_on
        and memos_before.event_number = memo_excesses.event_number

),

taken_back as (

    select
        view_name,
        invoice_id,
        picture_on,
        event_number,
        min(case when taken_back > 0 then memo_id end) as memo_id,
        sum(taken_back) as taken_back
    from memo_rests
    group by view_name, invoice_id, picture_on, event_number

),

taken_back_before as (

    select
        view_name,
        invoice_id,
        picture_on,
        event_number,
        coalesce(memo_id, lag(memo_id) over in_order) as memo_id,
        taken_back,
        coalesce(lag(taken_back) over in_order, 0) as taken_back_before
    from taken_back
    window in_order as (partition by view_name, invoice_id, picture_on order by event_number)

),

-- A settlement that pushes an automatic memo out settles in full, and one that ends opens in full: that
-- the memo gives way, or comes back, is an entry of the memo, made just before, or just after.
-- In between, the settlements are those after `settled_number`, and the memos gave what they did
-- after `memo_number`.
memo_moves as (

    select
        ordered_events.view_name,
        ordered_events.invoice_id,
        ordered_events.picture_on,
        ordered_events.event_number,
        ordered_events.event_id,
        ordered_events.event_date,
        taken_back_before.memo_id,
        case
            when ordered_events.event_type = 'applied' then ordered_events.event_number - 1
            else ordered_events.event_number
        end as settled_number,
        case
            when ordered_events.event_type = 'applied' then ordered_events.event_number
            else ordered_events.event_number - 1
        end as memo_number,
        -- The step at which the memo moves; the event takes the other one of its two.
        case
            when ordered_events.event_type = 'applied' then 2 * ordered_events.event_number - 1
            else 2 * ordered_events.event_number
        end as memo_step,
        greatest(taken_back_before.taken_back, taken_back_before.taken_back_before) as taken_back
    from ordered_events
    inner join taken_back_before
        on ordered_events.view_name = taken_back_before.view_name
        and ordered_events.invoice_id = taken_back_before.invoice_id
        and ordered_events.picture_on = taken_back_before.picture_on
        and ordered_events.event_number = taken_back_before.event_number
    where
        ordered_events.memo_id is null
        and (
            (
                ordered_events.event_type = 'applied'
                and taken_back_before.taken_back > taken_back_before.taken_back_before
            )
            or (
                ordered_events.event_type = 'ended'
                and taken_back_before.taken_back < taken_back_before.taken_back_before
            )
        )

),

instalments_between as (

    select
        instalments_after.view_name,
        instalments_after.invoice_id,
        instalments_after.picture_on,
        memo_moves.event_number,
        2 * memo_moves.event_number - 1 as step,
        instalments_after.allocation_policy,
        instalments_after.minor_unit,
        instalments_after.instalment_number,
        instalments_after.position,
        instalments_after.capacity,
        instalments_after.named_amount,
        instalments_after.unnamed_amount - memo_moves.taken_back as unnamed_amount,
        instalments_after.settled_amount - memo_moves.taken_back as settled_amount
    from memo_moves
    inner join instalments_after
        on memo_moves.view_name = instalments_after.view_name
        and memo_moves.invoice_id = instalments_after.invoice_id
        and memo_moves.picture_on = instalments_after.picture_on
        and memo_moves.settled_number = instalments_after.event_number

),

filled_between as (

    {{ fill_instalments('instalments_between') }}

),

excesses_between as (

    select
        view_name,
        invoice_id,
        picture_on,
        step,
        max(settled_amount) - sum(named_filled + unnamed_filled) as excess
    from filled_between
    group by view_name, invoice_id, picture_on, step

),

balances as (

    select
        view_name,
        invoice_id,
        picture_on,
        step,
        invoice_id || ':' || cast(instalment_number as varchar(20)) as open_item_id,
        invoice_id as document_id,
        instalment_number,
        room - unnamed_filled as balance
    from filled
    union all
    select
        view_name,
        invoice_id,
        picture_on,
        step,
        invoice_id || ':' || cast(instalment_number as varchar(20)) as open_item_id,
        invoice_id as document_id,
        instalment_number,
        room - unnamed_filled as balance
    from filled_between
    union all
    select
        view_name,
        invoice_id,
        picture_on,
        2 * event_number as step,
        memo_id as open_item_id,
        memo_id as document_id,
        cast(null as integer) as instalment_number,
        -taken_back as balance
    from memo_rests
    union all
    select
        memo_rests.view_name,
        memo_rests.invoice_id,
        memo_rests.picture_on,
        2 * memo_moves.event_number - 1 as step,
        memo_rests.memo_id as open_item_id,
        memo_rests.memo_id as document_id,
        cast(null as integer) as instalment_number,
        -memo_rests.taken_back as balance
    from memo_rests
    inner join memo_moves
        on memo_rests.view_name = memo_moves.view_name
        and memo_rests.invoice_id = memo_moves.invoice_id
        and memo_rests.picture_on = memo_moves.picture_on
        and memo_rests.event_number = memo_moves.memo_number
    union all
    select
        excesses.view_name,
        excesses.invoice_id,
        excesses.picture_on,
        2 * excesses.event_number as step,
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
    union all
    select
        view_name,
        invoice_id,
        picture_on,
        step,
        invoice_id || ':0' as open_item_id,
        invoice_id as document_id,
        0 as instalment_number,
        -excess as balance
    from excesses_between

),

changes as (

    select
        balances.*,
        balance - coalesce(
            lag(balance) over (
                partition by view_name, invoice_id, picture_on, open_item_id order by step
            ),
            0
        ) as change
    from balances

),

causes as (

    select
        ordered_events.view_name,
        ordered_events.invoice_id,
        ordered_events.picture_on,
        case
            when memo_moves.memo_step = 2 * ordered_events.event_number
                then 2 * ordered_events.event_number - 1
            else 2 * ordered_events.event_number
        end as step,
        ordered_events.event_id,
        ordered_events.event_date,
        ordered_events.cause_document_id,
        ordered_events.application_id,
        ordered_events.entry_type,
        ordered_events.cause_type,
        ordered_events.event_type,
        ordered_events.reason
    from ordered_events
    left join memo_moves
        on ordered_events.view_name = memo_moves.view_name
        and ordered_events.invoice_id = memo_moves.invoice_id
        and ordered_events.picture_on = memo_moves.picture_on
        and ordered_events.event_number = memo_moves.event_number
    union all
    select
        memo_moves.view_name,
        memo_moves.invoice_id,
        memo_moves.picture_on,
        memo_moves.memo_step as step,
        memo_moves.event_id || ':memo' as event_id,
        memo_moves.event_date,
        memo_moves.memo_id as cause_document_id,
        cast(null as varchar(200)) as application_id,
        'application' as entry_type,
        lasting_settlements.settled_by as cause_type,
        'applied' as event_type,
        'corrected' as reason
    from memo_moves
    inner join lasting_settlements
        on memo_moves.view_name = lasting_settlements.view_name
        and memo_moves.invoice_id = lasting_settlements.invoice_id
        and memo_moves.picture_on = lasting_settlements.picture_on
        and memo_moves.memo_id = lasting_settlements.cause_document_id
        and lasting_settlements.is_automatic

),

allocations as (

    select
        changes.view_name,
        changes.invoice_id,
        causes.event_id,
        changes.open_item_id,
        changes.document_id,
        causes.cause_document_id,
        causes.application_id,
        causes.entry_type,
        causes.cause_type,
        causes.event_type,
        causes.reason,
        changes.instalment_number,
        {{ money('changes.change') }} as amount,
        causes.event_date as effective_date,
        invoices_then.picture_on as known_on,
        invoices_then.picture_until as known_until
    from changes
    inner join causes
        on changes.view_name = causes.view_name
        and changes.invoice_id = causes.invoice_id
        and changes.picture_on = causes.picture_on
        and changes.step = causes.step
    inner join invoices_then
        on changes.view_name = invoices_then.view_name
        and changes.invoice_id = invoices_then.document_id
        and changes.picture_on = invoices_then.picture_on
    where changes.change <> 0

)

select * from allocations
