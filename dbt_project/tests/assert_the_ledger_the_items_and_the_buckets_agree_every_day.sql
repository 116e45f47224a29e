-- Three roads lead to a balance: the entries, the intervals made of them, the daily buckets. Where they part, the ageing
-- that people chase customers by is not the receivable in the books. In transaction currency, on every day and to the
-- cent; ar_reconciliation compares the amounts in the company's currency.
with

entries as (

    select
        company_id,
        currency_code,
        effective_date as date_day,
        sum(amount) as change
    from {{ ref('fct_ledger_entries') }}
    where effective_date <= {{ as_of_date() }}
    group by company_id, currency_code, effective_date

),

item_changes as (

    select
        company_id,
        currency_code,
        valid_from as date_day,
        open_amount as change
    from {{ ref('fct_open_item_history') }}
    union all
    select
        company_id,
        currency_code,
        valid_to as date_day,
        -open_amount as change
    from {{ ref('fct_open_item_history') }}

),

items as (

    select
        company_id,
        currency_code,
        date_day,
        sum(change) as change
    from item_changes
    where date_day <= {{ as_of_date() }}
    group by company_id, currency_code, date_day

),

bucket_balances as (

    select
        company_id,
        currency_code,
        as_of_date as date_day,
        sum(open_amount) as balance
    from {{ ref('ar_aging_daily') }}
    group by company_id, currency_code, as_of_date

),

buckets as (

    select
        company_id,
        currency_code,
        date_day,
        balance - coalesce(
            lag(balance) over (partition by company_id, currency_code order by date_day), 0
        ) as change
    from bucket_balances

),

-- The change of every day, from all three: equal changes are equal balances.
days as (

    select
        company_id,
        currency_code,
        date_day
    from entries
    union
    select
        company_id,
        currency_code,
        date_day
    from items
    union
    select
        company_id,
        currency_code,
        date_day
    from buckets

)

select
    days.company_id,
    days.currency_code,
    days.date_day,
    coalesce(entries.change, 0) as ledger_change,
    coalesce(items.change, 0) as items_change,
    coalesce(buckets.change, 0) as buckets_change
from days
left join entries
    on days.company_id = entries.company_id
    and days.currency_code = entries.currency_code
    and days.date_day = entries.date_day
left join items
    on days.company_id = items.company_id
    and days.currency_code = items.currency_code
    and days.date_day = items.date_day
left join buckets
    on days.company_id = buckets.company_id
    and days.currency_code = buckets.currency_code
    and days.date_day = buckets.date_day
where
    coalesce(entries.change, 0) <> coalesce(items.change, 0)
    or coalesce(entries.change, 0) <> coalesce(buckets.change, 0)
