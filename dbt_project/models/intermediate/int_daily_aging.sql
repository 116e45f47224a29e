with

history as (

    select * from {{ ref('int_open_item_history') }}

),

buckets as (

    select * from {{ source('settings', 'aging_buckets') }}

),

days as (

    select * from {{ ref('int_days') }}

),

-- The days on which an item is in a bucket: its interval, cut at the bucket's edges.
stays as (

    select
        history.company_id,
        history.currency_code,
        buckets.aging_bucket,
        history.open_amount,
        history.company_amount,
        history.is_credit,
        greatest(
            history.valid_from,
            case
                when buckets.min_days is null then history.valid_from
                else {{ add_days(aging_date('history'), 'buckets.min_days') }}
            end
        ) as enters_on,
        least(
            history.valid_to,
            case
                when buckets.max_days is null then history.valid_to
                else {{ add_days(aging_date('history'), 'buckets.max_days + 1') }}
            end
        ) as leaves_on
    from history
    cross join buckets

),

real_stays as (

    select * from stays where enters_on < leaves_on

),

moves as (

    select
        company_id,
        currency_code,
        aging_bucket,
        enters_on as date_day,
        open_amount,
        company_amount,
        case when is_credit then 0 else open_amount end as debit_amount,
        case when is_credit then open_amount else 0 end as credit_amount,
        1 as item_count,
        case when company_amount is null then 1 else 0 end as unconverted_count
    from real_stays
    union all
    select
        company_id,
        currency_code,
        aging_bucket,
        leaves_on as date_day,
        -open_amount as open_amount,
        -company_amount as company_amount,
        case when is_credit then 0 else -open_amount end as debit_amount,
        case when is_credit then -open_amount else 0 end as credit_amount,
        -1 as item_count,
        case when company_amount is null then -1 else 0 end as unconverted_count
    from real_stays

),

daily_moves as (

    select
        company_id,
        currency_code,
        aging_bucket,
        date_day,
        sum(open_amount) as open_amount,
        sum(coalesce(company_amount, 0)) as company_amount,
        sum(debit_amount) as debit_amount,
        sum(credit_amount) as credit_amount,
        sum(item_count) as item_count,
        sum(unconverted_count) as unconverted_count
    from moves
    group by company_id, currency_code, aging_bucket, date_day

),

books as (

    select distinct
        company_id,
        currency_code
    from history

),

series as (

    select
        books.company_id,
        books.currency_code,
        buckets.aging_bucket,
        days.date_day
    from books
    cross join buckets
    cross join days

),

running as (

    select
        series.date_day as as_of_date,
        series.company_id,
        series.currency_code,
        series.aging_bucket,
        sum(coalesce(daily_moves.open_amount, 0)) over until_day as open_amount,
        sum(coalesce(daily_moves.company_amount, 0)) over until_day as company_amount,
        sum(coalesce(daily_moves.debit_amount, 0)) over until_day as debit_amount,
        sum(coalesce(daily_moves.credit_amount, 0)) over until_day as credit_amount,
        cast(sum(coalesce(daily_moves.item_count, 0)) over until_day as bigint) as item_count,
        cast(sum(coalesce(daily_moves.unconverted_count, 0)) over until_day as bigint) as unconverted_count
    from series
    left join daily_moves
        on series.company_id = daily_moves.company_id
        and series.currency_code = daily_moves.currency_code
        and series.aging_bucket = daily_moves.aging_bucket
        and series.date_day = daily_moves.date_day
    window until_day as (
        partition by series.company_id, series.currency_code, series.aging_bucket
        order by series.date_day
        rows between unbounded preceding and current row
    )

)

select * from running
