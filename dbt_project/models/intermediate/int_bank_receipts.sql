with

transactions as (

    select * from {{ ref('stg_bank_transactions') }}
    where known_until = {{ forever() }} and not is_removed and booking_date <= {{ as_of_date() }}

),

sources as (

    select * from {{ source('settings', 'sources') }}

),

applications as (

    select distinct
        transaction_id,
        receipt_id
    from {{ ref('int_bank_applications') }}
    where known_until = {{ forever() }}

),

-- The receipts of the books: what a bank booking became by itself is no second one.
documents as (

    select documents.*
    from {{ ref('int_documents') }} as documents
    left join applications
        on documents.document_id = applications.receipt_id
    where
        documents.known_until = {{ forever() }}
        and documents.document_type = 'receipt'
        and documents.ended_on is null
        and applications.receipt_id is null

),

details as (

    select * from {{ ref('int_document_details') }}

),

-- Money that came in; a reversal is the return of a payment that went out, or takes one back.
came_in as (

    select
        transactions.transaction_id,
        transactions.statement_id,
        transactions.source_name,
        coalesce(transactions.company_id, sources.default_company_id) as company_id,
        transactions.account,
        coalesce(transactions.currency_code, sources.default_currency_code) as currency_code,
        transactions.customer_id,
        transactions.counterparty_name,
        transactions.counterparty_account,
        transactions.reference,
        transactions.bank_reference,
        transactions.remittance,
        {{ bare_text("coalesce(transactions.remittance, '') || ' ' || coalesce(transactions.reference, '')") }}
            as matching_text,
        {{ bare_text("coalesce(transactions.counterparty_name, '')") }} as matching_name,
        transactions.amount,
        transactions.booking_date
    from transactions
    left join sources
        on transactions.source_name = sources.source
    where transactions.direction = 'credit' and not transactions.is_reversal

),

recorded as (

    select
        came_in.transaction_id,
        documents.document_id,
        case
            when details.reference in (came_in.reference, came_in.bank_reference) then 1
            else 2
        end as tier,
        abs({{ days_between('came_in.booking_date', 'documents.document_date') }}) as days_apart
    from came_in
    inner join documents
        on came_in.company_id = documents.company_id
        and came_in.currency_code = documents.currency_code
        and came_in.amount = documents.amount
    left join details
        on documents.document_id = details.document_id
    where
        documents.document_date <= {{ add_days('came_in.booking_date', var('bank_recording_days')) }}
        and came_in.booking_date <= {{ add_days('documents.document_date', var('bank_recording_days')) }}

),

ranked as (

    select
        recorded.*,
        row_number() over (
            partition by transaction_id order by tier, days_apart, document_id
        ) as rank_of_document,
        row_number() over (
            partition by document_id order by tier, days_apart, transaction_id
        ) as rank_of_transaction
    from recorded

),

-- Two payments of one amount are two: a pair counts when each is the other's nearest.
pairs as (

    select
        transaction_id,
        document_id
    from ranked
    where rank_of_document = 1 and rank_of_transaction = 1

),

joined as (

    select
        came_in.*,
        pairs.document_id as recorded_receipt_id,
        applications.receipt_id as applied_receipt_id
    from came_in
    left join pairs
        on came_in.transaction_id = pairs.transaction_id
    left join applications
        on came_in.transaction_id = applications.transaction_id

)

select * from joined
