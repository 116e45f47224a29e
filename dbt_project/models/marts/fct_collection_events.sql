with

events as (

    select * from {{ ref('stg_collection_events') }}
    where known_until = {{ forever() }} and not is_removed

),

customers as (

    select * from {{ ref('int_customer_history') }} where is_current

),

published as (

    select
        events.event_id,
        customers.company_id,
        events.customer_id,
        events.invoice_id as document_id,
        events.stage,
        events.channel,
        events.collector,
        events.outcome,
        events.event_date
    from events
    left join customers
        on events.customer_id = customers.customer_id

)

select * from published
