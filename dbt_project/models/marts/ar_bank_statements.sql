with

statements as (

    select * from {{ ref('int_bank_statements') }}

),

published as (

    select
        {{ as_of_date() }} as as_of_date,
        statement_id,
        company_id,
        account,
        statement_number,
        currency_code,
        status,
        opening_balance_amount,
        transactions_amount,
        closing_balance_amount,
        difference_amount,
        previous_closing_amount,
        gap_amount,
        transaction_count,
        opening_date,
        statement_date
    from statements

)

select * from published
