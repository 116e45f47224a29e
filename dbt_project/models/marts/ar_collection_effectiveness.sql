with

scopes as (

    select * from {{ ref('int_scope_months') }}

),

-- n months of sales, divided by n: the receivable that one month could collect.
collectible as (

    select
        scopes.*,
        {{ double('opening_ar_amount + net_sales_amount - ar_amount') }} as collected_base,
        {{ double('opening_ar_amount + net_sales_amount - not_due_amount') }} as collectible_base,
        {{ double('ar_12m_ago_amount') }} + {{ double('net_sales_12m_amount') }} / 12
        - {{ double('ar_amount') }} as collected_base_12m,
        {{ double('ar_12m_ago_amount') }} + {{ double('net_sales_12m_amount') }} / 12
        - {{ double('not_due_amount') }} as collectible_base_12m
    from scopes

),

measured as (

    select
        collectible.*,
        case
            when not is_conversion_incomplete
                then collected_base / nullif(collectible_base, 0) * 100
        end as cei,
        case
            when not is_conversion_incomplete and has_12_months
                then collected_base_12m / nullif(collectible_base_12m, 0) * 100
        end as cei_12m,
        case
            when not is_conversion_incomplete
                then {{ ratio('collected_amount', 'opening_ar_amount + falling_due_amount') }}
        end as recovery_rate,
        case
            when not is_conversion_incomplete
                then {{ ratio('ar_amount - not_due_amount', 'ar_amount') }}
        end as overdue_rate,
        {{ ratio('overdue_item_count', 'item_count') }} as overdue_item_rate
    from collectible

),

published as (

    select
        month_end_date,
        company_id,
        scope_type,
        scope_id,
        cei,
        cei_12m,
        recovery_rate,
        overdue_rate,
        overdue_item_rate,
        case when not is_conversion_incomplete then {{ money('collected_amount') }} end as collected_amount,
        case when not is_conversion_incomplete then {{ money('opening_ar_amount') }} end as opening_ar_amount,
        case when not is_conversion_incomplete then {{ money('ar_amount') }} end as closing_ar_amount,
        case when not is_conversion_incomplete then {{ money('not_due_amount') }} end as closing_not_due_amount,
        case when not is_conversion_incomplete then {{ money('net_sales_amount') }} end as net_sales_amount,
        case
            when is_conversion_incomplete then 'conversion_incomplete'
            when collectible_base = 0 then 'nothing_was_collectible'
        end as flag,
        {{ reasons_of_nulls([
            ('cei', [
                ('is_conversion_incomplete', 'conversion_incomplete'),
                ('collectible_base = 0', 'nothing_was_collectible'),
            ]),
            ('cei_12m', [
                ('not has_12_months', 'insufficient_history'),
                (
                    'is_conversion_incomplete or collected_base_12m is null or collectible_base_12m is null',
                    'conversion_incomplete',
                ),
                ('collectible_base_12m = 0', 'nothing_was_collectible'),
            ]),
            ('recovery_rate', [
                (
                    'is_conversion_incomplete or collected_amount is null or falling_due_amount is null',
                    'conversion_incomplete',
                ),
                ('opening_ar_amount + falling_due_amount = 0', 'nothing_was_collectible'),
            ]),
            ('overdue_rate', [
                ('is_conversion_incomplete', 'conversion_incomplete'),
                ('ar_amount = 0', 'no_receivables'),
            ]),
            ('overdue_item_rate', [('item_count = 0', 'no_receivables')]),
        ]) }} as null_reasons
    from measured

)

select * from published
