with

fiscal_dates as (

    select * from {{ ref('int_fiscal_dates') }}

)

select
    company_id,
    date_day,
    fiscal_calendar,
    fiscal_year,
    fiscal_quarter,
    fiscal_period,
    fiscal_week,
    period_start_date,
    period_end_date,
    year_start_date,
    year_end_date
from fiscal_dates
