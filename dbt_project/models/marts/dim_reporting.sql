with

policies as (

    select * from {{ source('settings', 'policies') }}

),

currencies as (

    select * from {{ source('settings', 'currencies') }}

),

published as (

    select
        policies.reporting_currency,
        cast(coalesce(currencies.minor_unit, 2) as integer) as reporting_minor_unit,
        cast(policies.daily_snapshot_days as integer) as daily_snapshot_days,
        '{{ var('aging_basis') }}' as aging_basis,
        {{ as_of_date() }} as as_of_date
    from policies
    left join currencies
        on policies.reporting_currency = currencies.currency_code

)

select * from published
