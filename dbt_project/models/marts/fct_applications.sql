with

settlements as (

    select * from {{ ref('int_settlements') }}
    where known_until = {{ forever() }} and credit_document_id is not null

),

documents as (

    select * from {{ ref('int_documents') }} where known_until = {{ forever() }}

),

bank_applications as (

    select * from {{ ref('int_bank_applications') }} where known_until = {{ forever() }}

),

published as (

    select
        settlements.settlement_id as application_id,
        settlements.invoice_id as invoice_document_id,
        settlements.credit_document_id,
        invoices.company_id,
        invoices.customer_id,
        settlements.settled_by as credit_type,
        invoices.currency_code,
        settlements.instalment_number,
        {{ money('settlements.amount') }} as amount,
        {{ money('settlements.discount_amount') }} as discount_amount,
        {{ round_to_minor_unit(
            converted('settlements.amount', 'invoices.booking_rate'), 'invoices.company_minor_unit'
        ) }} as company_amount,
        -- Settled amount x (rate of payment - rate of invoice), rounded once: a gain is positive.
        {{ round_to_minor_unit(
            converted('settlements.amount', 'credits.booking_rate - invoices.booking_rate'),
            'invoices.company_minor_unit',
        ) }} as realised_exchange_amount,
        settlements.effective_date,
        settlements.restated_date,
        settlements.ended_on,
        settlements.end_reason,
        settlements.known_on,
        bank_applications.transaction_id as bank_transaction_id,
        bank_applications.rule as match_rule,
        bank_applications.confidence as match_confidence,
        settlements.is_automatic
    from settlements
    inner join documents as invoices
        on settlements.invoice_id = invoices.document_id
    inner join documents as credits
        on settlements.credit_document_id = credits.document_id
    left join bank_applications
        on settlements.settlement_id = bank_applications.application_id

)

select * from published
