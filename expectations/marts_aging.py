"""The ageing: by customer for month ends and recent days, by company for every day of history."""

# ruff: noqa: S608 - the SQL is made of names of this project and of quoted literals

from __future__ import annotations

import great_expectations.expectations as gxe

from receivables.checks.suites import MartsScope, Suite, no_rows, rule

MODELS = "data engineering"


def suites(scope: MartsScope) -> list[Suite]:
    return [_today(scope), _history(), _daily(scope)]


def _today(scope: MartsScope) -> Suite:
    grain = ["company_id", "customer_id", "currency_code", "aging_bucket"]
    return Suite(
        name="marts.ar_aging_snapshots",
        query=f"select * from marts.ar_aging_snapshots where as_of_date = date '{scope.day}'",
        key=tuple(grain),
        rules=(
            rule(
                "a_cell_appears_once",
                gxe.ExpectCompoundColumnsToBeUnique(column_list=grain),
                says="Each customer, currency and bucket of a company has one row on the day.",
                severity="critical",
                note="Sums over the ageing count the repeated rows twice.",
                owner=MODELS,
            ),
            rule(
                "buckets_add_up_to_the_open_items",
                no_rows("""
                    select
                        coalesce(cells.company_id, items.company_id) as company_id,
                        coalesce(cells.customer_id, items.customer_id) as customer_id,
                        coalesce(cells.currency_code, items.currency_code) as currency_code,
                        coalesce(cells.aging_bucket, items.aging_bucket) as aging_bucket,
                        coalesce(cells.open_amount, 0) as bucket_amount,
                        coalesce(items.open_amount, 0) as items_amount,
                        coalesce(cells.item_count, 0) as bucket_items,
                        coalesce(items.item_count, 0) as items
                    from {batch} as cells
                    full join (
                        select company_id, customer_id, currency_code, aging_bucket,
                            sum(open_amount) as open_amount, count(*) as item_count
                        from marts.ar_open_items
                        group by company_id, customer_id, currency_code, aging_bucket
                    ) as items
                        on cells.company_id = items.company_id
                        and cells.customer_id = items.customer_id
                        and cells.currency_code = items.currency_code
                        and cells.aging_bucket is not distinct from items.aging_bucket
                    where coalesce(cells.open_amount, 0) <> coalesce(items.open_amount, 0)
                        or coalesce(cells.item_count, 0) <> coalesce(items.item_count, 0)
                """),
                says="The buckets of each customer add up to his open items, in every currency.",
                severity="critical",
                note="The ageing report and the item list show different receivables.",
                owner=MODELS,
            ),
        ),
    )


def _history() -> Suite:
    return Suite(
        name="marts.ar_aging_snapshots.history",
        query="select * from marts.ar_aging_snapshots",
        key=("as_of_date", "company_id", "customer_id", "currency_code", "aging_bucket"),
        rules=(
            rule(
                "debits_and_credits_add_up",
                no_rows("""
                    select as_of_date, company_id, customer_id, currency_code, aging_bucket, open_amount,
                        debit_amount, credit_amount
                    from {batch}
                    where open_amount <> debit_amount + credit_amount or debit_amount < 0 or credit_amount > 0
                """),
                says="The open amount is debits plus credits, and each has its sign.",
                severity="critical",
                note="Credits are netted out of sight, or counted on the wrong side.",
                owner=MODELS,
            ),
            rule(
                "the_bucket_is_known",
                no_rows("""
                    select as_of_date, company_id, customer_id, aging_bucket, open_amount from {batch}
                    where aging_bucket is null
                        or aging_bucket not in (select aging_bucket from marts.dim_aging_buckets)
                """),
                says="Every bucket is one of dim_aging_buckets.",
                severity="critical",
                note="An amount is in no column of the ageing report, which then does not add up.",
                owner=MODELS,
            ),
            rule(
                "customers_add_up_to_the_company",
                no_rows("""
                    select
                        daily.as_of_date, daily.company_id, daily.currency_code, daily.aging_bucket,
                        coalesce(snapshots.open_amount, 0) as customers_amount,
                        daily.open_amount as company_amount
                    from marts.ar_aging_daily as daily
                    inner join (select distinct as_of_date, company_id from {batch}) as days
                        on daily.as_of_date = days.as_of_date and daily.company_id = days.company_id
                    left join (
                        select as_of_date, company_id, currency_code, aging_bucket,
                            sum(open_amount) as open_amount, sum(item_count) as item_count
                        from {batch}
                        group by as_of_date, company_id, currency_code, aging_bucket
                    ) as snapshots
                        on daily.as_of_date = snapshots.as_of_date
                        and daily.company_id = snapshots.company_id
                        and daily.currency_code = snapshots.currency_code
                        and daily.aging_bucket = snapshots.aging_bucket
                    where daily.open_amount <> coalesce(snapshots.open_amount, 0)
                        or daily.item_count <> coalesce(snapshots.item_count, 0)
                """),
                says="On every stored day the customers' buckets add up to the company's.",
                severity="critical",
                note="Trends by customer and by company tell different stories.",
                owner=MODELS,
            ),
            rule(
                "no_month_end_is_missing",
                no_rows("""
                    select daily.as_of_date, daily.company_id, daily.currency_code,
                        sum(daily.item_count) as items
                    from marts.ar_aging_daily as daily
                    where daily.as_of_date = last_day(daily.as_of_date)
                        and not exists (
                            select 1 from {batch} as snapshots
                            where snapshots.as_of_date = daily.as_of_date
                                and snapshots.company_id = daily.company_id
                                and snapshots.currency_code = daily.currency_code
                                and snapshots.snapshot_type = 'month_end'
                        )
                    group by daily.as_of_date, daily.company_id, daily.currency_code
                    having sum(daily.item_count) <> 0
                """),
                says="Every month end with open items has its snapshot.",
                severity="critical",
                note="The month disappears from every comparison over time.",
                owner=MODELS,
            ),
        ),
    )


