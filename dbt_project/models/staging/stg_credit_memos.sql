with

versions as (

    {{ known_versions('credit_memos') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':credit_memo:' || _row_key as credit_memo_id,
        _source || ':' || customer_id as customer_id,
        currency_code,
        company_id,
        coalesce(credit_memo_number, _row_key) as document_number,
        _source || ':invoice:' || invoice_id as invoice_id,
        reason,
        coalesce(status, 'posted') as status,
        {{ money('amount') }} as amount,
        exchange_rate,
        credit_memo_date,
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
