with

versions as (

    {{ known_versions('bank_transactions') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':bank:' || _row_key as transaction_id,
        _source || ':statement:' || statement_id as statement_id,
        company_id,
        account,
        direction,
        currency_code,
        customer_id,
        counterparty_name,
        counterparty_account,
        reference,
        bank_reference,
        remittance,
        {{ money('amount') }} as amount,
        booking_date,
        value_date,
        coalesce(is_reversal, false) as is_reversal,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until
    from versions

)

select * from renamed
