with

limits as (

    select * from {{ ref('stg_credit_limits') }}
    where known_until = {{ forever() }} and not is_removed

),

customers as (

    select * from {{ ref('int_customer_history') }} where is_current

),

published as (

    select
        limits.customer_id,
        customers.company_id,
        limits.currency_code,
        limits.credit_rating,
        limits.approved_by,
        limits.limit_amount,
        limits.valid_from,
        coalesce(
            lead(limits.valid_from) over (partition by limits.customer_id order by limits.valid_from),
            {{ forever() }}
        ) as valid_to
    from limits
    left join customers
        on limits.customer_id = customers.customer_id

)

select * from published
