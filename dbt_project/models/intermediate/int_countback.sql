with

scope_months as (

    select * from {{ ref('int_scope_months') }}

),

customer_months as (

    select * from {{ ref('int_customer_months') }}

),

-- The calendar months of every company: what the group is made of.
company_months as (

    select
        company_id,
        month_number,
        days_in_month,
        {{ complete_sum('net_sales_amount') }} as net_sales_amount
    from customer_months
    where is_group_period
    group by company_id, month_number, days_in_month

),

customer_history as (

    select * from {{ ref('int_customer_history') }}

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
-- each month end has a series of its own.
group_sales as (

    select
        'group|' || cast(group_months.month_number as varchar(10)) as series_id,
        company_months.month_number,
        company_months.days_in_month,
        {{ complete_sum(converted(
            'company_months.net_sales_amount',
            "case when companies.currency_code is null or company_months.net_sales_amount = 0"
            ~ " or companies.currency_code = policies.reporting_currency then 1 else rates.rate end",
        )) }} as net_sales_amount
    from scope_months as group_months
    cross join policies
    inner join company_months
        on group_months.month_number >= company_months.month_number
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

-- A segment is walked back with the customers that are in it at the month in question. Customers who
-- never moved walk together; a series per customer would be the square of the history.
walkers as (

    select
        customer_id,
        case when count(*) = 1 then 'segment|' || min(segment) else 'customer|' || customer_id end
            as walker_id
    from customer_history
    group by customer_id

),

walker_sales as (

    select
        customer_months.company_id,
        coalesce(walkers.walker_id, 'segment|unassigned') as walker_id,
        customer_months.month_number,
        customer_months.days_in_month,
        {{ complete_sum('customer_months.net_sales_amount') }} as net_sales_amount
    from customer_months
    left join walkers
        on customer_months.customer_id = walkers.customer_id
    where customer_months.is_company_period
    group by
        customer_months.company_id,
        coalesce(walkers.walker_id, 'segment|unassigned'),
        customer_months.month_number,
        customer_months.days_in_month

),

walker_segments as (

    select distinct
        customer_months.company_id,
        customer_months.month_number,
        coalesce(walkers.walker_id, 'segment|unassigned') as walker_id,
        coalesce(customer_history.segment, 'unassigned') as segment
    from customer_months
    left join walkers
        on customer_months.customer_id = walkers.customer_id
    left join customer_history
        on customer_months.customer_id = customer_history.customer_id
        and customer_months.month_end_date >= customer_history.valid_from
        and customer_months.month_end_date < customer_history.valid_to
    where customer_months.is_company_period

),

segment_sales as (

    select
        walker_segments.company_id || '|segment|' || walker_segments.segment || '|'
        || cast(walker_segments.month_number as varchar(10)) as series_id,
        walker_sales.month_number,
        walker_sales.days_in_month,
        {{ complete_sum('walker_sales.net_sales_amount') }} as net_sales_amount
    from walker_segments
    inner join walker_sales
        on walker_segments.company_id = walker_sales.company_id
        and walker_segments.walker_id = walker_sales.walker_id
        and walker_segments.month_number >= walker_sales.month_number
    group by
        walker_segments.company_id,
        walker_segments.segment,
        walker_segments.month_number,
        walker_sales.month_number,
        walker_sales.days_in_month

),

-- Companies and customers: one series serves all month ends.
sales as (

    select
        company_id || '|' || scope_type || '|' || scope_id as series_id,
        month_number,
        days_in_month,
        cast(coalesce(net_sales_amount, 0) as decimal(28, 8)) as net_sales_amount
    from scope_months
    where scope_type in ('company', 'customer')
    union all
    select
        series_id,
        month_number,
        days_in_month,
        cast(coalesce(net_sales_amount, 0) as decimal(28, 8)) as net_sales_amount
    from group_sales
    union all
    select
        series_id,
        month_number,
        days_in_month,
        cast(coalesce(net_sales_amount, 0) as decimal(28, 8)) as net_sales_amount
    from segment_sales

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
            when scope_months.scope_type = 'segment'
                then
                    scope_months.company_id || '|segment|' || scope_months.scope_id || '|'
                    || cast(scope_months.month_number as varchar(10))
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
        and questions.sales_until >= last_months.sales_until

)

select
    month_end_date,
    company_id,
    scope_type,
    scope_id,
    case when net_sales_amount > 0 then countback_days end as countback_days,
    cast(case when net_sales_amount > 0 then run_days else 0 end as bigint) as run_days,
    case when net_sales_amount > 0 then covered_sales else 0 end as covered_sales
from answered
