-- A gap that nothing explains is read as zero, or as a fault of the report.
{%- set metrics = {
    'ar_dso': [
        'dso', 'dso_signed', 'dso_rolling_90', 'dso_countback', 'best_possible_dso', 'average_days_delinquent',
    ],
    'ar_turnover': ['turnover', 'turnover_on_daily_average', 'turnover_days', 'turnover_12m'],
    'ar_collection_effectiveness': ['cei', 'cei_12m', 'recovery_rate', 'overdue_rate', 'overdue_item_rate'],
    'ar_payment_behaviour': [
        'days_to_pay', 'days_to_pay_weighted', 'days_late', 'days_late_weighted', 'late_share',
    ],
} %}
with

told as (

    {% for mart, columns in metrics.items() -%}
        {% set outer_last = loop.last -%}
        {% for column in columns -%}
            select
                month_end_date,
                company_id,
                scope_type,
                scope_id,
                '{{ column }}' as metric,
                {{ column }} is null as is_missing,
                coalesce('; ' || null_reasons like '%; {{ column }}: %', false) as is_explained
            from {{ ref(mart) }}
            {{ 'union all' if not (outer_last and loop.last) }}
        {% endfor -%}
    {% endfor %}
)

select * from told
where is_missing <> is_explained
