with

disputes as (

    select * from {{ ref('stg_disputes') }}
    where known_until = {{ forever() }} and not is_removed

),

documents as (

    select * from {{ ref('int_documents') }} where known_until = {{ forever() }}

),

published as (

    select
        disputes.dispute_id,
        disputes.invoice_id as document_id,
        documents.company_id,
        documents.customer_id,
        disputes.reason,
        disputes.outcome,
        documents.currency_code,
        coalesce(disputes.amount, documents.amount) as amount,
        disputes.opened_on,
        disputes.closed_on,
        disputes.opened_on <= {{ as_of_date() }}
        and coalesce(disputes.closed_on, {{ forever() }}) > {{ as_of_date() }} as is_open
    from disputes
    inner join documents
        on disputes.invoice_id = documents.document_id

)

select * from published
