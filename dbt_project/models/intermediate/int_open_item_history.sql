with

entries as (

    select * from {{ ref('int_ledger_entries') }}

),

items as (

    select * from {{ ref('int_open_items') }} where known_until = {{ forever() }}

),

-- Every entry that is known; what a correction took back cancels here.
daily_changes as (

    select
        open_item_id,
        effective_date,
        sum(amount) as change
    from entries
    group by open_item_id, effective_date
    having sum(amount) <> 0

),

balances as (

    select
        open_item_id,
        effective_date as valid_from,
        coalesce(
            lead(effective_date) over (partition by open_item_id order by effective_date),
            {{ forever() }}
        ) as valid_to,
        sum(change) over (
            partition by open_item_id
            order by effective_date
            rows between unbounded preceding and current row
        ) as open_amount
    from daily_changes

),

described as (

    select
        items.open_item_id,
        items.document_id,
        items.company_id,
        items.customer_id,
        items.document_type,
        items.currency_code,
        items.company_currency_code,
        items.instalment_number,
        items.company_minor_unit,
        {{ money('balances.open_amount') }} as open_amount,
        {{ round_to_minor_unit(
            converted('balances.open_amount', 'items.booking_rate'), 'items.company_minor_unit'
        ) }} as company_amount,
        items.document_date,
        items.posting_date,
        items.due_date,
        balances.valid_from,
        balances.valid_to,
        balances.open_amount < 0 as is_credit,
        items.is_booking_rate_carried
    from balances
    inner join items
        on balances.open_item_id = items.open_item_id
    where balances.open_amount <> 0

)

select * from described
