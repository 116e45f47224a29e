with

versions as (

    {{ known_versions('invoices') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':invoice:' || _row_key as invoice_id,
        _source || ':' || customer_id as customer_id,
        coalesce(invoice_number, _row_key) as document_number,
        company_id,
        coalesce(document_type, 'invoice') as document_type,
        currency_code,
        coalesce(status, 'posted') as status,
        reference,
        salesperson,
        contract_id,
        {{ money('amount') }} as amount,
        {{ money('tax_amount') }} as tax_amount,
        exchange_rate,
        terms_days,
        invoice_date,
        posting_date,
        due_date,
        voided_on,
        issued_at,
        sent_at,
        created_at,
        updated_at,
        is_disputed,
        _version as version,
        _is_removed as is_removed,
        known_on,
        known_until,
        is_only_version
    from versions

)

select * from renamed
