with

claims as (

    select * from {{ ref('int_ledger_claims') }}

),

-- What a claim adds when it becomes known …
added as (

    select
        event_id,
        ledger_side,
        open_item_id,
        document_id,
        cause_document_id,
        application_id,
        source_name,
        company_id,
        customer_id,
        entry_type,
        cause_type,
        event_type,
        case when island_number = 1 then reason else 'corrected' end as reason,
        currency_code,
        booking_rate,
        company_minor_unit,
        instalment_number,
        amount,
        effective_date,
        restated_date,
        known_on,
        'added' as side,
        known_until < {{ forever() }} as is_superseded
    from claims

),

-- … and takes back when a later load replaces it.
taken_back as (

    select
        event_id,
        ledger_side,
        open_item_id,
        document_id,
        cause_document_id,
        application_id,
        source_name,
        company_id,
        customer_id,
        entry_type,
        cause_type,
        event_type,
        'corrected' as reason,
        currency_code,
        booking_rate,
        company_minor_unit,
        instalment_number,
        {{ money('-amount') }} as amount,
        effective_date,
        restated_date,
        known_until as known_on,
        'taken back' as side,
        true as is_superseded
    from claims
    where known_until < {{ forever() }}

),

entries as (

    select * from added
    union all
    select * from taken_back

),

identified as (

    select
        md5(concat(event_id, '|', open_item_id, '|', cast(known_on as varchar(10)), '|', side)) as entry_id,
        event_id,
        ledger_side,
        open_item_id,
        document_id,
        cause_document_id,
        application_id,
        source_name,
        company_id,
        customer_id,
        entry_type,
        cause_type,
        event_type,
        reason,
        currency_code,
        company_minor_unit,
        instalment_number,
        amount,
        booking_rate,
        cast({{ converted('amount', 'booking_rate') }} as decimal(38, 12)) as company_amount,
        -- What the books say: each entry is booked in whole minor units of the company's currency.
        {{ round_to_minor_unit(converted('amount', 'booking_rate'), 'company_minor_unit') }} as booked_amount,
        effective_date,
        restated_date,
        known_on,
        is_superseded
    from entries

)

select * from identified
