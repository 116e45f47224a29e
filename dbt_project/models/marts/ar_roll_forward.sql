{%- set movements = {
    'invoices': ("entry_type in ('invoice', 'debit_memo')", ''),
    'credit_memos': ("entry_type = 'credit_memo'", '-'),
    'receipts': ("entry_type = 'receipt'", '-'),
    'discounts': ("entry_type = 'discount'", '-'),
    'write_offs': ("entry_type = 'write_off'", '-'),
    'refunds': ("entry_type = 'refund'", ''),
    'journals': ("entry_type in ('journal_debit', 'journal_credit')", ''),
} -%}
with

month_ends as (

    select * from {{ ref('int_month_ends') }} where is_company_period

),

month_days as (

    select * from {{ ref('int_month_days') }} where is_company_period

),

-- What was taken back adds up to nothing, but a rate that it lacked would leave the month unknown.
entries as (

    select * from {{ ref('int_ledger_entries') }} where not is_superseded

),

history as (

    select * from {{ ref('int_open_item_history') }}

),

daily as (

    select * from {{ ref('int_daily_aging') }}

),

companies as (

    select * from {{ ref('int_companies') }}

),

placed as (

    select
        month_days.month_number,
        entries.*
    from entries
    inner join month_days
        on entries.company_id = month_days.company_id
        and entries.effective_date = month_days.date_day

),

flows as (

    select
        company_id,
        currency_code,
        month_number,
        {% for name, (kind, sign) in movements.items() -%}
            {{ sign }}sum(case when event_type <> 'ended' and {{ kind }} then amount else 0 end)
                as {{ name }}_amount,
            {{ sign }}sum(case when event_type <> 'ended' and {{ kind }} then booked_amount else 0 end)
                as company_{{ name }}_amount,
        {% endfor -%}
        sum(case when event_type = 'ended' and entry_type <> 'application' then amount else 0 end)
            as reversals_amount,
        sum(case when event_type = 'ended' and entry_type <> 'application' then booked_amount else 0 end)
            as company_reversals_amount,
        sum(case when entry_type = 'application' then amount else 0 end) as transfers_amount,
        count(*) - count(booked_amount) as unconverted_count
    from placed
    group by company_id, currency_code, month_number

),

-- An application takes from its credit at the rate of the payment and gives to its invoice at the rate of the
-- invoice: what is left between the two is the realised exchange difference, rounded once.
applications as (

    select
        company_id,
        currency_code,
        month_number,
        sum(amount) as amount,
        sum(booked_amount) as booked_amount,
        {{ round_to_minor_unit('sum(company_amount)', 'max(company_minor_unit)') }} as exchange_amount
    from placed
    where entry_type = 'application'
    group by company_id, currency_code, month_number, cause_document_id, application_id, effective_date

),

exchanged as (

    select
        company_id,
        currency_code,
        month_number,
        -- One side of it is in other books: that is a transfer.
        sum(case when amount <> 0 then booked_amount else 0 end) as company_transfers_amount,
        sum(case when amount = 0 then exchange_amount else 0 end) as company_exchange_amount
    from applications
    group by company_id, currency_code, month_number

),

-- How the items' company amounts changed: each is its balance at its booking rate, rounded once.
item_changes as (

    select
        company_id,
        currency_code,
        valid_from as date_day,
        company_amount as change
    from history
    union all
    select
        company_id,
        currency_code,
        valid_to as date_day,
        -company_amount as change
    from history

),

revalued as (

    select
        item_changes.company_id,
        item_changes.currency_code,
        month_days.month_number,
        sum(item_changes.change) as company_change_amount
    from item_changes
    inner join month_days
        on item_changes.company_id = month_days.company_id
        and item_changes.date_day = month_days.date_day
    group by item_changes.company_id, item_changes.currency_code, month_days.month_number

),

balances as (

    select
        daily.company_id,
        daily.currency_code,
        month_ends.month_number,
        sum(daily.open_amount) as closing_amount,
        sum(daily.company_amount) as company_closing_amount,
        sum(daily.unconverted_count) as unconverted_count
    from daily
    inner join month_ends
        on daily.company_id = month_ends.company_id
        and daily.as_of_date = month_ends.month_end_date
    group by daily.company_id, daily.currency_code, month_ends.month_number

),

books as (

    select distinct
        company_id,
        currency_code
    from entries

),

