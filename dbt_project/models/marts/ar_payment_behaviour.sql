with

scopes as (

    select * from {{ ref('int_scope_months') }}

),

measured as (

    select
        scopes.*,
        {{ ratio('settled_days_to_pay', 'settled_invoice_count') }} as days_to_pay,
        {{ ratio('applied_days_to_pay', 'applied_amount') }} as days_to_pay_weighted,
        {{ ratio('settled_days_late', 'settled_invoice_count') }} as days_late,
        {{ ratio('applied_days_late', 'applied_amount') }} as days_late_weighted,
        {{ ratio('late_invoice_count', 'settled_invoice_count') }} as late_share
    from scopes

),

published as (

    select
        month_end_date,
        company_id,
        scope_type,
        scope_id,
        days_to_pay,
        days_to_pay_weighted,
        days_late,
        days_late_weighted,
        late_share,
        cast(settled_invoice_count as bigint) as settled_invoice_count,
        {{ reasons_of_nulls([
            ('days_to_pay', [('settled_invoice_count = 0', 'nothing_settled')]),
            ('days_to_pay_weighted', [
                ('applied_amount = 0', 'nothing_paid'),
                ('applied_amount is null or applied_days_to_pay is null', 'conversion_incomplete'),
            ]),
            ('days_late', [('settled_invoice_count = 0', 'nothing_settled')]),
            ('days_late_weighted', [
                ('applied_amount = 0', 'nothing_paid'),
                ('applied_amount is null or applied_days_late is null', 'conversion_incomplete'),
            ]),
            ('late_share', [('settled_invoice_count = 0', 'nothing_settled')]),
        ]) }} as null_reasons
    from measured

)

select * from published
