with

month_ends as (

    select * from {{ ref('int_month_ends') }}

),

entries as (

    select * from {{ ref('int_ledger_entries') }}

),

daily as (

    select * from {{ ref('int_daily_aging') }}

),

flows as (

    select
        company_id,
        currency_code,
        {{ month_number('effective_date') }} as month_number,
        sum(case when event_type <> 'ended' and entry_type in ('invoice', 'debit_memo') then amount else 0 end)
            as invoices_amount,
        -sum(case when event_type <> 'ended' and entry_type = 'credit_memo' then amount else 0 end)
            as credit_memos_amount,
        -sum(case when event_type <> 'ended' and entry_type = 'receipt' then amount else 0 end)
            as receipts_amount,
        -sum(case when event_type <> 'ended' and entry_type = 'discount' then amount else 0 end)
            as discounts_amount,
        -sum(case when event_type <> 'ended' and entry_type = 'write_off' then amount else 0 end)
            as write_offs_amount,
        sum(case when event_type <> 'ended' and entry_type = 'refund' then amount else 0 end)
            as refunds_amount,
        sum(
            case
                when event_type <> 'ended' and entry_type in ('journal_debit', 'journal_credit') then amount
                else 0
            end
        ) as journals_amount,
        sum(case when event_type = 'ended' and entry_type <> 'application' then amount else 0 end)
            as reversals_amount,
        sum(case when entry_type = 'application' then amount else 0 end) as transfers_amount
    from entries
    group by company_id, currency_code, {{ month_number('effective_date') }}

),

balances as (

    select
        daily.company_id,
        daily.currency_code,
        month_ends.month_number,
        sum(daily.open_amount) as closing_amount
    from daily
    inner join month_ends
        on daily.as_of_date = month_ends.month_end_date
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
        coalesce(balances.closing_amount, 0) as closing_amount
    from books
    cross join month_ends
    left join balances
        on books.company_id = balances.company_id
        and books.currency_code = balances.currency_code
        and month_ends.month_number = balances.month_number

),

rolled as (

    select
        closings.month_end_date,
        closings.company_id,
        closings.currency_code,
        {{ money('coalesce(openings.closing_amount, 0)') }} as opening_amount,
        {{ money('coalesce(flows.invoices_amount, 0)') }} as invoices_amount,
        {{ money('coalesce(flows.credit_memos_amount, 0)') }} as credit_memos_amount,
        {{ money('coalesce(flows.receipts_amount, 0)') }} as receipts_amount,
        {{ money('coalesce(flows.discounts_amount, 0)') }} as discounts_amount,
        {{ money('coalesce(flows.write_offs_amount, 0)') }} as write_offs_amount,
        {{ money('coalesce(flows.refunds_amount, 0)') }} as refunds_amount,
        {{ money('coalesce(flows.journals_amount, 0)') }} as journals_amount,
        {{ money('coalesce(flows.reversals_amount, 0)') }} as reversals_amount,
        {{ money('coalesce(flows.transfers_amount, 0)') }} as transfers_amount,
        {{ money('0') }} as exchange_amount,
        {{ money('closings.closing_amount') }} as closing_amount
    from closings
    left join closings as openings
        on closings.company_id = openings.company_id
        and closings.currency_code = openings.currency_code
        and closings.month_number = openings.month_number + 1
    left join flows
        on closings.company_id = flows.company_id
        and closings.currency_code = flows.currency_code
        and closings.month_number = flows.month_number

),

published as (

    select
        rolled.*,
        {{ money(
            "closing_amount - (opening_amount + invoices_amount - credit_memos_amount - receipts_amount"
            ~ " - discounts_amount - write_offs_amount + refunds_amount + journals_amount"
            ~ " + reversals_amount + transfers_amount + exchange_amount)"
        ) }} as difference_amount
    from rolled

)

select * from published
