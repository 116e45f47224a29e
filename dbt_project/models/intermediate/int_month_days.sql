with

fiscal_dates as (

    select * from {{ ref('int_fiscal_dates') }}

),

month_ends as (

    select * from {{ ref('int_month_ends') }}

),

month_days as (

    select
        month_ends.company_id,
        fiscal_dates.date_day,
        month_ends.month_number,
        month_ends.month_start_date,
        month_ends.month_end_date,
        month_ends.is_company_period
    from month_ends
    inner join fiscal_dates
        on month_ends.company_id = fiscal_dates.company_id
        and month_ends.month_start_date <= fiscal_dates.date_day
        and month_ends.month_end_date >= fiscal_dates.date_day

)

select * from month_days
