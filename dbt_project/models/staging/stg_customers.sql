with

versions as (

    {{ known_versions('customers') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':' || _row_key as customer_id,
        customer_name,
        company_id,
        _source || ':' || parent_customer_id as parent_customer_id,
        segment,
        industry,
        country_code,
        region,
        currency_code,
        credit_rating,
        collector,
        salesperson,
        email,
        language,
        {{ money('credit_limit_amount') }} as credit_limit_amount,
        payment_terms_days,
        created_at,
        updated_at,
        is_active,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until
    from versions

)

select * from renamed
