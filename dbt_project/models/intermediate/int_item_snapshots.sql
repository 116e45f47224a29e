{{ config(materialized='view') }}

with

history as (

    select * from {{ ref('int_open_item_history') }}

),

snapshot_days as (

    select * from {{ ref('int_snapshot_days') }}

),

buckets as (

    select * from {{ source('settings', 'aging_buckets') }}

),

policies as (

    select * from {{ source('settings', 'policies') }}

),

currencies as (

    select * from {{ source('settings', 'currencies') }}

),

rates as (

    select * from {{ ref('int_exchange_rates') }}

),

report_days as (

    select distinct as_of_date from snapshot_days

),

closing_rates as (

    select
        report_days.as_of_date,
        rates.from_currency as currency_code,
        rates.rate as closing_rate,
        rates.rate_date < report_days.as_of_date as is_carried
    from report_days
    cross join policies
    inner join rates
        on policies.reporting_currency = rates.to_currency
        and report_days.as_of_date >= rates.rate_date
        and report_days.as_of_date < rates.valid_until

),

aged as (

    select
        snapshot_days.as_of_date,
        snapshot_days.snapshot_type,
        history.*,
        {{ days_between('history.due_date', 'snapshot_days.as_of_date') }} as days_past_due,
        {{ days_between(aging_date('history'), 'snapshot_days.as_of_date') }} as days_aged
    from history
    inner join snapshot_days
        on history.company_id = snapshot_days.company_id
        and history.valid_from <= snapshot_days.as_of_date
        and history.valid_to > snapshot_days.as_of_date

),

converted as (

    select
        aged.as_of_date,
        aged.snapshot_type,
        aged.open_item_id,
        aged.document_id,
        aged.company_id,
        aged.customer_id,
        aged.document_type,
        aged.currency_code,
        aged.company_currency_code,
        policies.reporting_currency as group_currency_code,
        buckets.aging_bucket,
        aged.instalment_number,
        aged.open_amount,
        aged.company_amount,
        case
            when aged.currency_code = policies.reporting_currency then aged.open_amount
            else {{ round_to_minor_unit(
                converted('aged.open_amount', 'closing_rates.closing_rate'),
                'group_currencies.minor_unit'
            ) }}
        end as group_amount,
        aged.days_past_due,
        aged.document_date,
        aged.posting_date,
        aged.due_date,
        aged.is_credit,
        aged.currency_code <> policies.reporting_currency and coalesce(closing_rates.is_carried, false)
            as is_rate_carried,
        aged.is_booking_rate_carried
    from aged
    cross join policies
    left join currencies as group_currencies
        on policies.reporting_currency = group_currencies.currency_code
    left join buckets
        on aged.days_aged >= coalesce(buckets.min_days, -100000)
        and aged.days_aged <= coalesce(buckets.max_days, 100000)
    left join closing_rates
        on aged.as_of_date = closing_rates.as_of_date
        and aged.currency_code = closing_rates.currency_code

)

select * from converted
