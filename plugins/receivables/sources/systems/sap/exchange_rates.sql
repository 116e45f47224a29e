-- GDATU counts down from 99999999; a negative rate is the other way round; factors are units per quotation.
with

rates as (

    select
        *,
        cast(try_strptime(cast(99999999 - cast(number_of(gdatu) as integer) as varchar), '%Y%m%d') as date)
            as rate_date,
        number_of(ukurs) as quoted
    from tcurr
    where kurst = getvariable('rate_type')
        and (getvariable('client') = '' or mandt = getvariable('client'))

),

factors as (

    select
        kurst,
        fcurr,
        tcurr,
        cast(try_strptime(cast(99999999 - cast(number_of(gdatu) as integer) as varchar), '%Y%m%d') as date)
            as valid_from,
        number_of(ffact) as from_units,
        number_of(tfact) as to_units
    from tcurf
    where getvariable('client') = '' or mandt = getvariable('client')

),

factored as (

    select
        rates.*,
        coalesce(factors.from_units, nullif(number_of(rates.ffact), 0), 1) as from_units,
        coalesce(factors.to_units, nullif(number_of(rates.tfact), 0), 1) as to_units
    from rates
    left join factors
        on rates.kurst = factors.kurst
        and rates.fcurr = factors.fcurr
        and rates.tcurr = factors.tcurr
        and factors.valid_from <= rates.rate_date
    qualify row_number() over (
        partition by rates.fcurr, rates.tcurr, rates.rate_date order by factors.valid_from desc nulls last
    ) = 1

)

select
    coalesce(cast(rate_date as varchar), gdatu) as rate_date,
    fcurr as from_currency,
    tcurr as to_currency,
    amount_text(cast(
        case
            when quoted > 0 then cast(quoted as double) * to_units / from_units
            when quoted < 0 then 1 / cast(-quoted as double) * to_units / from_units
        end as decimal(18, 8)
    ), ukurs) as rate,
    kurst as rate_type
from factored
