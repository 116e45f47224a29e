-- Functions of the published database. Positional or named arguments:
--   from marts.open_items_as_of(date '2026-03-31')
--   from marts.open_items_as_of(date '2026-03-31', known_at := date '2026-04-05')
--   from marts.aging_as_of(date '2026-03-31', basis := 'invoice_date', view_name := 'restated')
-- known_at: only what was known by the end of that day; null = everything known now.
-- view_name: 'known' (an application counts from the day it was recorded) or 'restated' (from the later of the two document dates).
-- aging_day: count the age to another day than the balance day; null = the balance day.
-- `amount_type` stands for the type of every amount of the tables; the publication writes it in.
create or replace macro marts.open_items_as_of(
    as_of, known_at := null, view_name := 'known', basis := 'due_date', aging_day := null
) as table
    with
    -- As known now: the intervals, one range filter.
    now_balances as (
        select
            open_item_id,
            open_amount
        from marts.fct_open_item_history
        where
            known_at is null and view_name = 'known'
            and valid_from <= cast(as_of as date) and valid_to > cast(as_of as date)
    ),

    -- As known then, and restated: the entries themselves.
    then_entries as (
        select
            open_item_id,
            amount
        from marts.fct_ledger_entries
        where
            known_at is not null and view_name = 'known'
            and effective_date <= cast(as_of as date) and known_on <= cast(known_at as date)
        union all
        select
            open_item_id,
            amount
        from marts.fct_ledger_entries
        where view_name = 'restated' and restated_date <= cast(as_of as date)
        union all
        select
            open_item_id,
            amount
        from marts.fct_restated_entries
        where view_name = 'restated' and effective_date <= cast(as_of as date)
    ),

    balances as (
        select
            open_item_id,
            open_amount
        from now_balances
        union all
        select
            open_item_id,
            cast(sum(amount) as amount_type) as open_amount
        from then_entries
        group by open_item_id
        having sum(amount) <> 0
    ),

    items as (
        select
            item.open_item_id,
            item.document_id,
            item.document_number,
            item.document_type,
            item.instalment_number,
            item.company_id,
            item.customer_id,
            item.currency_code,
            item.company_currency_code,
            item.company_minor_unit,
            item.booking_rate,
            item.document_date,
            item.posting_date,
            item.due_date,
            item.is_booking_rate_carried,
            balances.open_amount
        from balances
        inner join marts.fct_open_item_versions as item
            on balances.open_item_id = item.open_item_id
            and coalesce(case when view_name = 'known' then cast(known_at as date) end, date '9999-12-30')
            >= item.known_on
            and coalesce(case when view_name = 'known' then cast(known_at as date) end, date '9999-12-30')
            < item.known_until
    ),

    aged as (
        select
            items.*,
            coalesce(cast(aging_day as date), cast(as_of as date))
            - case basis
                when 'due_date' then items.due_date
                when 'invoice_date' then items.document_date
                when 'posting_date' then items.posting_date
                else error('basis is due_date, invoice_date or posting_date, not ' || basis)
            end as days_past_due
        from items
    )

    select
        cast(as_of as date) as as_of_date,
        aged.open_item_id,
        aged.company_id,
        aged.customer_id,
        aged.document_id,
        aged.document_number,
        aged.document_type,
        aged.instalment_number,
        aged.currency_code,
        aged.company_currency_code,
        aged.open_amount,
        cast(case aged.company_minor_unit
            when 0 then cast(aged.open_amount * aged.booking_rate as decimal(18, 0))
            when 3 then cast(aged.open_amount * aged.booking_rate as decimal(18, 3))
            when 4 then cast(aged.open_amount * aged.booking_rate as decimal(18, 4))
            else cast(aged.open_amount * aged.booking_rate as decimal(18, 2))
        end as amount_type) as company_amount,
        cast(case
            when aged.currency_code = policy.reporting_currency then aged.open_amount
            when policy.reporting_minor_unit = 0 then cast(aged.open_amount * closing.rate as decimal(18, 0))
            when policy.reporting_minor_unit = 3 then cast(aged.open_amount * closing.rate as decimal(18, 3))
            when policy.reporting_minor_unit = 4 then cast(aged.open_amount * closing.rate as decimal(18, 4))
            else cast(aged.open_amount * closing.rate as decimal(18, 2))
        end as amount_type) as group_amount,
        aged.document_date,
        aged.posting_date,
        aged.due_date,
        aged.days_past_due,
        buckets.aging_bucket,
        aged.open_amount < 0 as is_credit,
        aged.currency_code <> policy.reporting_currency and coalesce(closing.rate_date < cast(as_of as date), false)
            as is_rate_carried,
        aged.is_booking_rate_carried
    from aged
    cross join marts.dim_reporting as policy
    left join marts.fct_exchange_rates as closing
        on aged.currency_code = closing.from_currency
        and policy.reporting_currency = closing.to_currency
        and cast(as_of as date) >= closing.rate_date
        and cast(as_of as date) < closing.valid_until
    left join marts.dim_aging_buckets as buckets
        on aged.days_past_due >= coalesce(buckets.min_days, -100000)
        and aged.days_past_due <= coalesce(buckets.max_days, 100000);

create or replace macro marts.aging_as_of(
    as_of, known_at := null, basis := 'due_date', view_name := 'known', aging_day := null
) as table
    select
        as_of_date,
        company_id,
        customer_id,
        currency_code,
        aging_bucket,
        cast(sum(open_amount) as amount_type) as open_amount,
        cast(case when count(company_amount) = count(*) then sum(company_amount) end as amount_type) as company_amount,
        cast(case when count(group_amount) = count(*) then sum(group_amount) end as amount_type) as group_amount,
        cast(sum(case when is_credit then 0 else open_amount end) as amount_type) as debit_amount,
        cast(sum(case when is_credit then open_amount else 0 end) as amount_type) as credit_amount,
        count(*) as item_count,
        bool_or(is_rate_carried) as is_rate_carried,
        bool_or(is_booking_rate_carried) as is_booking_rate_carried
    from
        marts.open_items_as_of(
            as_of, known_at := known_at, view_name := view_name, basis := basis, aging_day := aging_day
        )
    group by as_of_date, company_id, customer_id, currency_code, aging_bucket;
