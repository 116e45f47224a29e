-- Two marts answer the same question by two ways: by customer from the items, by company from what enters and leaves the
-- buckets. A reader who adds up the first must find the second, in amount and in number of items.
with

snapshots as (

    select
        as_of_date,
        company_id,
        currency_code,
        aging_bucket,
        sum(open_amount) as open_amount,
        sum(debit_amount) as debit_amount,
        sum(credit_amount) as credit_amount,
        sum(item_count) as item_count
    from {{ ref('ar_aging_snapshots') }}
    group by as_of_date, company_id, currency_code, aging_bucket

),

snapshot_days as (

    select distinct
        as_of_date,
        company_id
    from snapshots

),

daily as (

    select aging_daily.*
    from {{ ref('ar_aging_daily') }} as aging_daily
    inner join snapshot_days
        on aging_daily.as_of_date = snapshot_days.as_of_date
        and aging_daily.company_id = snapshot_days.company_id

)

select
    daily.as_of_date,
    daily.company_id,
    daily.currency_code,
    daily.aging_bucket,
    daily.open_amount,
    snapshots.open_amount as snapshot_amount,
    daily.item_count,
    snapshots.item_count as snapshot_item_count
from daily
full join snapshots
    on daily.as_of_date = snapshots.as_of_date
    and daily.company_id = snapshots.company_id
    and daily.currency_code = snapshots.currency_code
    and daily.aging_bucket = snapshots.aging_bucket
where
    coalesce(daily.open_amount, 0) <> coalesce(snapshots.open_amount, 0)
    or coalesce(daily.debit_amount, 0) <> coalesce(snapshots.debit_amount, 0)
    or coalesce(daily.credit_amount, 0) <> coalesce(snapshots.credit_amount, 0)
    or coalesce(daily.item_count, 0) <> coalesce(snapshots.item_count, 0)
