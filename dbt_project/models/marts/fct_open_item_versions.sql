with

items as (

    select * from {{ ref('int_open_items') }}

),

details as (

    select * from {{ ref('int_document_details') }}

),

published as (

    select
        items.open_item_id,
        items.document_id,
        items.company_id,
        items.customer_id,
        items.document_type,
        details.document_number,
        items.currency_code,
        items.company_currency_code,
        items.instalment_number,
        items.company_minor_unit,
        items.booking_rate,
        items.document_date,
        items.posting_date,
        items.due_date,
        items.is_booking_rate_carried,
        items.known_on,
        items.known_until
    from items
    left join details
        on items.document_id = details.document_id

)

select * from published
