with

buckets as (

    select * from {{ source('settings', 'aging_buckets') }}

),

published as (

    select
        aging_bucket,
        label_zh,
        cast(position as integer) as position,
        cast(min_days as integer) as min_days,
        cast(max_days as integer) as max_days,
        coalesce(min_days, 0) > 0 as is_overdue
    from buckets

)

select * from published
