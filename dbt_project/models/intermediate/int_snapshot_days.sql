with

fiscal_dates as (

    select * from {{ ref('int_fiscal_dates') }}

),

policies as (

    select * from {{ source('settings', 'policies') }}

),

-- A company of weeks has two kinds of month ends: those of its periods, and those that the group reports.
days as (

    select
        company_id,
        date_day as as_of_date,
        date_day = period_end_date or date_day = {{ month_end('date_day') }} as is_month_end
    from fiscal_dates

),

snapshot_days as (

    select
        days.company_id,
        days.as_of_date,
        days.is_month_end,
        case when days.is_month_end then 'month_end' else 'daily' end as snapshot_type
    from days
    cross join policies
    where
        days.is_month_end
        or {{ days_between('days.as_of_date', as_of_date()) }} < policies.daily_snapshot_days

)

select * from snapshot_days
