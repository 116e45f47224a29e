with

matches as (

    select * from {{ ref('int_bank_matches') }}

),

published as (

    select
        {{ as_of_date() }} as as_of_date,
        transaction_id,
        open_item_id,
        company_id,
        customer_id,
        document_id,
        document_number,
        currency_code,
        rule,
        open_amount,
        proposed_amount,
        confidence,
        due_date,
        is_contested,
        is_proposed
    from matches

)

select * from published
