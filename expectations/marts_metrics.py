"""The monthly figures: complete, explained where they are null, consistent with the balances behind them."""

# ruff: noqa: S608 - the SQL is made of names of this project and of quoted literals

from __future__ import annotations

import great_expectations.expectations as gxe

from receivables.checks.suites import MartsScope, Rule, Suite, no_rows, rule

OWNER = "controlling"
MODELS = "data engineering"

GRAIN = ("month_end_date", "company_id", "scope_type", "scope_id")
# A figure is a double: this is rounding, more is another formula.
ROUNDING = 1e-6


def suites(scope: MartsScope) -> list[Suite]:
    return [
        _suite("ar_dso", (*_common("ar_dso", scope), *_dso(scope))),
        _suite("ar_turnover", (*_common("ar_turnover", scope), *_turnover())),
        _suite("ar_collection_effectiveness", (*_common("ar_collection_effectiveness", scope), *_cei())),
        _suite("ar_payment_behaviour", (*_common("ar_payment_behaviour", scope), *_behaviour())),
    ]


def _suite(table: str, rules: tuple[Rule, ...]) -> Suite:
    return Suite(name=f"marts.{table}", query=f"select * from marts.{table}", key=GRAIN, rules=rules)


def _common(table: str, scope: MartsScope) -> tuple[Rule, ...]:
    return (
        rule(
            "a_month_appears_once",
            gxe.ExpectCompoundColumnsToBeUnique(column_list=list(GRAIN)),
            says="Each month, company and scope has one row.",
            severity="critical",
            note="A dashboard shows the sum or the average of two values for one month.",
            owner=MODELS,
        ),
        rule(
            "no_month_is_missing",
            no_rows(f"""
                select periods.company_id, periods.month_end_date
                from {scope.periods} as periods
                inner join (
                    select company_id, min(month_end_date) as first_month,
                        list(distinct month_end_date) as months
                    from {{batch}}
                    where scope_type in ('company', 'group')
                    group by company_id
                ) as reported
                    on periods.company_id = reported.company_id
                    and periods.month_end_date >= reported.first_month
                where not list_contains(reported.months, periods.month_end_date)
            """),
            says="Every month from the first to the last complete one is there, for each company in its own"
            " calendar and for the group.",
            severity="critical",
            note="Comparisons with last month or last year use the wrong month.",
            owner=MODELS,
        ),
        rule(
            "every_company_is_there",
            no_rows(f"""
                select companies.company_id from (
                    -- The daily series has every company on every day, also before its first document.
                    select distinct daily.company_id
                    from marts.ar_aging_daily as daily
                    inner join {scope.periods} as periods
                        on daily.company_id = periods.company_id
                        and daily.as_of_date = periods.month_end_date
                    where daily.item_count > 0
                ) as companies
                where companies.company_id not in (
                    select company_id from {{batch}} where scope_type = 'company'
                )
            """),
            says="Every company with receivables has its figures.",
            severity="critical",
            note=f"The company is missing from {table} and from the group's figures.",
            owner=MODELS,
        ),
    )


