with

first_entries as (

    select min(effective_date) as first_day
    from {{ ref('int_ledger_entries') }}
    where effective_date <= {{ as_of_date() }}

),

numbers as (

    {{ numbers() }}

),

days as (

    select {{ add_days('first_entries.first_day', 'numbers.number') }} as date_day
    from first_entries
    inner join numbers
        on numbers.number <= {{ days_between('first_entries.first_day', as_of_date()) }}

),

described as (

    select
        date_day,
        {{ month_end('date_day') }} as month_end_date,
        {{ month_number('date_day') }} as month_number,
        date_day = {{ month_end('date_day') }} as is_month_end
    from days

)

select * from described
