with

scopes as (

    select * from {{ ref('int_scope_months') }}

),

averaged as (

    select
        scopes.*,
        {{ double('opening_ar_amount + ar_amount') }} / 2 as average_ar_amount,
        {{ double('ar_12m_ago_amount + ar_amount') }} / 2 as average_12m_ar_amount
    from scopes

),

-- Without sales the receivable did not turn: 0. Without a positive receivable there is nothing to turn: null.
measured as (

    select
        averaged.*,
        case
            when is_conversion_incomplete then null
            when net_sales_amount <= 0 then 0
            when average_ar_amount > 0 then {{ double('net_sales_amount') }} / average_ar_amount
        end as turnover,
        case
            when is_conversion_incomplete or average_daily_ar_amount is null then null
            when net_sales_amount <= 0 then 0
            when average_daily_ar_amount > 0
                then {{ double('net_sales_amount') }} / average_daily_ar_amount
        end as turnover_on_daily_average,
        case
            when is_conversion_incomplete then null
            when net_sales_amount > 0 and average_ar_amount > 0
                then days_in_month * average_ar_amount / {{ double('net_sales_amount') }}
        end as turnover_days,
        case
            when is_conversion_incomplete or not has_12_months or average_12m_ar_amount is null then null
            when net_sales_12m_amount <= 0 then 0
            when average_12m_ar_amount > 0
                then {{ double('net_sales_12m_amount') }} / average_12m_ar_amount
        end as turnover_12m
    from averaged

),

published as (

    select
        month_end_date,
        company_id,
        scope_type,
        scope_id,
        turnover,
        turnover_on_daily_average,
        turnover_days,
        turnover_12m,
        case when not is_conversion_incomplete then {{ money('net_sales_amount') }} end as net_sales_amount,
        case when not is_conversion_incomplete then {{ money('opening_ar_amount') }} end as opening_ar_amount,
        case when not is_conversion_incomplete then {{ money('ar_amount') }} end as closing_ar_amount,
        days_in_month,
        case
            when is_conversion_incomplete then 'conversion_incomplete'
            when net_sales_amount <= 0 then 'no_sales_in_period'
            when average_ar_amount <= 0 then 'no_receivables'
        end as flag,
        {{ reasons_of_nulls([
            ('turnover', [
                ('is_conversion_incomplete', 'conversion_incomplete'),
                ('average_ar_amount <= 0', 'no_receivables'),
            ]),
            ('turnover_on_daily_average', [
                ('is_conversion_incomplete or average_daily_ar_amount is null', 'conversion_incomplete'),
                ('average_daily_ar_amount <= 0', 'no_receivables'),
            ]),
            ('turnover_days', [
                ('is_conversion_incomplete', 'conversion_incomplete'),
                ('net_sales_amount <= 0', 'no_sales_in_period'),
                ('average_ar_amount <= 0', 'no_receivables'),
            ]),
            ('turnover_12m', [
                ('not has_12_months', 'insufficient_history'),
                (
                    'is_conversion_incomplete or net_sales_12m_amount is null or average_12m_ar_amount is null',
                    'conversion_incomplete',
                ),
                ('average_12m_ar_amount <= 0', 'no_receivables'),
            ]),
        ]) }} as null_reasons
    from measured

)

select * from published
