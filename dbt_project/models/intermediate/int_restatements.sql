with

entries as (

    select * from {{ ref('int_ledger_entries') }}

),

snapshot_days as (

    select * from {{ ref('int_snapshot_days') }}

),

-- A day before anything was known was never reported, so nothing about it can be restated.
first_known as (

    select
        company_id,
        min(known_on) as first_known_on
    from entries
    group by company_id

),

-- One fact at a time: what it changed on one item, from one day on, when it became known.
facts as (

    select
        entries.company_id,
        entries.event_id,
        entries.open_item_id,
        entries.effective_date,
        entries.known_on as detected_on,
        case
            when min(entries.reason) <> 'corrected' then min(entries.reason)
            else 'corrected'
        end as reason,
        sum(entries.amount) as amount,
        coalesce(sum(entries.company_amount), 0) as company_amount,
        sum(case when entries.company_amount is null then entries.amount else 0 end) as unconverted_amount,
        count(*) as entry_count
    from entries
    where entries.known_on > entries.effective_date
    group by
        entries.company_id, entries.event_id, entries.open_item_id, entries.effective_date,
        entries.known_on

),

caused as (

    select
        facts.*,
        case
            when facts.amount = 0 and facts.company_amount <> 0 then 'rate'
            when facts.reason = 'posted' then 'back_dated_document'
            when facts.reason = 'applied' then 'late_application'
            when facts.reason = 'unapplied' then 'un_application'
            when facts.reason in ('voided', 'removed') then 'void'
            else 'correction'
        end as cause
    from facts

),

restated as (

    select
        caused.detected_on,
        snapshot_days.as_of_date,
        caused.company_id,
        caused.cause,
        sum(caused.company_amount) as change_amount,
        sum(caused.unconverted_amount) as unconverted_amount,
        sum(case when caused.company_amount > 0 then caused.company_amount else 0 end) as increase_amount,
        sum(case when caused.company_amount < 0 then caused.company_amount else 0 end) as decrease_amount,
        cast(sum(caused.entry_count) as bigint) as entry_count
    from caused
    inner join first_known
        on caused.company_id = first_known.company_id
    inner join snapshot_days
        on caused.company_id = snapshot_days.company_id
        and caused.effective_date <= snapshot_days.as_of_date
        and caused.detected_on > snapshot_days.as_of_date
        and first_known.first_known_on <= snapshot_days.as_of_date
    group by caused.detected_on, snapshot_days.as_of_date, caused.company_id, caused.cause

),

-- What the evening's own report said: everything effective and known by then.
report_days as (

    select distinct
        as_of_date,
        company_id
    from restated

),

counted as (

    select
        company_id,
        greatest(effective_date, known_on) as counts_from,
        sum(company_amount) as amount,
        sum(case when company_amount is null then amount else 0 end) as unconverted_amount
    from entries
    group by company_id, greatest(effective_date, known_on)

),

reported as (

    select
        report_days.as_of_date,
        report_days.company_id,
        coalesce(sum(counted.amount), 0) as reported_amount,
        sum(counted.unconverted_amount) as unconverted_amount
    from report_days
    inner join counted
        on report_days.company_id = counted.company_id
        and report_days.as_of_date >= counted.counts_from
    group by report_days.as_of_date, report_days.company_id

),

-- Detection by detection, cause by cause: each row starts where the one before ended.
chained as (

    select
        restated.*,
        reported.reported_amount + sum(restated.change_amount) over in_order as amount_after,
        reported.unconverted_amount + sum(restated.unconverted_amount) over in_order as unconverted_after
    from restated
    inner join reported
        on restated.as_of_date = reported.as_of_date
        and restated.company_id = reported.company_id
    window in_order as (
        partition by restated.as_of_date, restated.company_id
        order by restated.detected_on, restated.cause
        rows between unbounded preceding and current row
    )

)

-- A balance is unknown while something without a rate is open in it.
select
    detected_on,
    as_of_date,
    company_id,
    cause,
    case
        when unconverted_after - unconverted_amount = 0 then amount_after - change_amount
    end as amount_before,
    case when unconverted_after = 0 then amount_after end as amount_after,
    increase_amount,
    decrease_amount,
    entry_count
from chained