def _dso(scope: MartsScope) -> tuple[Rule, ...]:
    longest = scope.limits["longest_dso"]
    return (
        rule(
            "the_flag_is_known",
            gxe.ExpectColumnValuesToBeInSet(
                column="flag",
                value_set=[
                    "no_sales_in_period",
                    "credit_balance",
                    "insufficient_history",
                    "conversion_incomplete",
                ],
            ),
            says="A flag is one of the four that the documentation explains.",
            severity="critical",
            note="Readers cannot tell why a figure is missing.",
            owner=MODELS,
        ),
        rule(
            "a_missing_value_has_its_reason",
            no_rows("""
                select month_end_date, company_id, scope_type, scope_id, dso, flag from {batch}
                where (dso is null) <> (coalesce(flag, '') in ('no_sales_in_period', 'conversion_incomplete'))
                    or (dso is null) <> (best_possible_dso is null)
            """),
            says="DSO is null exactly where the flag says why.",
            severity="critical",
            note="A gap without a reason, or a value where none can be computed.",
            owner=MODELS,
        ),
        rule(
            "a_credit_balance_is_flagged",
            no_rows("""
                select month_end_date, company_id, scope_type, scope_id, dso, dso_signed, ar_amount, flag
                from {batch}
                where dso_signed < 0 and (dso <> 0 or flag is distinct from 'credit_balance')
            """),
            says="A negative DSO is shown as 0 and flagged.",
            severity="critical",
            note="A customer who is owed money looks like one who pays at once.",
            owner=MODELS,
        ),
        rule(
            "dso_is_not_negative",
            gxe.ExpectColumnValuesToBeBetween(column="dso", min_value=0),
            says="DSO is not negative.",
            severity="critical",
            note="Nobody pays before the sale; the sign of receivables or sales is wrong.",
            owner=MODELS,
        ),
        rule(
            "dso_follows_from_its_parts",
            no_rows(f"""
                select month_end_date, company_id, scope_type, scope_id, dso_signed, ar_amount,
                    net_sales_amount
                from {{batch}}
                where dso_signed is not null and net_sales_amount > 0
                    and abs(
                        dso_signed - ar_amount::double / net_sales_amount::double * days_in_month
                    ) > {ROUNDING} * greatest(1, abs(dso_signed))
            """),
            says="DSO is receivables by sales times the days of the month.",
            severity="critical",
            note="The figure is not what its definition says.",
            owner=MODELS,
        ),
        rule(
            "delay_is_dso_less_best_possible_dso",
            no_rows(f"""
                select month_end_date, company_id, scope_type, scope_id, average_days_delinquent, dso_signed,
                    best_possible_dso
                from {{batch}}
                where dso_signed is not null
                    and (
                        average_days_delinquent is null
                        or abs(average_days_delinquent - (dso_signed - best_possible_dso))
                            > {ROUNDING} * greatest(1, abs(dso_signed))
                    )
            """),
            says="Average days delinquent is DSO less best possible DSO.",
            severity="critical",
            note="The split of DSO into terms and delay does not add up.",
            owner=MODELS,
        ),
        rule(
            "receivables_are_those_of_the_ageing",
            no_rows("""
                select months.month_end_date, months.company_id, months.ar_amount, aging.company_amount
                from {batch} as months
                inner join (
                    select as_of_date, company_id, sum(company_amount) as company_amount
                    from marts.ar_aging_daily
                    group by as_of_date, company_id
                    having count(*) = count(company_amount)
                ) as aging
                    on months.month_end_date = aging.as_of_date and months.company_id = aging.company_id
                where months.scope_type = 'company' and months.ar_amount <> aging.company_amount
            """),
            says="The receivables that DSO divides are those of the ageing at the month end.",
            severity="critical",
            note="DSO and ageing are about different balances.",
            owner=MODELS,
        ),
        rule(
            "customers_add_up_to_the_company",
            no_rows("""
                select companies.month_end_date, companies.company_id, companies.ar_amount, parts.scope_type,
                    parts.ar_amount as sum_of_parts
                from {batch} as companies
                inner join (
                    select month_end_date, company_id, scope_type, sum(ar_amount) as ar_amount
                    from {batch}
                    where scope_type in ('customer', 'segment')
                    group by month_end_date, company_id, scope_type
                    having count(*) = count(ar_amount)
                ) as parts
                    on companies.month_end_date = parts.month_end_date
                    and companies.company_id = parts.company_id
                where companies.scope_type = 'company' and companies.ar_amount <> parts.ar_amount
            """),
            says="The receivables of customers, and of segments, add up to the company's.",
            severity="critical",
            note="A customer is missing from the figures, or counted in two segments.",
            owner=MODELS,
        ),
        rule(
            "dso_is_believable",
            no_rows(f"""
                select month_end_date, company_id, dso, ar_amount, net_sales_amount from {{batch}}
                where scope_type in ('company', 'group') and dso > {longest}
                    and month_end_date = (select max(month_end_date) from {{batch}})
            """),
            says=f"The newest DSO of a company is at most {longest} days.",
            severity="warning",
            note="Either collection has stopped, or most of the month's sales are not loaded.",
            owner=OWNER,
        ),
    )


