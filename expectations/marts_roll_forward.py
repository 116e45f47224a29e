"""The roll-forward, and the reconciliation with the general ledger: what an auditor asks for first."""

# ruff: noqa: S608 - the SQL is made of names of this project and of quoted literals

from __future__ import annotations

import great_expectations.expectations as gxe

from receivables.checks.suites import MartsScope, Needs, Suite, no_rows, rule

OWNER = "receivables accounting"
MODELS = "data engineering"

GL = Needs(
    "select 1 from marts.ar_reconciliation where gl_amount is not null",
    "no source delivers balances of a general ledger",
)


def suites(scope: MartsScope) -> list[Suite]:
    return [_roll_forward(scope), _reconciliation(scope)]


def _roll_forward(scope: MartsScope) -> Suite:
    grain = ["month_end_date", "company_id", "currency_code"]
    return Suite(
        name="marts.ar_roll_forward",
        query="select * from marts.ar_roll_forward",
        key=tuple(grain),
        rules=(
            rule(
                "a_month_appears_once",
                gxe.ExpectCompoundColumnsToBeUnique(column_list=grain),
                says="Each month, company and currency has one row.",
                severity="critical",
                note="Flows of the month are counted twice.",
                owner=MODELS,
            ),
            rule(
                "every_month_closes_to_zero",
                no_rows("""
                    select month_end_date, company_id, currency_code, opening_amount, closing_amount,
                        difference_amount, company_difference_amount
                    from {batch}
                    where difference_amount is distinct from 0
                        or (company_difference_amount is distinct from 0 and not is_conversion_incomplete)
                """),
                says="Opening plus the flows of the month is closing, to 0.00, in both currencies.",
                severity="critical",
                note="Receivables changed without a document; the month cannot be explained to an auditor.",
                owner=OWNER,
            ),
            rule(
                "the_difference_is_what_the_columns_say",
                no_rows("""
                    select month_end_date, company_id, currency_code, difference_amount,
                        closing_amount - (
                            opening_amount + invoices_amount - credit_memos_amount - receipts_amount
                            - discounts_amount - write_offs_amount + refunds_amount + journals_amount
                            + reversals_amount + transfers_amount + exchange_amount
                        ) as recomputed
                    from {batch}
                    where difference_amount is distinct from closing_amount - (
                        opening_amount + invoices_amount - credit_memos_amount - receipts_amount
                        - discounts_amount - write_offs_amount + refunds_amount + journals_amount
                        + reversals_amount + transfers_amount + exchange_amount
                    )
                """),
                says="The difference follows from the columns beside it.",
                severity="critical",
                note="The proof of the month is not a proof.",
                owner=MODELS,
            ),
            rule(
                "a_month_opens_as_the_last_one_closed",
                no_rows("""
                    select month_end_date, company_id, currency_code, opening_amount, closed_with from (
                        select *, lag(closing_amount, 1, 0) over (
                            partition by company_id, currency_code order by month_end_date
                        ) as closed_with
                        from {batch}
                    ) as months
                    where opening_amount is distinct from closed_with
                """),
                says="Every month opens with the closing balance of the month before.",
                severity="critical",
                note="A balance appeared or vanished between two months.",
                owner=OWNER,
            ),
            rule(
                "no_month_is_missing",
                no_rows(f"""
                    select reported.company_id, reported.currency_code, periods.month_end_date
                    from {scope.periods} as periods
                    inner join (
                        select company_id, currency_code, min(month_end_date) as first_month,
                            list(distinct month_end_date) as months
                        from {{batch}}
                        group by company_id, currency_code
                    ) as reported
                        on periods.company_id = reported.company_id
                        and periods.month_end_date >= reported.first_month
                    where not list_contains(reported.months, periods.month_end_date)
                """),
                says="Every month from the first to the last complete one is there, in the company's own"
                " calendar.",
                severity="critical",
                note="Flows of the missing month are in no report.",
                owner=MODELS,
            ),
            rule(
                "closing_is_the_ageing_of_the_month_end",
                no_rows("""
                    select months.month_end_date, months.company_id, months.currency_code,
                        months.closing_amount, coalesce(aging.open_amount, 0) as aging_amount
                    from {batch} as months
                    left join (
                        select as_of_date, company_id, currency_code, sum(open_amount) as open_amount
                        from marts.ar_aging_daily group by as_of_date, company_id, currency_code
                    ) as aging
                        on months.month_end_date = aging.as_of_date
                        and months.company_id = aging.company_id
                        and months.currency_code = aging.currency_code
                    where months.closing_amount is distinct from coalesce(aging.open_amount, 0)
                """),
                says="The closing balance of a month is its ageing at the month end.",
                severity="critical",
                note="Two published tables show different receivables for the same day.",
                owner=MODELS,
            ),
        ),
    )


