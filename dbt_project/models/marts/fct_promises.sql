with

promises as (

    select * from {{ ref('stg_promises') }}
    where known_until = {{ forever() }} and not is_removed

),

customers as (

    select * from {{ ref('int_customer_history') }} where is_current

),

published as (

    select
        promises.promise_id,
        customers.company_id,
        promises.customer_id,
        promises.invoice_id as document_id,
        promises.amount,
        promises.promised_on,
        promises.promised_date
    from promises
    left join customers
        on promises.customer_id = customers.customer_id

)

select * from published
