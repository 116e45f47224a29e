with

scope_months as (

    select * from {{ ref('int_scope_months') }}

),

company_months as (

    select * from scope_months where scope_type = 'company'

),

companies as (

    select * from {{ source('settings', 'companies') }}

),

policies as (

    select * from {{ source('settings', 'policies') }}

),

rates as (

    select * from {{ ref('int_exchange_rates') }}

),

-- For the group, the sales of every earlier month at the closing rate of the month in question:
-- each month end has a series of its own. Elsewhere one series serves all month ends.
group_sales as (

    select
        'group|' || cast(group_months.month_number as varchar(10)) as series_id,
        company_months.month_number,
        company_months.days_in_month,
        cast(sum({{ converted(
            'company_months.net_sales_amount',
            "case when companies.currency_code is null"
            ~ " or companies.currency_code = policies.reporting_currency then 1 else rates.rate end",
        ) }}) as decimal(28, 8)) as net_sales_amount
    from scope_months as group_months
    cross join policies
    inner join company_months
        on company_months.month_number <= group_months.month_number
    left join companies
        on company_months.company_id = companies.company_id
    left join rates
        on companies.currency_code = rates.from_currency
        and policies.reporting_currency = rates.to_currency
        and group_months.month_end_date >= rates.rate_date
        and group_months.month_end_date < rates.valid_until
    where group_months.scope_type = 'group'
    group by group_months.month_number, company_months.month_number, company_months.days_in_month

),

sales as (

    select
        company_id || '|' || scope_type || '|' || scope_id as series_id,
        month_number,
        days_in_month,
        cast(net_sales_amount as decimal(28, 8)) as net_sales_amount
    from scope_months
    where scope_type <> 'group'
    union all
    select * from group_sales

),

-- A run is a stretch of months with sales: the walk back stops at a month without.
runs as (

    select
        series_id,
        month_number,
        days_in_month,
        net_sales_amount,
        sum(case when net_sales_amount <= 0 then 1 else 0 end) over months as run_number,
        sum(net_sales_amount) over months as sales_until,
        sum(days_in_month) over months as days_until
    from sales
    window months as (
        partition by series_id order by month_number
        rows between unbounded preceding and current row
    )

),

run_starts as (

    select
        series_id,
        run_number,
        min(sales_until - net_sales_amount) as sales_before,
        min(days_until - days_in_month) as days_before
    from runs
    where net_sales_amount > 0
    group by series_id, run_number

),

questions as (

    select
        scope_months.month_end_date,
        scope_months.company_id,
        scope_months.scope_type,
        scope_months.scope_id,
        cast(scope_months.ar_amount as decimal(28, 8)) as ar_amount,
        runs.series_id,
        runs.run_number,
        runs.sales_until,
        runs.days_until,
        runs.net_sales_amount
    from scope_months
    inner join runs
        on runs.series_id = case
            when scope_months.scope_type = 'group'
                then 'group|' || cast(scope_months.month_number as varchar(10))
            else scope_months.company_id || '|' || scope_months.scope_type || '|' || scope_months.scope_id
        end
        and scope_months.month_number = runs.month_number

),

-- The month in which the receivable is used up: sales before it do not cover it, sales up to it do.
answered as (

    select
        questions.month_end_date,
        questions.company_id,
        questions.scope_type,
        questions.scope_id,
        questions.ar_amount,
        questions.net_sales_amount,
        questions.sales_until - run_starts.sales_before as covered_sales,
        questions.days_until - run_starts.days_before as run_days,
        questions.days_until - last_months.days_until
        + {{ double('last_months.sales_until - questions.sales_until + questions.ar_amount') }}
        / {{ double('last_months.net_sales_amount') }} * last_months.days_in_month as countback_days
    from questions
    left join run_starts
        on questions.series_id = run_starts.series_id
        and questions.run_number = run_starts.run_number
    left join runs as last_months
        on questions.series_id = last_months.series_id
        and questions.run_number = last_months.run_number
        and last_months.net_sales_amount > 0
        and questions.sales_until - questions.ar_amount
            >= last_months.sales_until - last_months.net_sales_amount
        and questions.sales_until - questions.ar_amount < last_months.sales_until
        and last_months.sales_until <= questions.sales_until

)

select
    month_end_date,
    company_id,
    scope_type,
    scope_id,
    case when net_sales_amount > 0 then countback_days end as countback_days,
    case when net_sales_amount > 0 then run_days else 0 end as run_days,
    case when net_sales_amount > 0 then covered_sales else 0 end as covered_sales
from answered
