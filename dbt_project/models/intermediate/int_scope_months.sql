{%- set measures = [
    'opening_ar_amount', 'ar_amount', 'not_due_amount', 'ar_12m_ago_amount', 'net_sales_amount',
    'net_sales_90_amount', 'net_sales_12m_amount', 'collected_amount', 'falling_due_amount',
    'amount_days', 'applied_amount', 'applied_days_to_pay', 'applied_days_late',
] -%}
{#- Applied and falling due amounts are shares of booking rates, with more decimals than currencies have. -#}
{%- set unrounded = [
    'collected_amount', 'falling_due_amount', 'applied_amount', 'applied_days_to_pay', 'applied_days_late',
] -%}
{%- set counts = [
    'item_count', 'overdue_item_count', 'settled_invoice_count', 'settled_days_to_pay',
    'settled_days_late', 'late_invoice_count',
] -%}
{%- set typed_measures -%}
    {%- for measure in measures -%}
        cast({{ measure }} as decimal(38, 12)) as {{ measure }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endset -%}
with

customer_months as (

    select * from {{ ref('int_customer_months') }}

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

-- The segment that the customer was in on the month end, not the one it is in today.
segmented as (

    select
        customer_months.*,
        coalesce(customer_history.segment, 'unassigned') as segment
    from customer_months
    left join customer_history
        on customer_months.customer_id = customer_history.customer_id
        and customer_months.month_end_date >= customer_history.valid_from
        and customer_months.month_end_date < customer_history.valid_to

),

books as (

    select distinct company_id from customer_months

),

company_currencies as (

    select
        books.company_id,
        companies.currency_code
    from books
    left join companies
        on books.company_id = companies.company_id

),

company_months as (

    select
        month_end_date,
        month_number,
        days_in_month,
        company_id,
        is_company_period,
        is_group_period,
        {% for measure in measures -%}
            {{ complete_sum(measure) }} as {{ measure }},
        {% endfor -%}
    {% for measure in counts -%}
        sum({{ measure }}) as {{ measure }}{{ ',' if not loop.last }}
    {% endfor %}
    from segmented
    group by month_end_date, month_number, days_in_month, company_id, is_company_period, is_group_period

),

segment_months as (

    select
        month_end_date,
        month_number,
        days_in_month,
        company_id,
        segment,
        {% for measure in measures -%}
            {{ complete_sum(measure) }} as {{ measure }},
        {% endfor -%}
    {% for measure in counts -%}
        sum({{ measure }}) as {{ measure }}{{ ',' if not loop.last }}
    {% endfor %}
    from segmented
    where is_company_period
    group by month_end_date, month_number, days_in_month, company_id, segment

),

-- Every term of a group metric at one rate: the closing rate of the month end.
group_rates as (

    select
        company_months.month_end_date,
        company_months.company_id,
        case
            when company_currencies.currency_code = policies.reporting_currency
                then cast(1 as decimal(20, 12))
            when company_currencies.currency_code is null then cast(1 as decimal(20, 12))
            else rates.rate
        end as closing_rate
    from company_months
    cross join policies
    left join company_currencies
        on company_months.company_id = company_currencies.company_id
    left join rates
        on company_currencies.currency_code = rates.from_currency
        and policies.reporting_currency = rates.to_currency
        and company_months.month_end_date >= rates.rate_date
        and company_months.month_end_date < rates.valid_until
    where company_months.is_group_period

),

-- Whole and broken part apart: a product of both has no room for all decimals. (A factor of 18 digits or less
-- makes the product 18 digits wide on DuckDB.) What is nothing needs no rate: a company at rest in a currency
-- that nobody quotes does not leave the group's figures unknown.
group_months as (

    select
        company_months.month_end_date,
        company_months.month_number,
        company_months.days_in_month,
        {% for measure in measures -%}
            {% if measure in unrounded -%}
        {{ complete_sum(
            'case when company_months.' ~ measure ~ ' = 0 then 0 else cast('
            ~ double('company_months.' ~ measure) ~ ' * ' ~ double('group_rates.closing_rate')
            ~ ' as decimal(38, 12)) end'
        ) }} as {{ measure }},
            {% else -%}
        {{ complete_sum(
            'case when company_months.' ~ measure ~ ' = 0 then 0 else '
            ~ 'cast(floor(company_months.' ~ measure ~ ') as decimal(21, 0))'
            ~ ' * cast(group_rates.closing_rate as decimal(17, 12))'
            ~ ' + cast(cast(company_months.' ~ measure ~ ' - floor(company_months.' ~ measure ~ ')'
            ~ ' as decimal(13, 12)) * cast(group_rates.closing_rate as decimal(17, 12)) as decimal(36, 12)) end'
        ) }} as {{ measure }},
            {% endif -%}
        {% endfor -%}
    {% for measure in counts -%}
        sum(company_months.{{ measure }}) as {{ measure }}{{ ',' if not loop.last }}
    {% endfor %}
    from company_months
    inner join group_rates
        on company_months.month_end_date = group_rates.month_end_date
        and company_months.company_id = group_rates.company_id
    where company_months.is_group_period
    group by
        company_months.month_end_date, company_months.month_number, company_months.days_in_month

),

-- One type for every branch: a union of decimals keeps the width and drops decimals without a word.
scopes as (

    select
        month_end_date, month_number, days_in_month, company_id,
        'customer' as scope_type, customer_id as scope_id,
        {{ typed_measures }},
        {{ counts | join(', ') }}
    from segmented
    where is_company_period
    union all
    select
        month_end_date, month_number, days_in_month, company_id,
        'segment' as scope_type, segment as scope_id,
        {{ typed_measures }},
        {{ counts | join(', ') }}
    from segment_months
    union all
    select
        month_end_date, month_number, days_in_month, company_id,
        'company' as scope_type, company_id as scope_id,
        {{ typed_measures }},
        {{ counts | join(', ') }}
    from company_months
    where is_company_period
    union all
    select
        month_end_date, month_number, days_in_month, 'group' as company_id,
        'group' as scope_type, 'group' as scope_id,
        {{ typed_measures }},
        {{ counts | join(', ') }}
    from group_months

),

described as (

    select
        month_end_date,
        month_number,
        days_in_month,
        company_id,
        scope_type,
        scope_id,
        {{ measures | join(',\n        ') }},
        {% for count in counts -%}
            cast({{ count }} as bigint) as {{ count }},
        {% endfor -%}
        {{ double('amount_days') }} / case
            when month_number < 1000000 then {{ days_in_month('month_end_date') }}
            else days_in_month
        end as average_daily_ar_amount,
        -- Twelve months back must lie inside the company's history, else a year's figure would be made up.
        month_number - min(month_number) over (partition by company_id) >= 11 as has_12_months,
        ar_amount is null or not_due_amount is null or opening_ar_amount is null
        or net_sales_amount is null as is_conversion_incomplete
    from scopes

)

select * from described
