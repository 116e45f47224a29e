"""Every raw rule finds the row it is there for, and only a company in order passes them all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from receivables.checks import CheckResult, data_docs, runner
from receivables.checks.suites import Extract, RawScope, Suite
from receivables.entities import ENTITIES
from receivables.settings import PACKAGE_DIR, Settings
from receivables.sources.config import RefusedLimit
from receivables.warehouse import reading
from tests.catalogue.planting import records
from tests.checks import raw_fixture
from tests.checks.raw_fixture import CHECKSUM, DAY, ROWS, RUN, SOURCE, load_id

ROOT = PACKAGE_DIR.parent.parent


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return raw_fixture.build(tmp_path_factory.mktemp("raw") / "warehouse.duckdb")


@pytest.fixture
def database(tmp_path: Path, clean: Path) -> Path:
    return Path(shutil.copy(clean, tmp_path / "warehouse.duckdb"))


def spoil(database: Path, *statements: str) -> None:
    with duckdb.connect(str(database)) as connection:
        for statement in statements:
            connection.execute(statement)


def suites_of(database: Path) -> list[Suite]:
    with reading(database) as connection:
        settings = replace(Settings.load(), home=database.parent, sources_dir=database.parent / "sources")
        scope = runner.raw_scope(settings, connection, source=SOURCE, day=DAY, run=RUN)
    scope = replace(scope, extracts={name: Extract(ROWS, CHECKSUM) for name in scope.loaded})
    return runner.load_suites(ROOT / "expectations", "raw", scope)


def check(database: Path, only: str = "") -> list[CheckResult]:
    """The results of all rules, or of the one named `only` (suite.rule)."""
    chosen = [
        replace(suite, rules=rules)
        for suite in suites_of(database)
        if (rules := tuple(rule for rule in suite.rules if only in ("", short(suite.name, rule.name))))
    ]
    with reading(database) as connection:
        context = data_docs.context(database.parent / "data_docs")
        return runner.evaluate(context, connection, database, chosen, run=RUN)


# What may be below zero: the balance of an account, and what moved it.
SIGNED = {"balance_amount", "opening_balance_amount", "closing_balance_amount", "transactions_amount"}


def failed(results: list[CheckResult]) -> dict[str, CheckResult]:
    return {short(result.suite, result.check): result for result in results if not result.success}


def short(suite: str, rule: str) -> str:
    return f"{suite.removeprefix(f'raw.{SOURCE}.')}.{rule}"


def test_a_clean_load_passes_every_rule(database: Path) -> None:
    results = check(database)
    assert failed(results) == {}
    assert len(results) > 100


def one(entity: str, assignment: str) -> str:
    return f"update raw_{SOURCE}.{entity} set {assignment} where _row_hash = 'hash1'"


def faults() -> Iterator[tuple[str, tuple[str, ...]]]:
    """(suite.check, statements that break exactly this rule, perhaps with others)."""
    for entity in ENTITIES.values():
        for column in entity.columns:
            name = f"{entity.name}.{column.name}"
            if column.required:
                yield f"{name}_is_there", (one(entity.name, f"{column.name} = null"),)
            if column.values:
                yield f"{name}_is_known", (one(entity.name, f"{column.name} = 'nonsense'"),)
            if column.type == "amount" and column.name not in SIGNED:
                yield f"{name}_is_not_negative", (one(entity.name, f"{column.name} = -0.01"),)
            if column.type == "rate":
                yield f"{name}_is_positive", (one(entity.name, f"{column.name} = 0"),)
            if column.type == "date":
                yield f"{name}_is_believable", (one(entity.name, f"{column.name} = date '0202-03-01'"),)
        yield (
            f"{entity.name}.a_version_is_stored_once",
            (f"insert into raw_{SOURCE}.{entity.name} select * from raw_{SOURCE}.{entity.name} limit 1",),
        )
        yield (
            f"{entity.name}.nothing_is_known_before_it_was_loaded",
            (one(entity.name, "_known_on = date '2024-04-01'"),),
        )
    for name in (
        "invoices.invoice_date",
        "credit_memos.credit_memo_date",
        "receipts.receipt_date",
        "applications.applied_on",
        "bank_applications.applied_on",
        "adjustments.adjustment_date",
        "disputes.opened_on",
        "disputes.closed_on",
        "promises.promised_on",
        "collection_events.event_date",
        "open_orders.order_date",
        "gl_balances.balance_date",
        "exchange_rates.rate_date",
    ):
        entity, column = name.split(".")
        yield f"{name}_is_not_after_the_load", (one(entity, f"{column} = date '2024-03-30'"),)
    for entity, earlier, later in (
        ("invoices", "invoice_date", "due_date"),
        ("disputes", "opened_on", "closed_on"),
        ("promises", "promised_on", "promised_date"),
    ):
        yield (
            f"{entity}.{earlier}_is_not_after_{later}",
            (one(entity, f"{later} = {earlier} - 1"),),
        )
    for entity, number, key in (
        ("invoices", "invoice_number", "invoice_id"),
        ("receipts", "bank_reference", "receipt_id"),
        ("credit_memos", "credit_memo_number", "credit_memo_id"),
    ):
        yield (
            f"{entity}.no_document_arrived_twice_under_two_ids",
            (
                f"insert into raw_{SOURCE}.{entity} select * replace ('other' as _row_key, 'other' as {key})"
                f" from raw_{SOURCE}.{entity} where {number} = '{number}-1'",
            ),
        )
    yield "invoices.tax_is_part_of_the_amount", (one("invoices", "tax_amount = amount + 0.01"),)
    for entity in ("invoices", "receipts", "credit_memos", "applications"):
        yield f"{entity}.amount_is_not_zero", (one(entity, "amount = 0"),)
    yield "customers.a_customer_has_a_name", (one("customers", "customer_name = null"),)
    yield (
        "exchange_rates.a_rate_connects_two_currencies",
        (one("exchange_rates", "to_currency = from_currency"),),
    )
    yield from load_faults()


def load_faults() -> Iterator[tuple[str, tuple[str, ...]]]:
    this = f"where load_id = '{load_id('invoices')}'"
    before = "where entity = 'invoices' and as_of_date < date '2024-03-29'"
    yield "loads.the_run_loaded_something", (f"delete from quality.loads where run = '{RUN}'",)
    yield "loads.every_load_is_finished", (f"update quality.loads set status = 'broken' {this}",)
    yield "loads.the_load_counts_what_the_extract_wrote", (f"update quality.loads set checksum = 'y' {this}",)
    yield "loads.every_row_is_accounted_for", (f"update quality.loads set rows_new = 2 {this}",)
    yield (
        "loads.control_totals_have_arrived",
        (one("invoices", "amount = amount + 0.0001"),),
    )
    yield (
        "loads.rows_are_stored",
        (f"delete from raw_{SOURCE}.invoices where _row_hash = 'hash1'",),
    )
    yield (
        "loads.refused_rows_are_in_quarantine",
        (f"update quality.loads set rows = 1003, rows_unchanged = 999, rows_refused = 1 {this}",),
    )
    yield (
        "loads.few_rows_are_refused",
        (f"update quality.loads set rows = 20, rows_unchanged = 12, rows_refused = 5 {this}",),
    )
    yield (
        "loads.hardly_any_row_is_refused",
        (f"update quality.loads set rows = 53, rows_unchanged = 49, rows_refused = 1 {this}",),
    )
    yield "loads.volume_has_not_collapsed", (f"update quality.loads set rows = 7 {before}",)
    yield (
        "loads.few_rows_are_removed",
        (f"update quality.loads set rows_removed = 11 {this}",),
    )
    yield (
        "loads.the_source_is_fresh",
        (
            f"update quality.loads set rows_new = 0, rows_unchanged = {raw_fixture.ROWS}",
            "insert into quality.loads select * replace ('old' as run, 'old' as load_id, 3 as rows_new,"
            f" date '2024-03-18' as as_of_date) from quality.loads {this}",
        ),
    )
    yield (
        "loads.a_document_list_is_not_empty",
        (f"update quality.loads set rows = 0, rows_new = 0 {this}",),
    )


FAULTS = list(faults())


@pytest.mark.parametrize(("broken", "statements"), FAULTS, ids=[name for name, _ in FAULTS])
def test_a_planted_fault_is_found(broken: str, statements: tuple[str, ...], database: Path) -> None:
    spoil(database, *statements)
    found = failed(check(database, only=broken))
    assert set(found) == {broken}
    assert "could not" not in found[broken].observed
    assert found[broken].rows_failed is None or (found[broken].rows_failed >= 1 and found[broken].examples)


# One function makes these rules for every entity; the catalogue plants one of each.
FAMILIES = re.compile(r"new_.*_as_usual|new_.*_to_the_usual")


def test_every_raw_rule_has_a_planted_fault(database: Path) -> None:
    rules = {short(suite.name, rule.name) for suite in suites_of(database) for rule in suite.rules}
    here = {broken for broken, _ in FAULTS} | {"loads.no_source_column_changed_its_type"}
    catalogue = [
        fault["check"]
        for file in ("faults_published", "faults_stopped")
        for fault in records(file)
        if "check" in fault
    ]
    elsewhere = {check.rpartition(".")[2] for check in catalogue if check.startswith("raw.")}
    missing = {rule.rpartition(".")[2] for rule in rules - here} - elsewhere
    assert {rule for rule in missing if not FAMILIES.fullmatch(rule)} == set()
    assert any(FAMILIES.fullmatch(rule) for rule in elsewhere)
    assert here - rules == {"loads.the_run_loaded_something"}


def test_a_column_that_changed_its_type_is_found(database: Path) -> None:
    with reading(database) as connection:
        extract = Extract(
            ROWS,
            CHECKSUM,
            columns={"amount": "double", "note": "", "day": "date32[day]"},
            columns_before={"amount": "decimal128(18, 2)", "note": "", "day": ""},
        )
        scope = RawScope(
            source=SOURCE,
            day=DAY,
            run=RUN,
            loaded={"invoices": (load_id("invoices"),)},
            extracts={"invoices": extract},
        )
        suites = [
            suite
            for suite in runner.load_suites(ROOT / "expectations", "raw", scope)
            if suite.name.endswith(".loads")
        ]
        context = data_docs.context(database.parent / "data_docs")
        found = failed(runner.evaluate(context, connection, database, suites, run=RUN))
    assert found["loads.no_source_column_changed_its_type"].examples == (
        {
            "entity": "invoices",
            "column_name": "amount",
            "type_before": "decimal128(18, 2)",
            "type_now": "double",
        },
    )
    assert "loads.no_source_column_is_lost" not in found


def test_a_rule_without_its_data_says_so_and_passes(database: Path) -> None:
    results = {short(result.suite, result.check): result for result in check(database)}
    late = results["invoices.documents_arrive_in_time"]
    drift = results["loads.no_source_column_is_lost"]
    assert late.success and drift.success
    assert drift.observed == "not applicable: there is no earlier extract to compare with"


def test_the_limit_of_refused_rows_is_the_sources_own(database: Path) -> None:
    spoil(
        database,
        "update quality.loads set rows = 100, rows_unchanged = 90, rows_refused = 7"
        f" where load_id = '{load_id('invoices')}'",
    )
    with reading(database) as connection:
        for limit, stops in (
            (RefusedLimit(), False),
            (RefusedLimit(share=Decimal("0.05")), True),
            (RefusedLimit(share=Decimal("0.05"), rows=7), False),
            (RefusedLimit(share=Decimal(0), rows=6), True),
        ):
            scope = runner.raw_scope(
                replace(Settings.load(), home=database.parent), connection, source=SOURCE, day=DAY, run=RUN
            )
            suites = runner.load_suites(ROOT / "expectations", "raw", replace(scope, refused_limit=limit))
            rules = [
                replace(
                    suite, rules=tuple(rule for rule in suite.rules if rule.name == "few_rows_are_refused")
                )
                for suite in suites
                if suite.name.endswith(".loads")
            ]
            context = data_docs.context(database.parent / "data_docs")
            found = failed(runner.evaluate(context, connection, database, rules, run=RUN))
            assert bool(found) == stops, limit


def test_an_entity_without_new_rows_is_not_checked(database: Path) -> None:
    spoil(database, f"delete from quality.loads where run = '{RUN}' and entity <> 'invoices'")
    assert {suite.name for suite in suites_of(database)} == {f"raw.{SOURCE}.loads", f"raw.{SOURCE}.invoices"}


def test_rows_that_wait_for_their_day_are_accounted_for(database: Path) -> None:
    spoil(
        database,
        f"update quality.loads set rows_new = 1, message = '2 rows were recorded after 2024-03-29 and wait"
        f" for their day' where load_id = '{load_id('invoices')}'",
    )
    assert "loads.every_row_is_accounted_for" not in failed(check(database))


def test_rows_that_are_equal_on_purpose_are_accounted_for(database: Path) -> None:
    spoil(database, f"update quality.loads set rows_new = 1 where load_id = '{load_id('invoices')}'")
    with reading(database) as connection:
        scope = RawScope(
            source=SOURCE,
            day=DAY,
            run=RUN,
            loaded={"invoices": (load_id("invoices"),)},
            extracts={"invoices": Extract(ROWS, CHECKSUM, is_distinct=True)},
        )
        suites = runner.load_suites(ROOT / "expectations", "raw", scope)
        context = data_docs.context(database.parent / "data_docs")
        results = runner.evaluate(context, connection, database, suites, run=RUN)
    assert "loads.every_row_is_accounted_for" not in failed(results)
