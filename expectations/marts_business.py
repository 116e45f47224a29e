"""What the published figures say about the business: today against days like it, limits, restatements."""

# ruff: noqa: S608 - the SQL is made of names of this project and of quoted literals

from __future__ import annotations

import re

from receivables.checks.suites import MartsScope, Needs, Rule, Suite, no_rows, rule, usual

OWNER = "receivables accounting"
CREDIT = "credit management"
MODELS = "data engineering"


def suites(scope: MartsScope) -> list[Suite]:
    return [
        Suite(
            name="marts.business",
            query=f"""
                select company_id, sum(open_amount) as open_amount, sum(company_amount) as company_amount,
                    sum(item_count) as items
                from marts.ar_aging_daily where as_of_date = date '{scope.day}' group by company_id
            """,
            key=("company_id",),
            rules=tuple(entry for company in scope.companies for entry in _usual_of(company, scope)),
        ),
        _limits(scope),
        _restatements(scope),
        _parents(),
        _companies(),
        _applications(),
    ]


def _usual_of(company: str, scope: MartsScope) -> list[Rule]:
    """Receivable, sales and cash of a company, against what former runs measured."""
    name, quoted = re.sub(r"[^A-Za-z0-9]+", "_", company), company.replace("'", "''")
    flows = f"""
        select coalesce(sum(abs(company_amount)), 0) as amount from marts.fct_documents
        where company_id = '{quoted}' and document_date = date '{scope.day}' and document_type in
    """
    measures = (
        (
            f"the_receivable_of_{name}_is_usual",
            f"select coalesce(sum(company_amount), 0) as amount from {{batch}} where company_id = '{quoted}'",
            "usual_balance_floor",
            f"The receivable of {company} is about what it was.",
            "DSO and every balance of the company jump with it: a large payment run, or half an extract.",
        ),
        (
            f"the_sales_of_{name}_are_usual",
            f"{flows} ('invoice', 'debit_memo')",
            "usual_floor",
            f"{company} invoiced about what it does on days like this.",
            "DSO, turnover and the forecast of the company rest on a day that is not like the others.",
        ),
        (
            f"the_cash_of_{name}_is_usual",
            f"{flows} ('receipt')",
            "usual_floor",
            f"{company} collected about what it does on days like this.",
            "Paid invoices may be shown as overdue, and customers dunned who have paid.",
        ),
    )
    return [
        rule(
            check,
            usual(
                query,
                scope.history.band(
                    "marts.business",
                    check,
                    scope.day,
                    width=scope.limits["usual_width"],
                    floor=scope.limits[floor],
                    least=scope.limits["usual_amount"],
                ),
            ),
            says=says,
            severity="warning",
            note=note,
            owner=OWNER,
        )
        for check, query, floor, says, note in measures
    ]


def _limits(scope: MartsScope) -> Suite:
    times = scope.limits["over_limit_share"]
    needs = Needs("select 1 from marts.fct_credit_limits", "no source delivers credit limits")
    return Suite(
        name="marts.fct_credit_limits",
        query=f"""
            select * from marts.fct_credit_limits
            where valid_from <= date '{scope.day}' and valid_to > date '{scope.day}'
        """,
        key=("customer_id", "valid_from"),
        rules=(
            rule(
                "a_customer_is_not_far_over_the_limit",
                no_rows(f"""
                    select limits.customer_id, limits.limit_amount, limits.currency_code, items.open_amount
                    from {{batch}} as limits
                    inner join (
                        select customer_id, currency_code, sum(open_amount) as open_amount
                        from marts.ar_open_items group by customer_id, currency_code
                    ) as items
                        on items.customer_id = limits.customer_id
                        and items.currency_code = limits.currency_code
                    where limits.limit_amount > 0 and items.open_amount > {times} * limits.limit_amount
                """),
                says=f"No customer owes more than {times} times the limit.",
                severity="warning",
                note="Deliveries were not stopped, or the limit lacks a zero: exposure reports show a breach"
                " that somebody has to explain.",
                owner=CREDIT,
                needs=needs,
            ),
            rule(
                "a_customer_without_credit_owes_nothing",
                no_rows("""
                    select limits.customer_id, limits.limit_amount, items.open_amount, items.currency_code
                    from {batch} as limits
                    inner join (
                        select customer_id, currency_code, sum(open_amount) as open_amount
                        from marts.ar_open_items group by customer_id, currency_code
                    ) as items
                        on items.customer_id = limits.customer_id
                    where limits.limit_amount = 0 and items.open_amount > 0
                """),
                says="A customer whose limit is zero owes nothing.",
                severity="info",
                note="The customer was blocked while invoices were open, or delivered to although blocked.",
                owner=CREDIT,
                needs=needs,
            ),
        ),
    )


