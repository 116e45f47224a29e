with

versions as (

    select * from {{ ref('stg_customers') }}

),

sources as (

    select * from {{ source('settings', 'sources') }}

),

-- The first version also describes the time before anybody recorded the customer.
described as (

    select
        versions.customer_id,
        versions.source_name,
        coalesce(versions.company_id, sources.default_company_id, versions.source_name) as company_id,
        versions.parent_customer_id,
        versions.customer_name,
        coalesce(versions.segment, 'unassigned') as segment,
        versions.industry,
        versions.country_code,
        versions.region,
        coalesce(versions.currency_code, sources.default_currency_code) as currency_code,
        versions.credit_rating,
        versions.collector,
        versions.salesperson,
        versions.email,
        versions.language,
        versions.credit_limit_amount,
        versions.payment_terms_days,
        case
            when versions.known_on = min(versions.known_on) over (partition by versions.customer_id)
                then cast('1900-01-01' as date)
            else versions.known_on
        end as valid_from,
        versions.known_until as valid_to,
        coalesce(versions.is_active, true) and not versions.is_removed as is_active,
        versions.known_until = {{ forever() }} as is_current
    from versions
    left join sources
        on versions.source_name = sources.source

)

select * from described
