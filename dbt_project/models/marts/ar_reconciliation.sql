with

history_days as (

    select * from {{ ref('int_days') }}

),

gl_rows as (

    select * from {{ ref('stg_gl_balances') }}
    where known_until = {{ forever() }} and not is_removed

),

companies as (

    select * from {{ source('settings', 'companies') }}

),

history as (

    select * from {{ ref('int_open_item_history') }}

),

entries as (

    select * from {{ ref('int_ledger_entries') }}

),

aging as (

    select * from {{ ref('int_daily_aging') }}

),

-- The books of a company are kept in its own currency; a balance without a currency is one of those.
gl as (

    select
        gl_rows.balance_date as as_of_date,
        gl_rows.company_id,
        coalesce(gl_rows.currency_code, companies.currency_code) as currency_code,
        sum(gl_rows.balance_amount) as gl_amount
    from gl_rows
    left join companies
        on gl_rows.company_id = companies.company_id
    where gl_rows.balance_date <= {{ as_of_date() }}
    group by
        gl_rows.balance_date, gl_rows.company_id, coalesce(gl_rows.currency_code, companies.currency_code)

),

-- A balance of a day before the first document is a difference too.
days as (

    select
        date_day,
        is_month_end
    from history_days
    union all
    select distinct
        gl.as_of_date as date_day,
        false as is_month_end
    from gl
    left join history_days
        on gl.as_of_date = history_days.date_day
    where history_days.date_day is null

),

-- And so is that of a company whose documents nobody delivered.
books as (

    select
        company_id,
        company_currency_code as currency_code
    from history
    union
    select
        gl.company_id,
        gl.currency_code
    from gl
    left join history
        on gl.company_id = history.company_id
    where history.company_id is null

),

-- Three roads to one balance. First: straight from the entries, converted per item as they add up.
item_changes as (

    select
        entries.company_id,
        entries.open_item_id,
        entries.effective_date,
        entries.booking_rate,
        sum(entries.amount) as change
    from entries
    group by entries.company_id, entries.open_item_id, entries.effective_date, entries.booking_rate
    having sum(entries.amount) <> 0

),

item_balances as (

    select
        item_changes.*,
        sum(change) over (
            partition by company_id, open_item_id, booking_rate
            order by effective_date
            rows between unbounded preceding and current row
        ) as balance
    from item_changes

),

minor_units as (

    select
        company_id,
        max(company_minor_unit) as minor_unit
    from history
    group by company_id

),

ledger_changes as (

    select
        item_balances.company_id,
        item_balances.effective_date as date_day,
        sum(
            {{ round_to_minor_unit(
                converted('item_balances.balance', 'item_balances.booking_rate'), 'minor_units.minor_unit'
            ) }}
            - {{ round_to_minor_unit(
                converted('item_balances.balance - item_balances.change', 'item_balances.booking_rate'),
                'minor_units.minor_unit',
            ) }}
        ) as change
    from item_balances
    left join minor_units
        on item_balances.company_id = minor_units.company_id
    group by item_balances.company_id, item_balances.effective_date

),

-- Second: the intervals of the items.
interval_changes as (

    select
        company_id,
        valid_from as date_day,
        sum(company_amount) as change
    from history
    group by company_id, valid_from
    union all
    select
        company_id,
        valid_to as date_day,
        -sum(company_amount) as change
    from history
    group by company_id, valid_to

),

items_by_day as (

    select
        company_id,
        date_day,
        sum(change) as change
    from interval_changes
    group by company_id, date_day

),

-- Third: the buckets of the daily ageing.
buckets_by_day as (

    select
        company_id,
        as_of_date as date_day,
        sum(company_amount) as amount,
        sum(unconverted_count) as unconverted_count
    from aging
    group by company_id, as_of_date

),

running as (

    select
        days.date_day as as_of_date,
        days.is_month_end,
        books.company_id,
        books.currency_code,
        sum(coalesce(ledger_changes.change, 0)) over until_day as ledger_amount,
        sum(coalesce(items_by_day.change, 0)) over until_day as items_amount,
        coalesce(buckets_by_day.amount, 0) as buckets_amount,
        coalesce(buckets_by_day.unconverted_count, 0) as unconverted_count
    from books
    cross join days
    left join ledger_changes
        on books.company_id = ledger_changes.company_id
        and days.date_day = ledger_changes.date_day
    left join items_by_day
        on books.company_id = items_by_day.company_id
        and days.date_day = items_by_day.date_day
    left join buckets_by_day
        on books.company_id = buckets_by_day.company_id
        and days.date_day = buckets_by_day.date_day
    window until_day as (
        partition by books.company_id
        order by days.date_day
        rows between unbounded preceding and current row
    )

),

