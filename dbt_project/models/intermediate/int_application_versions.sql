with

versions as (

    select * from {{ ref('stg_applications') }}

),

lives as (

    select
        versions.*,
        case when is_removed then 0 else 1 end as life
    from versions
    where is_only_version
    union all
    select
        versions.*,
        cast(sum(case when is_removed then 0 else 1 end) over (
            partition by application_id
            order by version
            rows between unbounded preceding and current row
        ) as integer) as life
    from versions
    where not is_only_version

),

live as (

    select * from lives where not is_removed

),

-- A removed application was undone on the day it was noticed; until then it counted.
removed as (

    select
        application_id,
        life,
        known_on,
        known_until,
        min(known_on) over (partition by application_id, life) as ended_on
    from lives
    where is_removed

),

applications as (

    select
        application_id,
        credit_type,
        credit_id,
        invoice_id,
        instalment_number,
        amount,
        coalesce(discount_amount, 0) as discount_amount,
        applied_on,
        cast(null as date) as ended_on,
        known_on,
        known_until
    from live
    union all
    select
        live.application_id,
        live.credit_type,
        live.credit_id,
        live.invoice_id,
        live.instalment_number,
        live.amount,
        coalesce(live.discount_amount, 0) as discount_amount,
        live.applied_on,
        removed.ended_on,
        removed.known_on,
        removed.known_until
    from removed
    inner join live
        on removed.application_id = live.application_id
        and removed.life = live.life
    union all
    select
        application_id,
        'receipt' as credit_type,
        receipt_id as credit_id,
        invoice_id,
        instalment_number,
        amount,
        {{ money('0') }} as discount_amount,
        applied_on,
        cast(null as date) as ended_on,
        known_on,
        known_until
    from {{ ref('int_bank_applications') }}

)

select * from applications
