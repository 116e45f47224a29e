with

versions as (

    {{ known_versions('credit_limits') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':' || customer_id as customer_id,
        valid_from,
        currency_code,
        credit_rating,
        approved_by,
        {{ money('limit_amount') }} as limit_amount,
        created_at,
        updated_at,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until
    from versions

)

select * from renamed
