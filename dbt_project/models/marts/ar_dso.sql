with

scopes as (

    select * from {{ ref('int_scope_months') }}

),

countback as (

    select * from {{ ref('int_countback') }}

),

computed as (

    select
        scopes.*,
        countback.countback_days,
        countback.run_days,
        countback.covered_sales,
        scopes.net_sales_amount > 0 and not scopes.is_conversion_incomplete as is_computable,
        {{ ratio('scopes.ar_amount', 'scopes.net_sales_amount') }} * scopes.days_in_month as simple_dso,
        {{ ratio('scopes.not_due_amount', 'scopes.net_sales_amount') }} * scopes.days_in_month as best_dso
    from scopes
    left join countback
        on scopes.month_end_date = countback.month_end_date
        and scopes.company_id = countback.company_id
        and scopes.scope_type = countback.scope_type
        and scopes.scope_id = countback.scope_id

),

measured as (

    select
        computed.*,
        case when is_computable then greatest(simple_dso, 0) end as dso,
        case when is_computable then simple_dso end as dso_signed,
        case
            when is_computable and net_sales_90_amount > 0
                then greatest({{ ratio('ar_amount', 'net_sales_90_amount') }} * 90, 0)
        end as dso_rolling_90,
        case
            when is_computable and ar_amount <= 0 then 0
            when is_computable then countback_days
        end as dso_countback,
        case when is_computable then best_dso end as best_possible_dso,
        case when is_computable then simple_dso - best_dso end as average_days_delinquent
    from computed

),

published as (

    select
        month_end_date,
        company_id,
        scope_type,
        scope_id,
        dso,
        dso_signed,
        dso_rolling_90,
        dso_countback,
        case
            when not is_computable then 0
            when ar_amount <= 0 then 0
            else coalesce(countback_days, run_days)
        end as countback_days_covered,
        case
            when not is_computable then {{ money('ar_amount') }}
            when ar_amount <= 0 or countback_days is not null then {{ money('0') }}
            else {{ money('ar_amount - covered_sales') }}
        end as countback_uncovered_amount,
        best_possible_dso,
        average_days_delinquent,
        case when not is_conversion_incomplete then {{ money('ar_amount') }} end as ar_amount,
        case when not is_conversion_incomplete then {{ money('not_due_amount') }} end as not_due_amount,
        case when not is_conversion_incomplete then {{ money('net_sales_amount') }} end as net_sales_amount,
        days_in_month,
        case
            when is_conversion_incomplete then 'conversion_incomplete'
            when net_sales_amount <= 0 then 'no_sales_in_period'
            when ar_amount < 0 then 'credit_balance'
            when ar_amount > 0 and countback_days is null then 'insufficient_history'
        end as flag,
        {%- set family = [
            ('is_conversion_incomplete', 'conversion_incomplete'),
            ('net_sales_amount <= 0', 'no_sales_in_period'),
        ] %}
        {{ reasons_of_nulls([
            ('dso', family),
            ('dso_signed', family),
            ('dso_rolling_90', family + [
                ('net_sales_90_amount is null', 'conversion_incomplete'),
                ('net_sales_90_amount <= 0', 'no_sales_in_period'),
            ]),
            ('dso_countback', family + [('countback_days is null', 'insufficient_history')]),
            ('best_possible_dso', family),
            ('average_days_delinquent', family),
        ]) }} as null_reasons
    from measured

)

select * from published
