with

bounds as (

    select
        {{ month_start(add_days('min(date_day)', -366)) }} as first_day,
        {{ month_end('max(date_day)', 12) }} as last_day
    from {{ ref('int_days') }}

),

numbers as (

    {{ numbers() }}

),

days as (

    select {{ add_days('bounds.first_day', 'numbers.number') }} as date_day
    from bounds
    inner join numbers
        on numbers.number <= {{ days_between('bounds.first_day', 'bounds.last_day') }}

),

fiscal_start as (

    select coalesce(min(fiscal_year_start_month), 1) as start_month
    from {{ source('settings', 'companies') }}

),

described as (

    select
        days.date_day,
        {{ month_start('days.date_day') }} as month_start_date,
        {{ month_end('days.date_day') }} as month_end_date,
        cast(extract(year from days.date_day) as integer) as calendar_year,
        cast(extract(quarter from days.date_day) as integer) as calendar_quarter,
        cast(extract(month from days.date_day) as integer) as calendar_month,
        cast(extract(day from days.date_day) as integer) as day_of_month,
        cast(
            extract(year from days.date_day)
            + case
                when
                    fiscal_start.start_month > 1
                    and extract(month from days.date_day) >= fiscal_start.start_month
                    then 1
                else 0
            end as integer
        ) as fiscal_year,
        cast(
            mod(cast(extract(month from days.date_day) as integer) - fiscal_start.start_month + 12, 12) + 1
            as integer
        ) as fiscal_month,
        days.date_day = {{ month_end('days.date_day') }} as is_month_end
    from days
    cross join fiscal_start

)

select * from described
