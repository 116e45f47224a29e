with

documents as (

    select * from {{ ref('int_documents') }}

),

instalments as (

    select * from {{ ref('int_instalments') }}

),

complex_invoices as (

    select * from {{ ref('int_complex_invoices') }}

),

instalment_items as (

    select
        instalments.document_id || ':' || cast(instalments.instalment_number as varchar(20))
            as open_item_id,
        instalments.document_id,
        instalments.instalment_number,
        instalments.amount as original_amount,
        instalments.due_date,
        instalments.known_on as item_known_on,
        instalments.known_until as item_known_until
    from instalments

),

-- What was settled beyond the invoice: one credit item of its own.
excess_items as (

    select
        complex_invoices.invoice_id || ':0' as open_item_id,
        complex_invoices.invoice_id as document_id,
        0 as instalment_number,
        {{ money('0') }} as original_amount,
        documents.document_date as due_date,
        documents.known_on as item_known_on,
        documents.known_until as item_known_until
    from complex_invoices
    inner join documents
        on complex_invoices.invoice_id = documents.document_id

),

-- Credit items age by their own document date; a debit of its own by its due date.
single_items as (

    select
        document_id as open_item_id,
        document_id,
        cast(null as integer) as instalment_number,
        {{ money('amount * sign') }} as original_amount,
        case when sign = 1 then due_date else document_date end as due_date,
        known_on as item_known_on,
        known_until as item_known_until
    from documents
    where document_type not in ('invoice', 'debit_memo')

),

items as (

    select * from instalment_items
    union all
    select * from excess_items
    union all
    select * from single_items

),

described as (

    select
        items.open_item_id,
        items.document_id,
        documents.source_name,
        documents.company_id,
        documents.customer_id,
        documents.document_type,
        documents.currency_code,
        documents.company_currency_code,
        items.instalment_number,
        documents.minor_unit,
        documents.company_minor_unit,
        items.original_amount,
        documents.booking_rate,
        documents.document_date,
        documents.posting_date,
        items.due_date,
        documents.ended_on,
        documents.is_booking_rate_carried,
        greatest(items.item_known_on, documents.known_on) as known_on,
        least(items.item_known_until, documents.known_until) as known_until
    from items
    inner join documents
        on items.document_id = documents.document_id
        and items.item_known_on < documents.known_until
        and items.item_known_until > documents.known_on

)

select * from described
