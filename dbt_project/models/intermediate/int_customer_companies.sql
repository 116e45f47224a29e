with

customers as (

    select * from {{ ref('stg_customers') }} where company_id is not null

),

-- The first company that the source named: a later move of the customer must not move old documents.
ranked as (

    select
        customer_id,
        company_id,
        row_number() over (partition by customer_id order by version) as version_rank
    from customers

),

first_company as (

    select
        customer_id,
        company_id
    from ranked where version_rank = 1

)

select * from first_company
