with

versions as (

    {{ known_versions('bank_statements') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':statement:' || _row_key as statement_id,
        company_id,
        account,
        statement_number,
        currency_code,
        {{ money('opening_balance_amount') }} as opening_balance_amount,
        {{ money('closing_balance_amount') }} as closing_balance_amount,
        {{ money('transactions_amount') }} as transactions_amount,
        transaction_count,
        opening_date,
        statement_date,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until
    from versions

)

select * from renamed
