with

rates as (

    select * from {{ ref('stg_exchange_rates') }}
    where known_until = {{ forever() }} and not is_removed and rate > 0

),

-- Several rate types on one day: the closing (or untyped) one is the one that books and revalues.
ranked as (

    select
        from_currency,
        to_currency,
        rate_date,
        cast(rate as decimal(20, 12)) as rate,
        row_number() over (
            partition by from_currency, to_currency, rate_date
            order by
                case when coalesce(lower(rate_type), 'closing') in ('closing', 'spot') then 0 else 1 end,
                coalesce(rate_type, ''),
                source_name
        ) as preference
    from rates

),

direct as (

    select
        from_currency,
        to_currency,
        rate_date,
        rate
    from ranked where preference = 1

),

quoted as (

    select distinct
        from_currency,
        to_currency
    from direct

),

-- The opposite rate serves only a pair that nobody quotes.
inverse as (

    select
        direct.to_currency as from_currency,
        direct.from_currency as to_currency,
        direct.rate_date,
        cast(1 / {{ double('direct.rate') }} as decimal(20, 12)) as rate
    from direct
    left join quoted
        on direct.to_currency = quoted.from_currency
        and direct.from_currency = quoted.to_currency
    where quoted.from_currency is null

),

all_rates as (

    select * from direct
    union all
    select * from inverse

),

-- A closed day has no rate of its own: the last one carries until the next is quoted.
carried as (

    select
        from_currency,
        to_currency,
        rate_date,
        coalesce(
            lead(rate_date) over (partition by from_currency, to_currency order by rate_date),
            {{ forever() }}
        ) as valid_until,
        rate
    from all_rates

)

select * from carried
