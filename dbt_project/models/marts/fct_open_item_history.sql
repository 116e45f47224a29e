with

history as (

    select * from {{ ref('int_open_item_history') }}

),

published as (

    select
        open_item_id,
        document_id,
        company_id,
        customer_id,
        document_type,
        currency_code,
        instalment_number,
        open_amount,
        company_amount,
        document_date,
        posting_date,
        due_date,
        valid_from,
        valid_to,
        is_credit,
        is_booking_rate_carried
    from history

),

-- Recent days read the tail of the table.
ordered as (

    select * from published
    order by valid_to, valid_from

)

select * from ordered
