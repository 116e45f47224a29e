with

versions as (

    {{ known_versions('applications') }}

),

renamed as (

    select
        _source as source_name,
        _source || ':application:' || _row_key as application_id,
        credit_type,
        _source || case credit_type
            when 'receipt' then ':receipt:'
            when 'credit_memo' then ':credit_memo:'
            else ':adjustment:'
        end || credit_id as credit_id,
        _source || ':invoice:' || invoice_id as invoice_id,
        {{ money('amount') }} as amount,
        {{ money('discount_amount') }} as discount_amount,
        exchange_rate,
        instalment_number,
        applied_on,
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
