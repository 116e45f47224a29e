with

versions as (

    {{ known_versions('adjustments') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':adjustment:' || _row_key as adjustment_id,
        adjustment_type,
        _source || ':' || customer_id as customer_id,
        coalesce(adjustment_number, _row_key) as document_number,
        _source || ':invoice:' || invoice_id as invoice_id,
        credit_type,
        _source || case credit_type
            when 'receipt' then ':receipt:'
            when 'credit_memo' then ':credit_memo:'
            else ':adjustment:'
        end || credit_id as credit_id,
        reason,
        approved_by,
        currency_code,
        company_id,
        coalesce(status, 'posted') as status,
        {{ money('amount') }} as amount,
        exchange_rate,
        adjustment_date,
        posting_date,
        due_date,
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
