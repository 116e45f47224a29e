with

versions as (

    {{ known_versions('open_orders') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':order:' || _row_key as order_id,
        _source || ':' || customer_id as customer_id,
        currency_code,
        {{ money('open_amount') }} as open_amount,
        order_date,
        created_at,
        updated_at,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until
    from versions

)

select * from renamed
