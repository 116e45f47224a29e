with

customers as (

    select * from {{ ref('int_customer_history') }} where is_current

),

documents as (

    select * from {{ ref('int_documents') }} where known_until = {{ forever() }}

),

parents as (

    select * from {{ ref('int_customer_parents') }}

),

-- A document of a customer that nobody delivered is still a claim: its customer gets a row.
inferred as (

    select
        documents.customer_id,
        min(documents.source_name) as source_name,
        min(documents.company_id) as company_id
    from documents
    left join customers
        on documents.customer_id = customers.customer_id
    where customers.customer_id is null
    group by documents.customer_id

),

all_customers as (

    select
        customers.customer_id,
        customers.company_id,
        customers.parent_customer_id,
        parents.ultimate_parent_customer_id,
        customers.source_name,
        customers.customer_name,
        customers.segment,
        customers.industry,
        customers.country_code,
        customers.region,
        customers.currency_code,
        customers.credit_rating,
        customers.collector,
        customers.salesperson,
        customers.email,
        customers.language,
        customers.credit_limit_amount,
        customers.payment_terms_days,
        customers.is_active,
        false as is_inferred
    from customers
    left join parents
        on customers.customer_id = parents.customer_id
    union all
    select
        customer_id,
        company_id,
        cast(null as varchar(200)) as parent_customer_id,
        customer_id as ultimate_parent_customer_id,
        source_name,
        customer_id as customer_name,
        'unassigned' as segment,
        cast(null as varchar(200)) as industry,
        cast(null as varchar(200)) as country_code,
        cast(null as varchar(200)) as region,
        cast(null as varchar(200)) as currency_code,
        cast(null as varchar(200)) as credit_rating,
        cast(null as varchar(200)) as collector,
        cast(null as varchar(200)) as salesperson,
        cast(null as varchar(200)) as email,
        cast(null as varchar(200)) as language,
        cast(null as {{ amount_type() }}) as credit_limit_amount,
        cast(null as integer) as payment_terms_days,
        true as is_active,
        true as is_inferred
    from inferred

)

select * from all_customers
