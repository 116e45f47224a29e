with

versions as (

    {{ known_versions('bank_applications') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':bank_application:' || _row_key as application_id,
        _source || ':bank:' || transaction_id as transaction_id,
        _source || ':receipt:' || transaction_id as receipt_id,
        document_id as invoice_id,
        customer_id,
        rule,
        {{ money('amount') }} as amount,
        cast(confidence as decimal(3, 2)) as confidence,
        instalment_number,
        applied_on,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until
    from versions

)

select * from renamed
