with

allocations as (

    select * from {{ ref('int_allocations') }} where view_name = 'restated'

),

complex_invoices as (

    select * from {{ ref('int_complex_invoices') }}

),

-- Known now, and in effect only when the day of the application is left out.
short_settlements as (

    select
        settlements.*,
        complex_invoices.invoice_id is not null as is_complex
    from {{ ref('int_settlements') }} as settlements
    left join complex_invoices
        on settlements.invoice_id = complex_invoices.invoice_id
    where
        settlements.known_until = {{ forever() }}
        and settlements.ended_on <= settlements.effective_date

),

short_entries as (

    select
        settlement_id || ':applied' as event_id,
        invoice_id || ':1' as open_item_id,
        {{ money('-amount - discount_amount') }} as amount,
        restated_date as effective_date
    from short_settlements
    where not is_complex
    union all
    select
        settlement_id || ':ended' as event_id,
        invoice_id || ':1' as open_item_id,
        {{ money('amount + discount_amount') }} as amount,
        ended_on as effective_date
    from short_settlements
    where not is_complex
    union all
    select
        settlement_id || ':used' as event_id,
        credit_document_id as open_item_id,
        amount,
        restated_date as effective_date
    from short_settlements
    where credit_document_id is not null
    union all
    select
        settlement_id || ':used:ended' as event_id,
        credit_document_id as open_item_id,
        {{ money('-amount') }} as amount,
        ended_on as effective_date
    from short_settlements
    where credit_document_id is not null

),

entries as (

    select
        event_id,
        open_item_id,
        amount,
        effective_date
    from allocations
    union all
    select
        event_id,
        open_item_id,
        amount,
        effective_date
    from short_entries

)

select * from entries
