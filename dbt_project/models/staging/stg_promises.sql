with

versions as (

    {{ known_versions('promises') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':promise:' || _row_key as promise_id,
        _source || ':' || customer_id as customer_id,
        _source || ':invoice:' || invoice_id as invoice_id,
        {{ money('amount') }} as amount,
        promised_on,
        promised_date,
        created_at,
        updated_at,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until
    from versions

)

select * from renamed
