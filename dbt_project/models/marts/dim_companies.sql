with

companies as (

    select * from {{ ref('int_companies') }}

),

published as (

    select
        company_id,
        company_name,
        currency_code,
        timezone,
        fiscal_calendar,
        fiscal_year_start_month,
        is_configured
    from companies

)

select * from published
