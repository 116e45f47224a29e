"""The ledger and its documents: what every balance is derived from."""

# ruff: noqa: S608 - the SQL is made of names of this project and of quoted literals

from __future__ import annotations

import great_expectations.expectations as gxe

from receivables.checks.suites import MartsScope, Suite, no_rows, rule

OWNER = "receivables accounting"
MODELS = "data engineering"


def suites(scope: MartsScope) -> list[Suite]:
    return [_entries(scope), _documents()]


def _entries(scope: MartsScope) -> Suite:
    return Suite(
        name="marts.fct_ledger_entries",
        query="select * from marts.fct_ledger_entries",
        key=("entry_id", "open_item_id"),
        rules=(
            rule(
                "an_entry_appears_once",
                # Great Expectations' own uniqueness takes as long on this table as the rest of the suite.
                no_rows("""
                    select entry_id, any_value(open_item_id) as open_item_id, count(*) as times from {batch}
                    group by entry_id having count(*) > 1
                """),
                says="Every ledger entry appears once.",
                severity="critical",
                note="A posting counts as often as it appears; every balance after it is wrong.",
                owner=MODELS,
            ),
            *(
                rule(
                    f"{column}_is_there",
                    gxe.ExpectColumnValuesToNotBeNull(column=column),
                    says=f"Every entry has a value in {column}.",
                    severity="critical",
                    note="The entry belongs to no day, no currency or no item: balances are incomplete.",
                    owner=MODELS,
                )
                for column in ("open_item_id", "amount", "currency_code", "effective_date", "known_on")
            ),
            rule(
                "nothing_is_known_after_the_day",
                no_rows(f"""
                    select entry_id, open_item_id, known_on, amount, currency_code from {{batch}}
                    where known_on > date '{scope.day}'
                """),
                says=f"No entry became known after {scope.day}.",
                severity="critical",
                note="The version of a past day contains what was learnt later: it cannot be reproduced.",
                owner=MODELS,
            ),
            rule(
                "items_are_the_sum_of_their_entries",
                no_rows(f"""
                    select coalesce(ledger.open_item_id, items.open_item_id) as open_item_id,
                        coalesce(ledger.amount, 0) as ledger_amount,
                        coalesce(items.open_amount, 0) as open_amount
                    from (
                        select open_item_id, sum(amount) as amount from {{batch}}
                        where effective_date <= date '{scope.day}'
                        group by open_item_id having sum(amount) <> 0
                    ) as ledger
                    full join marts.ar_open_items as items on ledger.open_item_id = items.open_item_id
                    where coalesce(ledger.amount, 0) <> coalesce(items.open_amount, 0)
                """),
                says="What is open of an item is the sum of its ledger entries.",
                severity="critical",
                note="The list of open items and the ledger show different receivables; one of them is"
                " wrong.",
                owner=MODELS,
            ),
            rule(
                "an_application_moves_and_adds_nothing",
                no_rows("""
                    select application_id, currency_code, sum(amount) as difference from {batch}
                    where entry_type = 'application' and application_id is not null
                    group by application_id, currency_code
                    having sum(amount) <> 0
                """),
                says="What an application takes from the credit it gives to the invoice.",
                severity="critical",
                note="Applying a payment created or destroyed receivables.",
                owner=MODELS,
            ),
            rule(
                "an_item_has_one_currency",
                no_rows("""
                    select open_item_id, count(distinct currency_code) as currencies,
                        min(currency_code) as one, max(currency_code) as other
                    from {batch} group by open_item_id having count(distinct currency_code) > 1
                """),
                says="The entries of an item are in one currency.",
                severity="critical",
                note="Amounts of different currencies were added without a rate.",
                owner=MODELS,
            ),
        ),
    )


def _documents() -> Suite:
    return Suite(
        name="marts.fct_documents",
        query="select * from marts.fct_documents",
        key=("document_id",),
        rules=(
            rule(
                "there_are_documents",
                gxe.ExpectTableRowCountToBeBetween(min_value=1),
                says="There is at least one document.",
                severity="critical",
                note="Nothing was loaded, or the models lost it: every figure would be zero.",
                owner=MODELS,
            ),
            rule(
                "a_document_appears_once",
                no_rows("""
                    select document_id, any_value(company_id) as company_id, count(*) as times from {batch}
                    group by document_id having count(*) > 1
                """),
                says="Every document appears once.",
                severity="critical",
                note="Sales and collections are counted twice.",
                owner=MODELS,
            ),
            rule(
                "amounts_are_not_negative",
                gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=0),
                says="The amount of a document is not negative; its type gives the sign.",
                severity="critical",
                note="An invoice over a negative amount lowers sales and receivables instead of raising"
                " them.",
                owner=MODELS,
            ),
            rule(
                "instalments_add_up_to_the_invoice",
                no_rows("""
                    select documents.document_id, documents.amount, sum(instalments.amount) as instalments
                    from {batch} as documents
                    inner join marts.fct_instalments as instalments
                        on documents.document_id = instalments.document_id
                    group by documents.document_id, documents.amount
                    having sum(instalments.amount) <> documents.amount
                """),
                says="The instalments of an invoice add up to its amount.",
                severity="critical",
                note="Part of the invoice never falls due, or falls due twice.",
                owner=MODELS,
            ),
            rule(
                "every_document_has_a_booking_rate",
                no_rows("""
                    select document_id, currency_code, company_currency_code, document_date from {batch}
                    where booking_rate is null
                """),
                says="Every document has a rate to the company's currency.",
                severity="warning",
                note="Its amount is missing from sales, DSO and every total in the company's currency.",
                owner="treasury",
            ),
            rule(
                "a_document_falls_due_after_its_date",
                no_rows("""
                    select document_id, document_date, due_date from {batch}
                    where due_date < document_date
                """),
                says="No document falls due before its date.",
                severity="warning",
                note="It is overdue from the first day, which overstates delinquency.",
                owner=OWNER,
            ),
        ),
    )
