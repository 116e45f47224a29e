with

days as (

    select * from {{ ref('int_days') }}

),

-- Complete months only: a month that is not over has no month-end figures.
month_ends as (

    select
        date_day as month_end_date,
        {{ month_start('date_day') }} as month_start_date,
        month_number,
        {{ '30' if var('day_count') | string == '30' else days_in_month('date_day') }} as days_in_month
    from days
    where is_month_end

)

select * from month_ends
