with

aging as (

    select * from {{ ref('int_customer_aging') }}

),

parents as (

    select * from {{ ref('int_customer_parents') }}

),

rolled_up as (

    select
        aging.as_of_date,
        aging.company_id,
        coalesce(parents.ultimate_parent_customer_id, aging.customer_id) as ultimate_parent_customer_id,
        aging.currency_code,
        aging.aging_bucket,
        aging.snapshot_type,
        {{ money('sum(aging.open_amount)') }} as open_amount,
        case when count(aging.company_amount) = count(*) then {{ money('sum(aging.company_amount)') }} end
            as company_amount,
        case when count(aging.group_amount) = count(*) then {{ money('sum(aging.group_amount)') }} end
            as group_amount,
        cast(sum(aging.item_count) as bigint) as item_count,
        cast(count(distinct aging.customer_id) as bigint) as customer_count
    from aging
    left join parents
        on aging.customer_id = parents.customer_id
    group by
        aging.as_of_date,
        aging.company_id,
        coalesce(parents.ultimate_parent_customer_id, aging.customer_id),
        aging.currency_code,
        aging.aging_bucket,
        aging.snapshot_type

)

select * from rolled_up
