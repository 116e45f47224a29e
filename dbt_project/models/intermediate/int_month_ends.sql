with

fiscal_dates as (

    select * from {{ ref('int_fiscal_dates') }}

),

-- A company of months has one calendar. One of weeks reports by its own periods; the group, which has no
-- calendar but the common one, needs its calendar months too.
calendar_months as (

    select
        company_id,
        date_day as month_end_date,
        {{ month_start('date_day') }} as month_start_date,
        {{ month_number('date_day') }} as month_number,
        {{ '30' if var('day_count') | string == '30' else days_in_month('date_day') }} as days_in_month,
        fiscal_calendar = 'calendar' as is_company_period,
        true as is_group_period
    from fiscal_dates
    where date_day = {{ month_end('date_day') }}

),

-- Far above the calendar's numbers, so that a number names a period whichever calendar it is of.
periods_of_weeks as (

    select
        company_id,
        period_end_date as month_end_date,
        period_start_date as month_start_date,
        1000000 + 12 * fiscal_year + fiscal_period - 1 as month_number,
        {{ days_between('period_start_date', 'period_end_date') }} + 1 as days_in_month,
        true as is_company_period,
        false as is_group_period
    from fiscal_dates
    where fiscal_calendar <> 'calendar' and date_day = period_end_date

),

-- Complete ones only: a month that is not over has no month-end figures.
month_ends as (

    select * from calendar_months
    union all
    select * from periods_of_weeks

)

select * from month_ends
