with

documents as (

    select * from {{ ref('int_documents') }} where known_until = {{ forever() }}

),

details as (

    select * from {{ ref('int_document_details') }}

),

published as (

    select
        documents.document_id,
        documents.company_id,
        documents.customer_id,
        documents.source_name,
        details.document_number,
        documents.document_type,
        case when documents.ended_on is null then 'posted' else documents.end_reason end as status,
        details.reason,
        details.reference,
        details.salesperson,
        details.contract_id,
        documents.linked_invoice_id,
        documents.currency_code,
        documents.company_currency_code,
        documents.amount,
        details.tax_amount,
        {{ round_to_minor_unit(
            converted('documents.amount', 'documents.booking_rate'), 'documents.company_minor_unit'
        ) }} as company_amount,
        documents.booking_rate,
        documents.document_date,
        documents.posting_date,
        documents.due_date,
        documents.ended_on,
        documents.known_on,
        documents.sign = -1 as is_credit,
        documents.is_booking_rate_carried,
        coalesce(details.is_disputed, false) as is_disputed
    from documents
    left join details
        on documents.document_id = details.document_id

)

select * from published
