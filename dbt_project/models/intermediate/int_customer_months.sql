with

month_ends as (

    select * from {{ ref('int_month_ends') }}

),

month_days as (

    select * from {{ ref('int_month_days') }}

),

all_entries as (

    select * from {{ ref('int_ledger_entries') }}

),

-- What was taken back adds up to nothing, but a rate that it lacked would leave the month unknown.
entries as (

    select * from all_entries where not is_superseded

),

history as (

    select * from {{ ref('int_open_item_history') }}

),

items as (

    select * from {{ ref('int_open_items') }} where known_until = {{ forever() }}

),

aging as (

    select * from {{ ref('int_customer_aging') }} where snapshot_type = 'month_end'

),

paid_invoices as (

    select * from {{ ref('int_paid_invoices') }}

),

sales as (

    select
        company_id,
        customer_id,
        effective_date,
        cast({{ complete_sum('booked_amount') }} as decimal(38, 12)) as net_sales_amount
    from entries
    where entry_type in ('invoice', 'debit_memo', 'credit_memo')
    group by company_id, customer_id, effective_date

),

monthly_sales as (

    select
        sales.company_id,
        sales.customer_id,
        month_days.month_number,
        {{ complete_sum('sales.net_sales_amount') }} as net_sales_amount
    from sales
    inner join month_days
        on sales.company_id = month_days.company_id
        and sales.effective_date = month_days.date_day
    group by sales.company_id, sales.customer_id, month_days.month_number

),

balances as (

    select
        aging.company_id,
        aging.customer_id,
        month_ends.month_number,
        {{ complete_sum('aging.company_amount') }} as ar_amount,
        {{ complete_sum('aging.not_due_company_amount') }} as not_due_amount,
        sum(aging.item_count) as item_count,
        sum(aging.overdue_item_count) as overdue_item_count
    from aging
    inner join month_ends
        on aging.company_id = month_ends.company_id
        and aging.as_of_date = month_ends.month_end_date
    group by aging.company_id, aging.customer_id, month_ends.month_number

),

-- The invoice's side of the applications: what cash settled, also beyond the invoice.
collected as (

    select
        entries.company_id,
        entries.customer_id,
        month_days.month_number,
        {{ complete_sum('-entries.company_amount') }} as collected_amount
    from entries
    inner join month_days
        on entries.company_id = month_days.company_id
        and entries.effective_date = month_days.date_day
    where
        entries.entry_type = 'application'
        and entries.cause_type = 'receipt'
        and entries.ledger_side = 'invoice'
    group by entries.company_id, entries.customer_id, month_days.month_number

),

-- What an application settled, and how long after the invoice and after its due date.
applied as (

    select
        entries.company_id,
        entries.customer_id,
        entries.application_id,
        entries.open_item_id,
        entries.effective_date,
        {{ complete_sum('-entries.company_amount') }} as applied_amount
    from entries
    where
        entries.entry_type = 'application'
        and entries.cause_type = 'receipt'
        and entries.event_type = 'applied'
        and entries.instalment_number >= 1
    group by
        entries.company_id,
        entries.customer_id,
        entries.application_id,
        entries.open_item_id,
        entries.effective_date
    having sum(entries.amount) <> 0

),

payment_days as (

    select
        applied.company_id,
        applied.customer_id,
        month_days.month_number,
        {{ complete_sum('applied.applied_amount') }} as applied_amount,
        {{ complete_sum(
            'applied.applied_amount * ' ~ days_between('items.document_date', 'applied.effective_date')
        ) }} as applied_days_to_pay,
        {{ complete_sum(
            'applied.applied_amount * ' ~ days_between('items.due_date', 'applied.effective_date')
        ) }} as applied_days_late
    from applied
    inner join items
        on applied.open_item_id = items.open_item_id
    inner join month_days
        on applied.company_id = month_days.company_id
        and applied.effective_date = month_days.date_day
    group by applied.company_id, applied.customer_id, month_days.month_number

),

settled as (

    select
        paid_invoices.company_id,
        paid_invoices.customer_id,
        month_days.month_number,
        count(*) as settled_invoice_count,
        sum(paid_invoices.days_to_pay) as settled_days_to_pay,
        sum(paid_invoices.days_late) as settled_days_late,
        sum(case when paid_invoices.days_late > 0 then 1 else 0 end) as late_invoice_count
    from paid_invoices
    inner join month_days
        on paid_invoices.company_id = month_days.company_id
        and paid_invoices.settled_on = month_days.date_day
    group by paid_invoices.company_id, paid_invoices.customer_id, month_days.month_number

),

falling_due as (

    select
        items.company_id,
        items.customer_id,
        month_days.month_number,
        {{ complete_sum(converted('items.original_amount', 'items.booking_rate')) }} as falling_due_amount
    from items
    inner join month_days
        on items.company_id = month_days.company_id
        and month_days.date_day
        = case when items.document_type = 'credit_memo' then items.document_date else items.due_date end
        -- Earlier sales that fall due now are in the opening receivable already.
        and items.document_date >= month_days.month_start_date
        and items.document_date <= month_days.month_end_date
        and (items.ended_on is null or items.ended_on > month_days.month_end_date)
    where
        items.instalment_number >= 1
        or items.document_type = 'credit_memo'
    group by items.company_id, items.customer_id, month_days.month_number

),

balance_days as (

    select
        history.company_id,
        history.customer_id,
        month_ends.month_number,
        {{ complete_sum(
            'history.company_amount * '
            ~ days_between(
                'greatest(history.valid_from, month_ends.month_start_date)',
                'least(history.valid_to, ' ~ add_days('month_ends.month_end_date', 1) ~ ')',
            )
        ) }} as amount_days
    from history
    inner join month_ends
        on history.company_id = month_ends.company_id
        and history.valid_from <= month_ends.month_end_date
        and history.valid_to > month_ends.month_start_date
    group by history.company_id, history.customer_id, month_ends.month_number

),

