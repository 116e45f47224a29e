with

days as (

    select * from {{ ref('int_days') }}

),

policies as (

    select * from {{ source('settings', 'policies') }}

),

snapshot_days as (

    select
        days.date_day as as_of_date,
        days.is_month_end,
        case when days.is_month_end then 'month_end' else 'daily' end as snapshot_type
    from days
    cross join policies
    where
        days.is_month_end
        or {{ days_between('days.date_day', as_of_date()) }} < policies.daily_snapshot_days

)

select * from snapshot_days