def _reconciliation(scope: MartsScope) -> Suite:
    amount, share = scope.limits["gl_tolerance_amount"], scope.limits["gl_tolerance_share"]
    fresh = scope.limits["gl_fresh_days"]
    grain = ["as_of_date", "company_id", "currency_code"]
    return Suite(
        name="marts.ar_reconciliation",
        query="select * from marts.ar_reconciliation",
        key=tuple(grain),
        rules=(
            rule(
                "a_day_appears_once",
                gxe.ExpectCompoundColumnsToBeUnique(column_list=grain),
                says="Each day, company and currency has one row.",
                severity="critical",
                note="The reconciliation adds the same balance twice.",
                owner=MODELS,
            ),
            rule(
                "ledger_items_and_buckets_agree",
                no_rows("""
                    select as_of_date, company_id, currency_code, ledger_amount, items_amount, buckets_amount
                    from {batch}
                    where ledger_amount is distinct from items_amount
                        or items_amount is distinct from buckets_amount
                """),
                says="Ledger, open items and buckets show one balance.",
                severity="critical",
                note="Three roads to the receivable lead to different amounts; at least two are wrong.",
                owner=MODELS,
            ),
            rule(
                "the_status_is_what_the_amounts_say",
                no_rows("""
                    select as_of_date, company_id, currency_code, status, items_amount, gl_amount,
                        difference_amount
                    from {batch}
                    where (status = 'reconciled' and difference_amount is null)
                        -- The tolerance lies between what is reconciled and what is different.
                        or (
                            status = 'different'
                            and abs(difference_amount) <= coalesce(
                                (select max(abs(difference_amount)) from {batch} where status = 'reconciled'),
                                0
                            )
                        )
                        or (status = 'no_gl_balance' and gl_amount is not null)
                        or difference_amount is distinct from gl_amount - items_amount
                """),
                says="The status follows from the amounts beside it.",
                severity="critical",
                note="A month is reported as reconciled that is not.",
                owner=MODELS,
            ),
            rule(
                "the_general_ledger_agrees",
                no_rows(f"""
                    select newest.as_of_date, newest.company_id, newest.currency_code, newest.items_amount,
                        newest.gl_amount, newest.difference_amount, newest.reason
                    from (
                        select * from {{batch}}
                        where gl_amount is not null
                        qualify row_number() over (
                            partition by company_id, currency_code order by as_of_date desc
                        ) = 1
                    ) as newest
                    where abs(difference_amount)
                        > greatest({amount}, {share} * abs(gl_amount))
                """),
                says="The newest balance of the general ledger is the sum of the open items, within"
                f" {amount} or {share:.2%}.",
                severity="warning",
                note="The sub-ledger does not tie out: a manual journal, a late booking or a missing"
                " document.",
                owner=OWNER,
                needs=GL,
            ),
            rule(
                "the_general_ledger_is_fresh",
                no_rows(f"""
                    select company_id, currency_code, max(as_of_date) as last_balance_on from {{batch}}
                    where gl_amount is not null
                    group by company_id, currency_code
                    having max(as_of_date) < date '{scope.day}' - {fresh}
                """),
                says="A company that delivers balances of its general ledger has one of the last"
                f" {fresh} days.",
                severity="warning",
                note="The tie-out is of an older day than the receivable.",
                owner=OWNER,
                needs=GL,
            ),
        ),
    )