compared as (

    select
        running.as_of_date,
        running.company_id,
        running.currency_code,
        {{ money('running.ledger_amount') }} as ledger_amount,
        {{ money('running.items_amount') }} as items_amount,
        {{ money('running.buckets_amount') }} as buckets_amount,
        {{ money('gl.gl_amount') }} as gl_amount,
        {{ money('gl.gl_amount - running.items_amount') }} as difference_amount,
        running.unconverted_count,
        running.ledger_amount <> running.items_amount
        or running.items_amount <> running.buckets_amount as is_broken
    from running
    left join gl
        on running.as_of_date = gl.as_of_date
        and running.company_id = gl.company_id
        and running.currency_code = gl.currency_code
    where gl.company_id is not null or running.is_month_end

),

-- What was booked with an earlier date after that day had passed: the usual reason of a difference.
late_entries as (

    select
        compared.as_of_date,
        compared.company_id,
        sum(entries.company_amount) as amount
    from compared
    inner join entries
        on compared.company_id = entries.company_id
        and compared.as_of_date >= entries.effective_date
        and compared.as_of_date < entries.known_on
    where compared.difference_amount <> 0
    group by compared.as_of_date, compared.company_id

),

-- Documents of the day that the books had not posted yet.
unposted as (

    select
        compared.as_of_date,
        compared.company_id,
        sum(documents.sign * {{ round_to_minor_unit(
            converted('documents.amount', 'documents.booking_rate'), 'documents.company_minor_unit'
        ) }}) as amount
    from compared
    inner join {{ ref('int_documents') }} as documents
        on compared.company_id = documents.company_id
        and documents.known_until = {{ forever() }}
        and compared.as_of_date >= documents.document_date
        and compared.as_of_date < documents.posting_date
        and (documents.ended_on is null or compared.as_of_date < documents.ended_on)
    where compared.difference_amount <> 0
    group by compared.as_of_date, compared.company_id

),

-- Items that only a manual journal made: a ledger that was corrected elsewhere does not know them.
journals as (

    select
        compared.as_of_date,
        compared.company_id,
        sum(history.company_amount) as amount
    from compared
    inner join history
        on compared.company_id = history.company_id
        and history.document_type in ('journal_debit', 'journal_credit')
        and compared.as_of_date >= history.valid_from
        and compared.as_of_date < history.valid_to
    where compared.difference_amount <> 0
    group by compared.as_of_date, compared.company_id

),

-- Books that were revalued at the closing rate while the items keep the rate of their booking.
revaluations as (

    select
        compared.as_of_date,
        compared.company_id,
        sum(
            {{ round_to_minor_unit(
                converted('history.open_amount', 'rates.rate'), 'history.company_minor_unit'
            ) }} - history.company_amount
        ) as amount
    from compared
    inner join history
        on compared.company_id = history.company_id
        and compared.as_of_date >= history.valid_from
        and compared.as_of_date < history.valid_to
    inner join {{ ref('int_exchange_rates') }} as rates
        on history.currency_code = rates.from_currency
        and history.company_currency_code = rates.to_currency
        and compared.as_of_date >= rates.rate_date
        and compared.as_of_date < rates.valid_until
    where compared.difference_amount <> 0
    group by compared.as_of_date, compared.company_id

),

published as (

    select
        compared.as_of_date,
        compared.company_id,
        compared.currency_code,
        -- Without the items that nobody can convert, a balance would look like one and be too small.
        {% for name in ['ledger_amount', 'items_amount', 'buckets_amount'] -%}
            case when compared.unconverted_count = 0 or compared.is_broken then compared.{{ name }} end
                as {{ name }},
        {% endfor -%}
        compared.gl_amount,
        case when compared.unconverted_count = 0 or compared.is_broken then compared.difference_amount end
            as difference_amount,
        case
            when compared.is_broken then 'broken'
            when compared.unconverted_count > 0 then 'incomplete'
            when compared.gl_amount is null then 'no_gl_balance'
            when abs(compared.difference_amount) <= {{ money("'" ~ var('reconciliation_tolerance') ~ "'") }} then 'reconciled'
            else 'different'
        end as status,
        -- A reason is named only where it explains the difference to the cent.
        case
            when compared.gl_amount is null then null
            when compared.unconverted_count > 0 then 'rate'
            when compared.difference_amount = 0 then null
            when abs(compared.difference_amount + late_entries.amount) < 0.005 then 'timing'
            when compared.difference_amount = -unposted.amount then 'unposted'
            when compared.difference_amount = -journals.amount then 'manual_journal'
            when compared.difference_amount = revaluations.amount then 'rate'
            else 'unknown'
        end as reason
    from compared
    left join late_entries
        on compared.as_of_date = late_entries.as_of_date
        and compared.company_id = late_entries.company_id
    left join unposted
        on compared.as_of_date = unposted.as_of_date
        and compared.company_id = unposted.company_id
    left join journals
        on compared.as_of_date = journals.as_of_date
        and compared.company_id = journals.company_id
    left join revaluations
        on compared.as_of_date = revaluations.as_of_date
        and compared.company_id = revaluations.company_id

)

select * from published