-- Also a currency in which nothing ever stayed open overnight has its months.
closings as (

    select
        books.company_id,
        books.currency_code,
        month_ends.month_end_date,
        month_ends.month_number,
        coalesce(balances.closing_amount, 0) as closing_amount,
        coalesce(balances.company_closing_amount, 0) as company_closing_amount,
        coalesce(balances.unconverted_count, 0) as unconverted_count
    from books
    inner join month_ends
        on books.company_id = month_ends.company_id
    left join balances
        on books.company_id = balances.company_id
        and books.currency_code = balances.currency_code
        and month_ends.month_number = balances.month_number

),

joined as (

    select
        closings.month_end_date,
        closings.company_id,
        closings.currency_code,
        companies.currency_code as company_currency_code,
        coalesce(openings.closing_amount, 0) as opening_amount,
        coalesce(openings.company_closing_amount, 0) as company_opening_amount,
        closings.closing_amount,
        closings.company_closing_amount,
        {% for name in movements -%}
            coalesce(flows.{{ name }}_amount, 0) as {{ name }}_amount,
            coalesce(flows.company_{{ name }}_amount, 0) as company_{{ name }}_amount,
        {% endfor -%}
        coalesce(flows.reversals_amount, 0) as reversals_amount,
        coalesce(flows.company_reversals_amount, 0) as company_reversals_amount,
        coalesce(flows.transfers_amount, 0) as transfers_amount,
        coalesce(exchanged.company_transfers_amount, 0) as company_transfers_amount,
        coalesce(exchanged.company_exchange_amount, 0) as company_exchange_amount,
        coalesce(revalued.company_change_amount, 0) as company_change_amount,
        closings.unconverted_count > 0
        or coalesce(openings.unconverted_count, 0) > 0
        or coalesce(flows.unconverted_count, 0) > 0 as is_conversion_incomplete
    from closings
    left join companies
        on closings.company_id = companies.company_id
    left join closings as openings
        on closings.company_id = openings.company_id
        and closings.currency_code = openings.currency_code
        and closings.month_number = openings.month_number + 1
    left join flows
        on closings.company_id = flows.company_id
        and closings.currency_code = flows.currency_code
        and closings.month_number = flows.month_number
    left join exchanged
        on closings.company_id = exchanged.company_id
        and closings.currency_code = exchanged.currency_code
        and closings.month_number = exchanged.month_number
    left join revalued
        on closings.company_id = revalued.company_id
        and closings.currency_code = revalued.currency_code
        and closings.month_number = revalued.month_number

),

-- Entries are booked in whole minor units one by one, items all at once: the cents between the two.
rounded as (

    select
        joined.*,
        company_change_amount - (
            company_invoices_amount - company_credit_memos_amount - company_receipts_amount
            - company_discounts_amount - company_write_offs_amount + company_refunds_amount
            + company_journals_amount + company_reversals_amount + company_transfers_amount
            + company_exchange_amount
        ) as company_rounding_amount
    from joined

),

published as (

    select
        month_end_date,
        company_id,
        currency_code,
        company_currency_code,
        {{ money('opening_amount') }} as opening_amount,
        {% for name in movements -%}
            {{ money(name ~ '_amount') }} as {{ name }}_amount,
        {% endfor -%}
        {{ money('reversals_amount') }} as reversals_amount,
        {{ money('transfers_amount') }} as transfers_amount,
        {{ money('0') }} as exchange_amount,
        {{ money('closing_amount') }} as closing_amount,
        {{ money(
            "closing_amount - (opening_amount + invoices_amount - credit_memos_amount - receipts_amount"
            ~ " - discounts_amount - write_offs_amount + refunds_amount + journals_amount"
            ~ " + reversals_amount + transfers_amount)"
        ) }} as difference_amount,
        {% for name in [
            'opening', 'invoices', 'credit_memos', 'receipts', 'discounts', 'write_offs', 'refunds',
            'journals', 'reversals', 'transfers', 'exchange', 'rounding', 'closing',
        ] -%}
            case when not is_conversion_incomplete then {{ money('company_' ~ name ~ '_amount') }} end
                as company_{{ name }}_amount,
        {% endfor -%}
        case
            when not is_conversion_incomplete
                then {{ money(
                    "company_closing_amount - (company_opening_amount + company_invoices_amount"
                    ~ " - company_credit_memos_amount - company_receipts_amount - company_discounts_amount"
                    ~ " - company_write_offs_amount + company_refunds_amount + company_journals_amount"
                    ~ " + company_reversals_amount + company_transfers_amount + company_exchange_amount"
                    ~ " + company_rounding_amount)"
                ) }}
        end as company_difference_amount,
        is_conversion_incomplete
    from rounded

)

select * from published
