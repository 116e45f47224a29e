with

aging as (

    select * from {{ ref('int_customer_aging') }}

),

published as (

    select
        as_of_date,
        company_id,
        customer_id,
        currency_code,
        aging_bucket,
        snapshot_type,
        open_amount,
        company_amount,
        group_amount,
        debit_amount,
        credit_amount,
        cast(item_count as bigint) as item_count,
        is_conversion_incomplete,
        is_rate_carried,
        is_booking_rate_carried
    from aging

)

select * from published