def _turnover() -> tuple[Rule, ...]:
    return (
        rule(
            "the_flag_is_known",
            gxe.ExpectColumnValuesToBeInSet(
                column="flag", value_set=["no_sales_in_period", "no_receivables", "conversion_incomplete"]
            ),
            says="A flag is one of the three that the documentation explains.",
            severity="critical",
            note="Readers cannot tell why a figure is missing.",
            owner=MODELS,
        ),
        rule(
            "a_missing_value_has_its_reason",
            no_rows("""
                select month_end_date, company_id, scope_type, scope_id, turnover, flag from {batch}
                where (turnover is null)
                    <> (coalesce(flag, '') in ('no_receivables', 'conversion_incomplete'))
            """),
            says="Turnover is null exactly where the flag says why.",
            severity="critical",
            note="A gap without a reason, or a value where none can be computed.",
            owner=MODELS,
        ),
        rule(
            "turnover_follows_from_its_parts",
            no_rows(f"""
                select month_end_date, company_id, scope_type, scope_id, turnover, net_sales_amount,
                    opening_ar_amount, closing_ar_amount
                from {{batch}}
                where turnover is not null and net_sales_amount > 0
                    and abs(
                        turnover
                        - net_sales_amount::double / ((opening_ar_amount + closing_ar_amount)::double / 2)
                    ) > {ROUNDING} * greatest(1, abs(turnover))
            """),
            says="Turnover is sales by the mean of opening and closing receivables.",
            severity="critical",
            note="The figure is not what its definition says.",
            owner=MODELS,
        ),
        rule(
            "a_month_opens_as_the_last_one_closed",
            no_rows("""
                select month_end_date, company_id, opening_ar_amount, closed_with from (
                    select *, lag(closing_ar_amount) over (
                        partition by company_id order by month_end_date
                    ) as closed_with
                    from {batch} where scope_type = 'company'
                ) as months
                where opening_ar_amount <> closed_with
            """),
            says="Every month opens with the closing balance of the month before.",
            severity="critical",
            note="A balance appeared or vanished between two months.",
            owner=MODELS,
        ),
        rule(
            "one_month_has_one_sales_figure",
            no_rows("""
                select months.month_end_date, months.company_id, months.scope_type, months.scope_id,
                    months.net_sales_amount, dso.net_sales_amount as net_sales_of_dso,
                    months.closing_ar_amount, dso.ar_amount
                from {batch} as months
                inner join marts.ar_dso as dso
                    on months.month_end_date = dso.month_end_date
                    and months.company_id = dso.company_id
                    and months.scope_type = dso.scope_type
                    and months.scope_id = dso.scope_id
                where months.net_sales_amount <> dso.net_sales_amount
                    or months.closing_ar_amount <> dso.ar_amount
            """),
            says="Turnover and DSO use the same sales and the same receivables.",
            severity="critical",
            note="Two figures of one month contradict each other.",
            owner=MODELS,
        ),
    )