def _daily(scope: MartsScope) -> Suite:
    recent = scope.limits["recent_days"]
    return Suite(
        name="marts.ar_aging_daily",
        query="select * from marts.ar_aging_daily",
        key=("as_of_date", "company_id", "currency_code", "aging_bucket"),
        rules=(
            rule(
                "a_cell_appears_once",
                gxe.ExpectCompoundColumnsToBeUnique(
                    column_list=["as_of_date", "company_id", "currency_code", "aging_bucket"]
                ),
                says="Each day, company, currency and bucket has one row.",
                severity="critical",
                note="Charts of the daily ageing count the repeated rows twice.",
                owner=MODELS,
            ),
            rule(
                "the_series_ends_on_the_day",
                no_rows(f"""
                    select max(as_of_date) as last_day from {{batch}}
                    having max(as_of_date) is distinct from date '{scope.day}'
                """),
                says=f"The daily series ends on {scope.day}.",
                severity="critical",
                note="The newest point of every chart is of another day than the version says.",
                owner=MODELS,
            ),
            rule(
                "no_day_and_no_bucket_is_missing",
                no_rows("""
                    select books.company_id, books.currency_code, books.cells,
                        span.days * buckets.buckets as cells_expected
                    from (
                        select company_id, currency_code, count(*) as cells
                        from {batch} group by company_id, currency_code
                    ) as books
                    cross join (
                        select max(as_of_date) - min(as_of_date) + 1 as days from {batch}
                    ) as span
                    cross join (select count(*) as buckets from marts.dim_aging_buckets) as buckets
                    where books.cells <> span.days * buckets.buckets
                """),
                says="Every day of history has every bucket, for every company and currency.",
                severity="critical",
                note="Charts draw a line through days that are not there.",
                owner=MODELS,
            ),
            rule(
                "debits_and_credits_add_up",
                no_rows("""
                    select as_of_date, company_id, currency_code, aging_bucket, open_amount, debit_amount,
                        credit_amount
                    from {batch}
                    where open_amount <> debit_amount + credit_amount
                """),
                says="The open amount is debits plus credits.",
                severity="critical",
                note="Credits are netted out of sight, or counted on the wrong side.",
                owner=MODELS,
            ),
            rule(
                "every_day_is_the_sum_of_the_ledger",
                no_rows(f"""
                    select series.as_of_date, series.company_id, series.currency_code, series.open_amount,
                        sum(entries.amount) as ledger_amount
                    from (
                        select as_of_date, company_id, currency_code, sum(open_amount) as open_amount
                        from {{batch}}
                        where as_of_date = last_day(as_of_date)
                            or as_of_date > date '{scope.day}' - {recent}
                        group by as_of_date, company_id, currency_code
                    ) as series
                    left join (
                        select company_id, currency_code, effective_date, sum(amount) as amount
                        from marts.fct_ledger_entries
                        group by company_id, currency_code, effective_date
                    ) as entries
                        on series.company_id = entries.company_id
                        and series.currency_code = entries.currency_code
                        and entries.effective_date <= series.as_of_date
                    group by series.as_of_date, series.company_id, series.currency_code, series.open_amount
                    having series.open_amount <> coalesce(sum(entries.amount), 0)
                """),
                says=f"At every month end and on each of the last {recent} days the buckets add up to"
                " the ledger.",
                severity="critical",
                note="The series of receivables over time does not follow from the postings.",
                owner=MODELS,
            ),
        ),
    )
