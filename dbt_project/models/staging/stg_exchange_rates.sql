with

versions as (

    {{ known_versions('exchange_rates') }}

),

renamed as (

    select
        _source as source_name,
        rate_date,
        from_currency,
        to_currency,
        rate_type,
        rate,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until
    from versions

)

select * from renamed
