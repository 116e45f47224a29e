with

versions as (

    {{ known_versions('instalments') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':invoice:' || invoice_id as invoice_id,
        instalment_number,
        {{ money('amount') }} as amount,
        due_date,
        created_at,
        updated_at,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until
    from versions

)

select * from renamed
