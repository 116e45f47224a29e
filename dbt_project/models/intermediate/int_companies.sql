with

configured as (

    select * from {{ source('settings', 'companies') }}

),

documents as (

    select distinct
        company_id,
        currency_code
    from {{ ref('int_documents') }}

),

-- A company that nobody described books in the one currency its documents have, if it is one.
found as (

    select
        documents.company_id,
        case when count(distinct documents.currency_code) = 1 then min(documents.currency_code) end
            as currency_code
    from documents
    left join configured
        on documents.company_id = configured.company_id
    where configured.company_id is null
    group by documents.company_id

),

companies as (

    select
        company_id,
        company_name,
        currency_code,
        timezone,
        fiscal_calendar,
        cast(fiscal_year_start_month as integer) as fiscal_year_start_month,
        true as is_configured
    from configured
    union all
    select
        company_id,
        company_id as company_name,
        currency_code,
        cast(null as varchar(60)) as timezone,
        'calendar' as fiscal_calendar,
        1 as fiscal_year_start_month,
        false as is_configured
    from found

)

select * from companies
