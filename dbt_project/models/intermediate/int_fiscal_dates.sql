with

companies as (

    select * from {{ ref('int_companies') }}

),

days as (

    select * from {{ ref('int_days') }}

),

numbers as (

    {{ numbers() }}

),

year_bounds as (

    select
        cast(extract(year from min(date_day)) as integer) - 1 as first_year,
        cast(extract(year from max(date_day)) as integer) + 2 as last_year
    from days

),

anchors as (

    select
        companies.company_id,
        companies.fiscal_calendar,
        companies.fiscal_year_start_month,
        year_bounds.first_year + numbers.number as start_year,
        cast(
            cast(year_bounds.first_year + numbers.number as varchar(4)) || '-'
            || case when companies.fiscal_year_start_month < 10 then '0' else '' end
            || cast(companies.fiscal_year_start_month as varchar(2)) || '-01' as date
        ) as anchor_date
    from companies
    cross join year_bounds
    inner join numbers
        on year_bounds.first_year + numbers.number <= year_bounds.last_year

),

weekdays as (

    select
        anchors.*,
        mod({{ days_between("cast('1900-01-01' as date)", 'anchor_date') }}, 7) as days_after_monday
    from anchors

),

-- A year of weeks starts on the Monday nearest to the first of its month: 52 weeks, or 53.
fiscal_years as (

    select
        company_id,
        fiscal_calendar,
        start_year + case when fiscal_year_start_month > 1 then 1 else 0 end as fiscal_year,
        case
            when fiscal_calendar = 'calendar' then anchor_date
            when days_after_monday <= 3 then {{ add_days('anchor_date', '-days_after_monday') }}
            else {{ add_days('anchor_date', '7 - days_after_monday') }}
        end as year_start_date
    from weekdays

),

bounded as (

    select
        fiscal_years.*,
        lead(year_start_date) over (partition by company_id order by year_start_date) as next_year_start_date
    from fiscal_years

),

placed as (

    select
        bounded.company_id,
        days.date_day,
        bounded.fiscal_calendar,
        bounded.fiscal_year,
        bounded.year_start_date,
        {{ add_days('bounded.next_year_start_date', -1) }} as year_end_date,
        {{ month_number('days.date_day') }} - {{ month_number('bounded.year_start_date') }} + 1
            as months_into_year,
        cast(floor({{ days_between('bounded.year_start_date', 'days.date_day') }} / 7.0) as integer) + 1
            as fiscal_week
    from bounded
    inner join days
        on bounded.year_start_date <= days.date_day
        and bounded.next_year_start_date > days.date_day

),

-- Weeks of a quarter in the order that the calendar names; a 53rd week belongs to the last period.
numbered as (

    select
        placed.*,
        cast(least(floor((fiscal_week - 1) / 13.0), 3) as integer) as earlier_quarters,
        least(fiscal_week, 52) - 13 * cast(least(floor((fiscal_week - 1) / 13.0), 3) as integer)
            as week_of_quarter
    from placed

),

-- The weeks of a quarter after which its second and its third period begin.
bordered as (

    select
        numbered.*,
        case when fiscal_calendar = '5-4-4' then 5 else 4 end as weeks_of_first,
        case when fiscal_calendar = '4-4-5' then 8 else 9 end as weeks_of_first_two
    from numbered

),

periods as (

    select
        bordered.*,
        cast(case
            when fiscal_calendar = 'calendar' then months_into_year
            else 3 * earlier_quarters + case
                when week_of_quarter <= weeks_of_first then 1
                when week_of_quarter <= weeks_of_first_two then 2
                else 3
            end
        end as integer) as fiscal_period,
        {{ add_days('year_start_date', '7 * (13 * earlier_quarters + case'
            ~ ' when week_of_quarter <= weeks_of_first then 0'
            ~ ' when week_of_quarter <= weeks_of_first_two then weeks_of_first'
            ~ ' else weeks_of_first_two end)') }} as weeks_start_date,
        -- The last period of a year ends with the year, which may have a 53rd week.
        case
            when earlier_quarters = 3 and week_of_quarter > weeks_of_first_two then year_end_date
            else {{ add_days('year_start_date', '7 * (13 * earlier_quarters + case'
                ~ ' when week_of_quarter <= weeks_of_first then weeks_of_first'
                ~ ' when week_of_quarter <= weeks_of_first_two then weeks_of_first_two'
                ~ ' else 13 end) - 1') }}
        end as weeks_end_date
    from bordered

),

described as (

    select
        company_id,
        date_day,
        fiscal_calendar,
        cast(fiscal_year as integer) as fiscal_year,
        cast(floor((fiscal_period - 1) / 3.0) as integer) + 1 as fiscal_quarter,
        fiscal_period,
        fiscal_week,
        case
            when fiscal_calendar = 'calendar' then {{ month_start('date_day') }}
            else weeks_start_date
        end as period_start_date,
        case
            when fiscal_calendar = 'calendar' then {{ month_end('date_day') }}
            else weeks_end_date
        end as period_end_date,
        year_start_date,
        year_end_date
    from periods

)

select * from described
