with

entries as (

    select * from {{ ref('int_ledger_entries') }}

),

published as (

    select
        entry_id,
        open_item_id,
        document_id,
        cause_document_id,
        application_id,
        company_id,
        customer_id,
        entry_type,
        cause_type,
        event_type,
        reason,
        currency_code,
        instalment_number,
        amount,
        booked_amount as company_amount,
        effective_date,
        restated_date,
        known_on
    from entries

)

select * from published
