with

versions as (

    {{ known_versions('gl_balances') }}

),

renamed as (

    select
        _source as source_name,
        company_id,
        balance_date,
        currency_code,
        account,
        {{ money('balance_amount') }} as balance_amount,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until
    from versions

)

select * from renamed
