with

scopes as (

    select * from {{ ref('int_scope_months') }}

),

published as (

    select
        month_end_date,
        company_id,
        scope_type,
        scope_id,
        {{ ratio('settled_days_to_pay', 'settled_invoice_count') }} as days_to_pay,
        {{ ratio('applied_days_to_pay', 'applied_amount') }} as days_to_pay_weighted,
        {{ ratio('settled_days_late', 'settled_invoice_count') }} as days_late,
        {{ ratio('applied_days_late', 'applied_amount') }} as days_late_weighted,
        {{ ratio('late_invoice_count', 'settled_invoice_count') }} as late_share,
        cast(settled_invoice_count as bigint) as settled_invoice_count
    from scopes

)

select * from published
