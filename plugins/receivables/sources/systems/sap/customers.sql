with

terms as (

    select zterm, coalesce(
        max(cast(nullif(number_of(ztag3), 0) as integer)),
        max(cast(nullif(number_of(ztag2), 0) as integer)),
        max(cast(number_of(ztag1) as integer))
    ) as days
    from t052
    group by zterm

),

-- A customer may be kept in several company codes: then it belongs to none of them alone.
companies as (

    select
        kunnr,
        case when count(distinct bukrs) = 1 then coalesce(company_of(min(bukrs)), min(bukrs)) end as company_id,
        min(zterm) as zterm,
        min(busab) as busab
    from knb1
    where getvariable('client') = '' or mandt = getvariable('client')
    group by kunnr

)

select
    kna1.kunnr as customer_id,
    kna1.name1 as customer_name,
    companies.company_id,
    kna1.ktokd as segment,
    kna1.brsch as industry,
    kna1.land1 as country_code,
    kna1.regio as region,
    cast(terms.days as varchar) as payment_terms_days,
    companies.busab as collector,
    kna1.spras as language,
    case when is_true(kna1.loevm) or is_true(kna1.sperr) then 'false' else 'true' end as is_active,
    stamp(date_of(kna1.erdat)) as created_at
from kna1
left join companies on kna1.kunnr = companies.kunnr
left join terms on companies.zterm = terms.zterm
where getvariable('client') = '' or kna1.mandt = getvariable('client')
