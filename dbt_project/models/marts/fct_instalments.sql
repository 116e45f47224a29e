with

items as (

    select * from {{ ref('int_open_items') }}
    where known_until = {{ forever() }} and instalment_number >= 1

),

published as (

    select
        document_id,
        instalment_number,
        open_item_id,
        company_id,
        customer_id,
        currency_code,
        {{ money('original_amount') }} as amount,
        due_date
    from items

)

select * from published
