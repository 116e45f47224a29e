with

versions as (

    {{ known_versions('collection_events') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':collection_event:' || _row_key as event_id,
        _source || ':' || customer_id as customer_id,
        stage,
        channel,
        _source || ':invoice:' || invoice_id as invoice_id,
        collector,
        outcome,
        event_date,
        created_at,
        updated_at,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until
    from versions

)

select * from renamed
