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

rates as (

    select * from {{ ref('int_exchange_rates') }}
    where rate_date <= {{ as_of_date() }} and valid_until > {{ as_of_date() }}

),

currencies as (

    select * from {{ source('settings', 'currencies') }}

),

-- Revaluation is a figure beside the booked balance, never a change of it.
revalued as (

    select
        items.*,
        case
            when items.currency_code = items.company_currency_code then items.company_amount
            else {{ round_to_minor_unit(
                converted('items.open_amount', 'rates.rate'), 'coalesce(currencies.minor_unit, 2)'
            ) }}
        end as revalued_amount
    from items
    left join rates
        on items.currency_code = rates.from_currency
        and items.company_currency_code = rates.to_currency
    left join currencies
        on items.company_currency_code = currencies.currency_code

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
        items.revalued_amount,
        {{ money('items.revalued_amount - items.company_amount') }} as unrealised_exchange_amount,
        items.document_date,
        items.posting_date,
        items.due_date,
        items.days_past_due,
        items.is_credit,
        items.is_rate_carried,
        items.is_booking_rate_carried,
        coalesce(details.is_disputed, false) or open_disputes.invoice_id is not null as is_disputed
    from revalued as items
    left join details
        on items.document_id = details.document_id
    left join customers
        on items.customer_id = customers.customer_id
    left join open_disputes
        on items.document_id = open_disputes.invoice_id

)

select * from published
