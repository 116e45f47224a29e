with

versions as (

    {{ known_versions('disputes') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':dispute:' || _row_key as dispute_id,
        _source || ':invoice:' || invoice_id as invoice_id,
        reason,
        outcome,
        {{ money('amount') }} as amount,
        opened_on,
        closed_on,
        created_at,
        updated_at,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until
    from versions

)

select * from renamed