def _restatements(scope: MartsScope) -> Suite:
    share = scope.limits["restated_share"]
    return Suite(
        name="marts.ar_restatements",
        query="select * from marts.ar_restatements",
        key=("detected_on", "as_of_date", "company_id", "cause"),
        rules=(
            rule(
                "a_reported_month_is_hardly_restated",
                no_rows(f"""
                    select detected_on, as_of_date, company_id, sum(amount_after - amount_before) as change,
                        any_value(balance.company_amount) as balance_now
                    from {{batch}} as restated
                    inner join (
                        select as_of_date as day, company_id as company, sum(company_amount) as company_amount
                        from marts.ar_aging_daily group by as_of_date, company_id
                    ) as balance
                        on balance.day = restated.as_of_date and balance.company = restated.company_id
                    where detected_on = date '{scope.day}' and as_of_date = last_day(as_of_date)
                    group by detected_on, as_of_date, company_id
                    having abs(sum(amount_after - amount_before))
                        > {share} * greatest(abs(any_value(balance.company_amount)), 1)
                """),
                says=f"Nothing that was learnt on the day changes a month end by more than {share:.0%}.",
                severity="warning",
                note="A month that the board has seen is another one now; ar_restatements names the causes.",
                owner=OWNER,
                needs=Needs(
                    "select 1 from quality.loads where status = 'loaded'"
                    f" and as_of_date < date '{scope.day}'",
                    "it is the first day: nothing was reported before",
                ),
            ),
            rule(
                "a_restatement_has_its_cause",
                no_rows("""
                    select detected_on, as_of_date, company_id, amount_before, amount_after from {batch}
                    where cause is null or entry_count < 1
                """),
                says="Every restatement names its cause and counts its entries.",
                severity="critical",
                note="A reported figure changed, and nobody can say why.",
                owner=MODELS,
            ),
        ),
    )


def _parents() -> Suite:
    return Suite(
        name="marts.ar_aging_by_parent",
        query="select * from marts.ar_aging_by_parent",
        key=("as_of_date", "company_id", "ultimate_parent_customer_id", "currency_code", "aging_bucket"),
        rules=(
            rule(
                "parents_add_up_to_their_customers",
                no_rows("""
                    select coalesce(parents.as_of_date, customers.as_of_date) as as_of_date,
                        coalesce(parents.company_id, customers.company_id) as company_id,
                        coalesce(parents.currency_code, customers.currency_code) as currency_code,
                        parents.open_amount as parents_amount, customers.open_amount as customers_amount
                    from (
                        select as_of_date, company_id, currency_code, sum(open_amount) as open_amount
                        from {batch} group by as_of_date, company_id, currency_code
                    ) as parents
                    full join (
                        select as_of_date, company_id, currency_code, sum(open_amount) as open_amount
                        from marts.ar_aging_snapshots group by as_of_date, company_id, currency_code
                    ) as customers
                        on parents.as_of_date = customers.as_of_date
                        and parents.company_id = customers.company_id
                        and parents.currency_code = customers.currency_code
                    where parents.open_amount is distinct from customers.open_amount
                """),
                says="The ageing by group of customers adds up to the ageing by customer.",
                severity="critical",
                note="A customer is in no group, or in two: exposure by group is wrong.",
                owner=MODELS,
            ),
        ),
    )


def _companies() -> Suite:
    return Suite(
        name="marts.dim_companies",
        query="select * from marts.dim_companies",
        key=("company_id",),
        rules=(
            rule(
                "a_company_has_a_currency",
                no_rows("select company_id, currency_code from {batch} where currency_code is null"),
                says="Every company has a currency of its books.",
                severity="critical",
                note="Its amounts in company and group currency are null: it is missing from DSO and group.",
                owner=OWNER,
            ),
        ),
    )


def _applications() -> Suite:
    return Suite(
        name="marts.fct_applications",
        query="select * from marts.fct_applications",
        key=("application_id",),
        rules=(
            rule(
                "own_currency_has_no_exchange_result",
                no_rows("""
                    select applications.application_id, applications.currency_code,
                        applications.realised_exchange_amount
                    from {batch} as applications
                    inner join marts.dim_companies as companies
                        on companies.company_id = applications.company_id
                    where applications.currency_code = companies.currency_code
                        and applications.realised_exchange_amount <> 0
                """),
                says="Settling in the company's own currency brings no exchange gain or loss.",
                severity="critical",
                note="The result contains gains that nobody made.",
                owner=MODELS,
            ),
            rule(
                "an_application_counts_when_both_documents_do",
                no_rows("""
                    select applications.application_id, applications.effective_date,
                        invoices.document_date as invoice_date, credits.document_date as credit_date
                    from {batch} as applications
                    inner join marts.fct_documents as invoices
                        on invoices.document_id = applications.invoice_document_id
                    inner join marts.fct_documents as credits
                        on credits.document_id = applications.credit_document_id
                    where applications.effective_date
                        < greatest(invoices.document_date, credits.document_date)
                """),
                says="No application counts before its invoice and its payment exist.",
                severity="critical",
                note="Past balances are lowered by money that had not come in yet.",
                owner=MODELS,
            ),
        ),
    )
