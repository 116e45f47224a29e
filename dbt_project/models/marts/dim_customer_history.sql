with

history as (

    select * from {{ ref('int_customer_history') }}

),

published as (

    select
        customer_id,
        company_id,
        parent_customer_id,
        customer_name,
        segment,
        industry,
        country_code,
        region,
        currency_code,
        credit_rating,
        collector,
        salesperson,
        credit_limit_amount,
        payment_terms_days,
        valid_from,
        valid_to,
        is_active,
        is_current
    from history

)

select * from published
