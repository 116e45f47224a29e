"""What is open today: the list that collectors work from, and that every balance is the sum of."""

# ruff: noqa: S608 - the SQL is made of names of this project and of quoted literals

from __future__ import annotations

import great_expectations.expectations as gxe

from receivables.checks.suites import MartsScope, Suite, no_rows, rule

OWNER = "receivables accounting"
MODELS = "data engineering"


def suites(scope: MartsScope) -> list[Suite]:
    previous = scope.previous_rows.get("ar_open_items", 0)
    shrinks_to, dominates = scope.limits["shrinks_to"], scope.limits["dominates"]
    few = scope.limits["few_items"]
    return [
        Suite(
            name="marts.ar_open_items",
            query="select * from marts.ar_open_items",
            key=("open_item_id",),
            rules=(
                rule(
                    "items_are_of_the_day",
                    no_rows(f"""
                        select open_item_id, as_of_date from {{batch}}
                        where as_of_date is distinct from date '{scope.day}'
                    """),
                    says=f"Every item is as of {scope.day}, the day of the run.",
                    severity="critical",
                    note="The list is of another day than its date says.",
                    owner=MODELS,
                ),
                rule(
                    "an_item_appears_once",
                    gxe.ExpectColumnValuesToBeUnique(column="open_item_id"),
                    says="Every open item appears once.",
                    severity="critical",
                    note="Receivables are overstated by the repeated items, and customers are dunned twice.",
                    owner=MODELS,
                ),
                *(
                    rule(
                        f"{column}_is_there",
                        gxe.ExpectColumnValuesToNotBeNull(column=column),
                        says=f"Every item has a value in {column}.",
                        severity="critical",
                        note="The item falls out of every report that groups by it, so totals differ.",
                        owner=MODELS,
                    )
                    for column in ("company_id", "customer_id", "currency_code", "open_amount", "due_date")
                ),
                rule(
                    "no_instalment_is_below_zero",
                    no_rows("""
                        select open_item_id, document_type, instalment_number, open_amount, currency_code
                        from {batch}
                        where document_type in ('invoice', 'debit_memo') and instalment_number >= 1
                            and open_amount < 0
                    """),
                    says="No instalment is open with less than nothing.",
                    severity="critical",
                    note="A payment was counted twice, or more was applied than was billed; the excess"
                    " belongs in an item of its own.",
                    owner=OWNER,
                ),
                rule(
                    "no_item_is_larger_than_its_instalment",
                    no_rows("""
                        select items.open_item_id, items.open_amount, instalments.amount, items.currency_code
                        from {batch} as items
                        inner join marts.fct_instalments as instalments
                            on items.open_item_id = instalments.open_item_id
                        where items.open_amount > instalments.amount
                    """),
                    says="No instalment is open with more than was billed.",
                    severity="critical",
                    note="Receivables contain a claim that no document supports.",
                    owner=OWNER,
                ),
                rule(
                    "a_credit_is_not_used_beyond_its_amount",
                    no_rows("""
                        select open_item_id, document_type, open_amount, currency_code from {batch}
                        where document_type in ('receipt', 'credit_memo', 'journal_credit')
                            and open_amount > 0
                    """),
                    says="No payment or credit is applied beyond its amount.",
                    severity="warning",
                    note="Invoices are shown as paid with money that did not come in.",
                    owner=OWNER,
                ),
                rule(
                    "a_settled_item_is_not_listed",
                    no_rows("select open_item_id, open_amount from {batch} where open_amount = 0"),
                    says="An item with nothing open is not in the list.",
                    severity="critical",
                    note="Item counts and averages per item are wrong, and collectors call about paid"
                    " invoices.",
                    owner=MODELS,
                ),
                rule(
                    "a_credit_is_marked_as_one",
                    no_rows("""
                        select open_item_id, open_amount, is_credit from {batch}
                        where is_credit is distinct from (open_amount < 0)
                    """),
                    says="is_credit says whether the open amount is negative.",
                    severity="critical",
                    note="Credits are netted out of sight, or claims are shown as credits.",
                    owner=MODELS,
                ),
                rule(
                    "age_is_counted_from_the_due_date",
                    no_rows("""
                        select open_item_id, as_of_date, due_date, days_past_due from {batch}
                        where days_past_due is distinct from as_of_date - due_date
                    """),
                    says="An item is as many days past due as the calendar says: one more each day.",
                    severity="critical",
                    note="Ageing, provisions and dunning levels are wrong.",
                    owner=MODELS,
                ),
                rule(
                    "every_item_is_in_exactly_one_bucket",
                    no_rows("""
                        select items.open_item_id, items.days_aged, items.aging_bucket,
                            count(buckets.aging_bucket) as buckets_that_fit
                        from (
                            select batch.open_item_id, batch.aging_bucket,
                                batch.as_of_date - case reporting.aging_basis
                                    when 'invoice_date' then batch.document_date
                                    when 'posting_date' then batch.posting_date
                                    else batch.due_date
                                end as days_aged
                            from {batch} as batch cross join marts.dim_reporting as reporting
                        ) as items
                        left join marts.dim_aging_buckets as buckets
                            on (buckets.min_days is null or items.days_aged >= buckets.min_days)
                            and (buckets.max_days is null or items.days_aged <= buckets.max_days)
                        group by items.open_item_id, items.days_aged, items.aging_bucket
                        having count(buckets.aging_bucket) <> 1
                            or max(buckets.aging_bucket) is distinct from items.aging_bucket
                    """),
                    says="Every item is in the one bucket that its age belongs to.",
                    severity="critical",
                    note="The buckets do not add up to the receivable, or the age structure is wrong.",
                    owner=MODELS,
                ),
                rule(
                    "no_item_is_from_the_future",
                    no_rows("""
                        select open_item_id, document_date, as_of_date from {batch}
                        where document_date > as_of_date
                    """),
                    says="No item is of a document dated after the day.",
                    severity="critical",
                    note="Receivables contain business that has not happened yet.",
                    owner=MODELS,
                ),
                rule(
                    "own_currency_needs_no_rate",
                    no_rows("""
                        select open_item_id, currency_code, open_amount, company_amount from {batch}
                        where currency_code = company_currency_code
                            and company_amount is distinct from open_amount
                    """),
                    says="An item in the company's currency has the same amount in both columns.",
                    severity="critical",
                    note="Amounts are converted that need no conversion; currencies are mixed.",
                    owner=MODELS,
                ),
                rule(
                    "a_rate_was_found",
                    no_rows("""
                        select open_item_id, currency_code, company_currency_code, group_currency_code,
                            open_amount, company_amount, group_amount
                        from {batch}
                        where (company_amount is null or group_amount is null)
                    """),
                    says="Every item could be converted into the company's and the group's currency.",
                    severity="warning",
                    note="Totals in those currencies are null for the customers concerned, and DSO is not"
                    " computed.",
                    owner="treasury",
                ),
                rule(
                    "no_item_dominates",
                    no_rows(f"""
                        select open_item_id, company_id, company_amount, company_total from (
                            select *,
                                sum(abs(company_amount)) over (partition by company_id) as company_total,
                                count(*) over (partition by company_id) as items
                            from {{batch}}
                        ) as shares
                        where items >= {few} and abs(company_amount) > {dominates} * company_total
                    """),
                    says=f"No single item is more than {dominates:.0%} of a company's open amounts.",
                    severity="info",
                    note="A misplaced decimal point looks like this; so does one very large order.",
                    owner=OWNER,
                ),
                rule(
                    "the_list_has_not_collapsed",
                    gxe.ExpectTableRowCountToBeBetween(min_value=int(previous * shrinks_to)),
                    says=f"The list has at least {shrinks_to:.0%} of the items of the published version.",
                    severity="warning",
                    note="Either a large payment run was booked, or an extract is incomplete.",
                    owner=OWNER,
                ),
            ),
        )
    ]
