with

versions as (

    {{ known_versions('receipts') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':receipt:' || _row_key as receipt_id,
        _source || ':' || customer_id as customer_id,
        currency_code,
        company_id,
        coalesce(receipt_number, _row_key) as document_number,
        method,
        bank_reference,
        coalesce(status, 'posted') as status,
        {{ money('amount') }} as amount,
        exchange_rate,
        receipt_date,
        posting_date,
        voided_on,
        created_at,
        updated_at,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until,
        is_only_version
    from versions

)

select * from renamed