-- Each flow counts in the windows that reach back to it: 90 days, 12 months.
sales_90 as (

    select
        sales.company_id,
        sales.customer_id,
        month_ends.month_number,
        {{ complete_sum('sales.net_sales_amount') }} as net_sales_90_amount
    from sales
    inner join month_ends
        on sales.company_id = month_ends.company_id
        and sales.effective_date <= month_ends.month_end_date
        and month_ends.month_end_date <= {{ add_days('sales.effective_date', 89) }}
    group by sales.company_id, sales.customer_id, month_ends.month_number

),

sales_12 as (

    select
        monthly_sales.company_id,
        monthly_sales.customer_id,
        month_ends.month_number,
        {{ complete_sum('monthly_sales.net_sales_amount') }} as net_sales_12m_amount
    from monthly_sales
    inner join month_ends
        on monthly_sales.company_id = month_ends.company_id
        and monthly_sales.month_number <= month_ends.month_number
        and month_ends.month_number <= monthly_sales.month_number + 11
    group by monthly_sales.company_id, monthly_sales.customer_id, month_ends.month_number

),

first_days as (

    select
        company_id,
        customer_id,
        min(effective_date) as first_day
    from all_entries
    group by company_id, customer_id

),

-- From a customer's first month on every month has a row, also one in which nothing happened.
series as (

    select
        month_ends.month_end_date,
        month_ends.month_number,
        month_ends.days_in_month,
        month_ends.is_company_period,
        month_ends.is_group_period,
        first_days.company_id,
        first_days.customer_id
    from first_days
    inner join month_ends
        on first_days.company_id = month_ends.company_id
        and first_days.first_day <= month_ends.month_end_date

),

measured as (

    select
        series.month_end_date,
        series.month_number,
        series.days_in_month,
        series.is_company_period,
        series.is_group_period,
        series.company_id,
        series.customer_id,
        -- No row is 0; a row without an amount could not be converted and stays null.
        case when opening.company_id is null then 0 else opening.ar_amount end as opening_ar_amount,
        case when balances.company_id is null then 0 else balances.ar_amount end as ar_amount,
        case when balances.company_id is null then 0 else balances.not_due_amount end as not_due_amount,
        case when year_ago.company_id is null then 0 else year_ago.ar_amount end as ar_12m_ago_amount,
        case when monthly_sales.company_id is null then 0 else monthly_sales.net_sales_amount end as net_sales_amount,
        case when sales_90.company_id is null then 0 else sales_90.net_sales_90_amount end as net_sales_90_amount,
        case when sales_12.company_id is null then 0 else sales_12.net_sales_12m_amount end as net_sales_12m_amount,
        case when collected.company_id is null then 0 else collected.collected_amount end as collected_amount,
        case when falling_due.company_id is null then 0 else falling_due.falling_due_amount end as falling_due_amount,
        case when balance_days.company_id is null then 0 else balance_days.amount_days end as amount_days,
        case when payment_days.company_id is null then 0 else payment_days.applied_amount end as applied_amount,
        cast(
            case when payment_days.company_id is null then 0 else payment_days.applied_days_to_pay end
            as decimal(38, 12)
        ) as applied_days_to_pay,
        cast(
            case when payment_days.company_id is null then 0 else payment_days.applied_days_late end
            as decimal(38, 12)
        ) as applied_days_late,
        cast(coalesce(balances.item_count, 0) as bigint) as item_count,
        cast(coalesce(balances.overdue_item_count, 0) as bigint) as overdue_item_count,
        cast(coalesce(settled.settled_invoice_count, 0) as bigint) as settled_invoice_count,
        cast(coalesce(settled.settled_days_to_pay, 0) as bigint) as settled_days_to_pay,
        cast(coalesce(settled.settled_days_late, 0) as bigint) as settled_days_late,
        cast(coalesce(settled.late_invoice_count, 0) as bigint) as late_invoice_count
    from series
    left join balances
        on series.company_id = balances.company_id
        and series.customer_id = balances.customer_id
        and series.month_number = balances.month_number
    left join balances as opening
        on series.company_id = opening.company_id
        and series.customer_id = opening.customer_id
        and series.month_number = opening.month_number + 1
    left join balances as year_ago
        on series.company_id = year_ago.company_id
        and series.customer_id = year_ago.customer_id
        and series.month_number = year_ago.month_number + 12
    left join monthly_sales
        on series.company_id = monthly_sales.company_id
        and series.customer_id = monthly_sales.customer_id
        and series.month_number = monthly_sales.month_number
    left join sales_90
        on series.company_id = sales_90.company_id
        and series.customer_id = sales_90.customer_id
        and series.month_number = sales_90.month_number
    left join sales_12
        on series.company_id = sales_12.company_id
        and series.customer_id = sales_12.customer_id
        and series.month_number = sales_12.month_number
    left join collected
        on series.company_id = collected.company_id
        and series.customer_id = collected.customer_id
        and series.month_number = collected.month_number
    left join falling_due
        on series.company_id = falling_due.company_id
        and series.customer_id = falling_due.customer_id
        and series.month_number = falling_due.month_number
    left join balance_days
        on series.company_id = balance_days.company_id
        and series.customer_id = balance_days.customer_id
        and series.month_number = balance_days.month_number
    left join payment_days
        on series.company_id = payment_days.company_id
        and series.customer_id = payment_days.customer_id
        and series.month_number = payment_days.month_number
    left join settled
        on series.company_id = settled.company_id
        and series.customer_id = settled.customer_id
        and series.month_number = settled.month_number

)

select * from measured
