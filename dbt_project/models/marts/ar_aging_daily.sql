with

aging as (

    select * from {{ ref('int_daily_aging') }}

),

policies as (

    select * from {{ source('settings', 'policies') }}

),

currencies as (

    select * from {{ source('settings', 'currencies') }}

),

rates as (

    select * from {{ ref('int_exchange_rates') }}

),

published as (

    select
        aging.as_of_date,
        aging.company_id,
        aging.currency_code,
        aging.aging_bucket,
        {{ money('aging.open_amount') }} as open_amount,
        case when aging.unconverted_count = 0 then {{ money('aging.company_amount') }} end as company_amount,
        case
            when aging.currency_code = policies.reporting_currency then {{ money('aging.open_amount') }}
            when aging.open_amount = 0 then {{ money('0') }}
            else {{ round_to_minor_unit(
                converted('aging.open_amount', 'rates.rate'), 'group_currencies.minor_unit'
            ) }}
        end as group_amount,
        {{ money('aging.debit_amount') }} as debit_amount,
        {{ money('aging.credit_amount') }} as credit_amount,
        cast(aging.item_count as bigint) as item_count,
        aging.unconverted_count > 0
        or (
            aging.currency_code <> policies.reporting_currency
            and aging.open_amount <> 0
            and rates.rate is null
        ) as is_conversion_incomplete,
        aging.currency_code <> policies.reporting_currency
        and aging.open_amount <> 0
        and coalesce(rates.rate_date < aging.as_of_date, false) as is_rate_carried
    from aging
    cross join policies
    left join currencies as group_currencies
        on policies.reporting_currency = group_currencies.currency_code
    left join rates
        on aging.currency_code = rates.from_currency
        and policies.reporting_currency = rates.to_currency
        and aging.as_of_date >= rates.rate_date
        and aging.as_of_date < rates.valid_until

)

select * from published
