with

items as (

    select * from {{ ref('int_item_snapshots') }} where as_of_date = {{ as_of_date() }}

),

details as (

    select * from {{ ref('int_document_details') }}

),

customers as (

    select * from {{ ref('int_customer_history') }} where is_current

),

open_disputes as (

    select distinct invoice_id
    from {{ ref('stg_disputes') }}
    where
        known_until = {{ forever() }}
        and not is_removed
        and opened_on <= {{ as_of_date() }}
        and coalesce(closed_on, {{ forever() }}) > {{ as_of_date() }}

),

published as (

    select
        items.as_of_date,
        items.open_item_id,
        items.company_id,
        items.customer_id,
        items.document_id,
        details.document_number,
        items.document_type,
        items.instalment_number,
        items.currency_code,
        items.company_currency_code,
        items.group_currency_code,
        items.aging_bucket,
        customers.collector,
        items.open_amount,
        items.company_amount,
        items.group_amount,
        items.document_date,
        items.posting_date,
        items.due_date,
        items.days_past_due,
        items.is_credit,
        coalesce(details.is_disputed, false) or open_disputes.invoice_id is not null as is_disputed
    from items
    left join details
        on items.document_id = details.document_id
    left join customers
        on items.customer_id = customers.customer_id
    left join open_disputes
        on items.document_id = open_disputes.invoice_id

)

select * from published