def _cei() -> tuple[Rule, ...]:
    return (
        rule(
            "the_flag_is_known",
            gxe.ExpectColumnValuesToBeInSet(
                column="flag", value_set=["nothing_was_collectible", "conversion_incomplete"]
            ),
            says="A flag is one of the two that the documentation explains.",
            severity="critical",
            note="Readers cannot tell why a figure is missing.",
            owner=MODELS,
        ),
        rule(
            "a_missing_value_has_its_reason",
            no_rows("""
                select month_end_date, company_id, scope_type, scope_id, cei, flag from {batch}
                where (cei is null) <> (flag is not null)
            """),
            says="The collection effectiveness index is null exactly where the flag says why.",
            severity="critical",
            note="A gap without a reason, or a value where none can be computed.",
            owner=MODELS,
        ),
        rule(
            "the_index_follows_from_its_parts",
            no_rows(f"""
                select month_end_date, company_id, scope_type, scope_id, cei, opening_ar_amount,
                    net_sales_amount, closing_ar_amount, closing_not_due_amount
                from {{batch}}
                where cei is not null
                    and abs(
                        cei - (opening_ar_amount + net_sales_amount - closing_ar_amount)::double
                        / (opening_ar_amount + net_sales_amount - closing_not_due_amount)::double * 100
                    ) > {ROUNDING} * greatest(1, abs(cei))
            """),
            says="The index is what was collected of what could be collected, in per cent.",
            severity="critical",
            note="The figure is not what its definition says.",
            owner=MODELS,
        ),
        rule(
            "closing_is_the_receivable_of_dso",
            no_rows("""
                select months.month_end_date, months.company_id, months.scope_type, months.scope_id,
                    months.closing_ar_amount, dso.ar_amount, months.closing_not_due_amount, dso.not_due_amount
                from {batch} as months
                inner join marts.ar_dso as dso
                    on months.month_end_date = dso.month_end_date
                    and months.company_id = dso.company_id
                    and months.scope_type = dso.scope_type
                    and months.scope_id = dso.scope_id
                where months.closing_ar_amount <> dso.ar_amount
                    or months.closing_not_due_amount <> dso.not_due_amount
            """),
            says="The index and DSO use the same receivables.",
            severity="critical",
            note="Two figures of one month contradict each other.",
            owner=MODELS,
        ),
        rule(
            "overdue_items_are_a_share",
            gxe.ExpectColumnValuesToBeBetween(column="overdue_item_rate", min_value=0, max_value=1),
            says="The share of overdue items lies between 0 and 1.",
            severity="critical",
            note="More items are overdue than are open.",
            owner=MODELS,
        ),
        rule(
            "collections_are_not_negative",
            no_rows("""
                select month_end_date, company_id, collected_amount from {batch}
                where scope_type = 'company' and collected_amount < 0
                    and month_end_date = (select max(month_end_date) from {batch})
            """),
            says="A company collected something, or nothing, in the newest month.",
            severity="warning",
            note="More payments were un-applied or bounced than came in.",
            owner=OWNER,
        ),
    )


def _behaviour() -> tuple[Rule, ...]:
    return (
        rule(
            "late_invoices_are_a_share",
            gxe.ExpectColumnValuesToBeBetween(column="late_share", min_value=0, max_value=1),
            says="The share of invoices paid late lies between 0 and 1.",
            severity="critical",
            note="More invoices were paid late than were paid.",
            owner=MODELS,
        ),
        rule(
            "a_mean_needs_invoices",
            no_rows("""
                select month_end_date, company_id, scope_type, scope_id, days_to_pay, settled_invoice_count
                from {batch}
                where settled_invoice_count < 0
                    or (days_to_pay is null) <> (settled_invoice_count = 0)
            """),
            says="Days to pay is null exactly where no invoice was settled.",
            severity="critical",
            note="An average over nothing, or a gap where invoices were paid.",
            owner=MODELS,
        ),
        rule(
            "nobody_pays_before_the_invoice",
            no_rows("""
                select month_end_date, company_id, scope_type, scope_id, days_to_pay, days_to_pay_weighted
                from {batch}
                where days_to_pay < 0 or days_to_pay_weighted < 0
            """),
            says="Days to pay are not negative.",
            severity="warning",
            note="Payments are dated before their invoices; terms and lateness of these customers are"
            " guesses.",
            owner=OWNER,
        ),
    )
