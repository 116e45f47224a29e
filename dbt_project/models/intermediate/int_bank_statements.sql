with

statements as (

    select * from {{ ref('stg_bank_statements') }}
    where known_until = {{ forever() }} and not is_removed and statement_date <= {{ as_of_date() }}

),

sources as (

    select * from {{ source('settings', 'sources') }}

),

followed as (

    select
        statements.statement_id,
        statements.source_name,
        coalesce(statements.company_id, sources.default_company_id) as company_id,
        statements.account,
        statements.statement_number,
        coalesce(statements.currency_code, sources.default_currency_code) as currency_code,
        statements.opening_balance_amount,
        statements.transactions_amount,
        statements.closing_balance_amount,
        statements.transaction_count,
        statements.opening_date,
        statements.statement_date,
        lag(statements.closing_balance_amount) over (
            partition by statements.source_name, statements.account, statements.currency_code
            order by statements.statement_date, statements.statement_number, statements.statement_id
        ) as previous_closing_amount
    from statements
    left join sources
        on statements.source_name = sources.source

),

compared as (

    select
        followed.*,
        {{ money('opening_balance_amount + transactions_amount - closing_balance_amount') }}
            as difference_amount,
        {{ money('opening_balance_amount - previous_closing_amount') }} as gap_amount
    from followed

),

-- What does not add up, or does not begin where the one before ended, hides money that came in.
judged as (

    select
        compared.*,
        case
            when difference_amount is null then 'no_balances'
            when difference_amount <> 0 then 'does_not_add_up'
            when gap_amount <> 0 then 'statement_missing_before'
            else 'complete'
        end as status
    from compared

)

select * from judged
