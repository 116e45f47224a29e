"""Every rule about the marts finds the row it is there for, and a company in order passes them all."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from receivables.checks import CheckResult, data_docs, runner
from receivables.checks.suites import CanonicalScope, MartsScope, Suite
from receivables.entities import ENTITIES
from receivables.settings import PACKAGE_DIR, Settings
from receivables.warehouse import reading
from tests.catalogue.planting import records
from tests.checks import marts_fixture
from tests.checks.marts_fixture import DAY, RUN

ROOT = PACKAGE_DIR.parent.parent

# The public list of the suite itself.
PUBLIC_MARTS: tuple[str, ...] = runner._module(ROOT / "expectations" / "marts_across.py").PUBLIC_TABLES
# What the published version held: as many rows as the candidate has.
PUBLISHED = {"ar_open_items": 6, "fct_ledger_entries": 9, "ar_dso": 10}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return marts_fixture.build(tmp_path_factory.mktemp("marts") / "receivables.duckdb")


@pytest.fixture
def database(tmp_path: Path, clean: Path) -> Path:
    return Path(shutil.copy(clean, tmp_path / "receivables.duckdb"))


def suites(previous: dict[str, int] | None = None) -> list[Suite]:
    scope = MartsScope(
        day=DAY, run=RUN, previous_rows=PUBLISHED if previous is None else previous, companies=("A",)
    )
    return runner.load_suites(ROOT / "expectations", "marts", scope)


def check(
    database: Path, *, only: str = "", previous: dict[str, int] | None = None
) -> dict[str, CheckResult]:
    """The failed results of all rules, or of the one named `only` (table.rule)."""
    chosen = [
        replace(suite, rules=rules)
        for suite in suites(previous)
        if (rules := tuple(rule for rule in suite.rules if only in ("", name(suite.name, rule.name))))
    ]
    with reading(database) as connection:
        context = data_docs.context(database.parent / "data_docs")
        results = runner.evaluate(context, connection, database, chosen, run=RUN)
    assert results
    return {name(result.suite, result.check): result for result in results if not result.success}


def name(suite: str, rule: str) -> str:
    return f"{suite.removeprefix('marts.')}.{rule}"


def test_a_company_in_order_passes_every_rule(database: Path) -> None:
    assert check(database) == {}


def test_a_company_that_has_just_begun_has_no_figures_yet(database: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            "insert into marts.ar_aging_daily select * replace ('B' as company_id, 0 as open_amount,"
            " 0 as company_amount, 0 as debit_amount, 0 as credit_amount, 0 as item_count)"
            " from marts.ar_aging_daily"
        )
        connection.execute(
            "insert into marts.dim_fiscal_dates select * replace ('B' as company_id)"
            " from marts.dim_fiscal_dates"
        )
    assert check(database, only="ar_dso.every_company_is_there") == {}


def test_the_buckets_may_count_from_another_day(database: Path) -> None:
    rule = "ar_open_items.every_item_is_in_exactly_one_bucket"
    with duckdb.connect(str(database)) as connection:
        connection.execute("update marts.dim_reporting set aging_basis = 'invoice_date'")
    assert list(check(database, only=rule)) == [rule]
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            "update marts.ar_open_items set aging_bucket = (select aging_bucket from marts.dim_aging_buckets"
            " where as_of_date - document_date between coalesce(min_days, -999) and coalesce(max_days, 999))"
        )
    assert check(database, only=rule) == {}


def test_a_difference_within_the_tolerance_counts_as_reconciled(database: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute(GL.format("gl_amount = gl_amount + 0.05, difference_amount = 0.05"))
    assert check(database, only="ar_reconciliation.the_status_is_what_the_amounts_say") == {}


def test_nothing_published_yet_is_no_reason_to_fail(database: Path) -> None:
    assert check(database, previous={}) == {}


ITEM = "update marts.ar_open_items set {} where open_item_id = 'inv1:1'"
ENTRY = "update marts.fct_ledger_entries set {} where entry_id = 'e8'"
DOCUMENT = "update marts.fct_documents set {} where document_id = 'inv1'"
CELL = "update marts.ar_aging_snapshots set {} where as_of_date = date '2024-03-29' and customer_id = 'c2'"
DAILY = "update marts.ar_aging_daily set {} where as_of_date = date '2024-03-20' and aging_bucket = '31-60'"
MONTH = "where month_end_date = date '2024-02-29' and scope_type = 'company'"
ROLL = (
    "update marts.ar_roll_forward set {} where month_end_date = date '2024-02-29' and currency_code = 'CNY'"
)
GL = "update marts.ar_reconciliation set {} where as_of_date = date '2024-03-29'"


def twice(table: str) -> str:
    return f"insert into marts.{table} select * from marts.{table} limit 1"


def faults() -> Iterator[tuple[str, str]]:
    """(table.rule, the statement that breaks it)."""
    items = "ar_open_items."
    yield items + "items_are_of_the_day", ITEM.format("as_of_date = date '2024-03-28'")
    yield items + "an_item_appears_once", twice("ar_open_items")
    for column in ("company_id", "customer_id", "currency_code", "open_amount", "due_date"):
        yield f"{items}{column}_is_there", ITEM.format(f"{column} = null")
    yield items + "no_instalment_is_below_zero", ITEM.format("open_amount = -0.01")
    yield items + "no_item_is_larger_than_its_instalment", ITEM.format("open_amount = 1000.01")
    yield (
        items + "a_credit_is_not_used_beyond_its_amount",
        "update marts.ar_open_items set open_amount = 0.01 where open_item_id = 'cm1'",
    )
    yield items + "a_settled_item_is_not_listed", ITEM.format("open_amount = 0")
    yield items + "a_credit_is_marked_as_one", ITEM.format("is_credit = true")
    yield items + "age_is_counted_from_the_due_date", ITEM.format("days_past_due = days_past_due + 1")
    yield items + "every_item_is_in_exactly_one_bucket", ITEM.format("aging_bucket = '1-30'")
    yield items + "no_item_is_from_the_future", ITEM.format("document_date = date '2024-03-30'")
    yield items + "own_currency_needs_no_rate", ITEM.format("company_amount = open_amount * 7")
    yield items + "a_rate_was_found", ITEM.format("group_amount = null")
    yield (
        items + "no_item_dominates",
        "insert into marts.ar_open_items select * exclude (i) replace ('x' || i as open_item_id, if(i = 0,"
        " 99999, 0) as company_amount) from marts.ar_open_items, range(20) as many(i) where open_item_id ="
        " 'r2'",
    )
    yield items + "the_list_has_not_collapsed", "delete from marts.ar_open_items where currency_code = 'CNY'"

    ledger = "fct_ledger_entries."
    yield ledger + "an_entry_appears_once", twice("fct_ledger_entries")
    for column in ("open_item_id", "amount", "currency_code", "effective_date", "known_on"):
        yield f"{ledger}{column}_is_there", ENTRY.format(f"{column} = null")
    yield ledger + "nothing_is_known_after_the_day", ENTRY.format("known_on = date '2024-03-30'")
    yield ledger + "items_are_the_sum_of_their_entries", ENTRY.format("amount = -400.01")
    yield ledger + "an_application_moves_and_adds_nothing", ENTRY.format("amount = -399.99")
    yield ledger + "an_item_has_one_currency", ENTRY.format("currency_code = 'USD'")

    documents = "fct_documents."
    yield documents + "there_are_documents", "delete from marts.fct_documents"
    yield documents + "a_document_appears_once", twice("fct_documents")
    yield documents + "amounts_are_not_negative", DOCUMENT.format("amount = -1000")
    yield documents + "instalments_add_up_to_the_invoice", DOCUMENT.format("amount = 1000.01")
    yield documents + "every_document_has_a_booking_rate", DOCUMENT.format("booking_rate = null")
    yield documents + "a_document_falls_due_after_its_date", DOCUMENT.format("due_date = date '2024-01-09'")

    yield (
        "ar_aging_snapshots.a_cell_appears_once",
        (
            "insert into marts.ar_aging_snapshots select * from marts.ar_aging_snapshots"
            " where as_of_date = date '2024-03-29' limit 1"
        ),
    )
    yield (
        "ar_aging_snapshots.buckets_add_up_to_the_open_items",
        CELL.format("open_amount = open_amount + 0.01"),
    )
    history = "ar_aging_snapshots.history."
    yield history + "debits_and_credits_add_up", CELL.format("credit_amount = credit_amount - 0.01")
    yield history + "the_bucket_is_known", CELL.format("aging_bucket = '1-31'")
    yield (
        history + "customers_add_up_to_the_company",
        ("delete from marts.ar_aging_snapshots where as_of_date = date '2024-02-29' and customer_id = 'c2'"),
    )
    yield (
        history + "no_month_end_is_missing",
        ("delete from marts.ar_aging_snapshots where as_of_date = date '2024-02-29'"),
    )
    daily = "ar_aging_daily."
    yield daily + "a_cell_appears_once", twice("ar_aging_daily")
    yield (
        daily + "the_series_ends_on_the_day",
        ("delete from marts.ar_aging_daily where as_of_date = date '2024-03-29'"),
    )
    yield (
        daily + "no_day_and_no_bucket_is_missing",
        ("delete from marts.ar_aging_daily where as_of_date = date '2024-02-12'"),
    )
    yield daily + "debits_and_credits_add_up", DAILY.format("debit_amount = debit_amount + 1")
    yield daily + "every_day_is_the_sum_of_the_ledger", DAILY.format("open_amount = open_amount + 1")

    roll = "ar_roll_forward."
    yield roll + "a_month_appears_once", twice("ar_roll_forward")
    yield roll + "every_month_closes_to_zero", ROLL.format("difference_amount = 0.01")
    yield roll + "every_month_closes_to_zero", ROLL.format("company_difference_amount = 0.01")
    yield roll + "the_difference_is_what_the_columns_say", ROLL.format("write_offs_amount = 0.01")
    yield roll + "a_month_opens_as_the_last_one_closed", ROLL.format("opening_amount = opening_amount - 0.01")
    yield (
        roll + "no_month_is_missing",
        ("delete from marts.ar_roll_forward where month_end_date = date '2024-02-29'"),
    )
    yield (
        roll + "closing_is_the_ageing_of_the_month_end",
        ROLL.format("closing_amount = closing_amount + 0.01"),
    )

    tie_out = "ar_reconciliation."
    yield tie_out + "a_day_appears_once", twice("ar_reconciliation")
    yield tie_out + "ledger_items_and_buckets_agree", GL.format("buckets_amount = buckets_amount + 0.01")
    yield tie_out + "the_status_is_what_the_amounts_say", GL.format("status = 'different'")
    yield (
        tie_out + "the_general_ledger_agrees",
        GL.format("gl_amount = gl_amount + 1.01, difference_amount = 1.01, status = 'different'"),
    )
    yield tie_out + "the_general_ledger_is_fresh", GL.format("as_of_date = date '2024-03-21'")

    for table in ("ar_dso", "ar_turnover", "ar_collection_effectiveness", "ar_payment_behaviour"):
        yield f"{table}.a_month_appears_once", twice(table)
        yield f"{table}.no_month_is_missing", f"delete from marts.{table} {MONTH}"
        yield f"{table}.every_company_is_there", f"delete from marts.{table} where company_id = 'A'"
    yield from metric_faults()

    yield (
        "ar_restatements.a_restatement_has_its_cause",
        "insert into marts.ar_restatements values"
        " (date '2024-03-29', date '2024-02-29', 'A', null, 100, 200, 1)",
    )
    yield (
        "dim_companies.a_company_has_a_currency",
        "update marts.dim_companies set currency_code = null",
    )
    yield "tables.every_public_table_is_there", "drop table marts.fct_promises"
    yield (
        "tables.no_table_has_lost_most_of_its_rows",
        "create or replace table marts.ar_dso as select 1 as id",
    )
    yield (
        "tables.the_past_only_grows",
        "create or replace table marts.fct_ledger_entries as select * from marts.fct_ledger_entries limit 8",
    )


def metric_faults() -> Iterator[tuple[str, str]]:
    def month(table: str, assignment: str) -> str:
        return f"update marts.{table} set {assignment} {MONTH}"

    yield "ar_dso.the_flag_is_known", month("ar_dso", "flag = 'unknown'")
    yield "ar_dso.a_missing_value_has_its_reason", month("ar_dso", "dso = null, best_possible_dso = null")
    yield "ar_dso.a_credit_balance_is_flagged", month("ar_dso", "dso_signed = -1")
    yield "ar_dso.dso_is_not_negative", month("ar_dso", "dso = -0.1")
    yield "ar_dso.dso_follows_from_its_parts", month("ar_dso", "dso_signed = dso_signed * 31 / 29")
    yield (
        "ar_dso.delay_is_dso_less_best_possible_dso",
        month("ar_dso", "average_days_delinquent = average_days_delinquent + 1"),
    )
    yield "ar_dso.receivables_are_those_of_the_ageing", month("ar_dso", "ar_amount = ar_amount + 0.01")
    yield (
        "ar_dso.customers_add_up_to_the_company",
        "delete from marts.ar_dso where scope_id = 'c2' and month_end_date = date '2024-02-29'",
    )
    yield "ar_dso.dso_is_believable", month("ar_dso", "dso = 366")

    yield "ar_turnover.the_flag_is_known", month("ar_turnover", "flag = 'unknown'")
    yield "ar_turnover.a_missing_value_has_its_reason", month("ar_turnover", "turnover = null")
    yield "ar_turnover.turnover_follows_from_its_parts", month("ar_turnover", "turnover = turnover * 12")
    yield (
        "ar_turnover.a_month_opens_as_the_last_one_closed",
        month("ar_turnover", "opening_ar_amount = opening_ar_amount + 0.01"),
    )
    yield (
        "ar_turnover.one_month_has_one_sales_figure",
        month("ar_turnover", "net_sales_amount = net_sales_amount + 0.01"),
    )

    cei = "ar_collection_effectiveness"
    yield f"{cei}.the_flag_is_known", month(cei, "flag = 'unknown'")
    yield f"{cei}.a_missing_value_has_its_reason", month(cei, "cei = null")
    yield f"{cei}.the_index_follows_from_its_parts", month(cei, "cei = cei / 100")
    yield (
        f"{cei}.closing_is_the_receivable_of_dso",
        month(cei, "closing_ar_amount = closing_ar_amount + 0.01"),
    )
    yield f"{cei}.overdue_items_are_a_share", month(cei, "overdue_item_rate = 1.01")
    yield f"{cei}.collections_are_not_negative", month(cei, "collected_amount = -0.01")

    behaviour = "ar_payment_behaviour"
    yield f"{behaviour}.late_invoices_are_a_share", month(behaviour, "late_share = 50")
    yield f"{behaviour}.a_mean_needs_invoices", month(behaviour, "settled_invoice_count = 0")
    yield f"{behaviour}.nobody_pays_before_the_invoice", month(behaviour, "days_to_pay_weighted = -0.5")


FAULTS = list(faults())


@pytest.mark.parametrize(("broken", "statement"), FAULTS, ids=[broken for broken, _ in FAULTS])
def test_a_planted_fault_is_found(broken: str, statement: str, database: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute(statement)
    found = check(database, only=broken)
    assert set(found) == {broken}
    result = found[broken]
    assert "could not" not in result.observed
    assert result.rows_failed is None or (result.rows_failed >= 1 and result.examples)


# Measured against former days, company by company; the catalogue plants one of each.
MEASURED = re.compile(r"business\.the_(receivable|sales|cash)_of_A_(is|are)_usual")


def test_every_rule_has_a_planted_fault() -> None:
    rules = {name(suite.name, rule.name) for suite in suites() for rule in suite.rules}
    here = {broken for broken, _ in FAULTS}
    catalogue = {
        name("", fault["check"].removeprefix("marts."))
        for file in ("faults_published", "faults_stopped")
        for fault in records(file)
        if fault.get("check", "").startswith("marts.")
    }
    missing = {rule for rule in rules - here if not MEASURED.fullmatch(rule)}
    assert missing <= {check.removeprefix(".") for check in catalogue}
    assert here <= rules


def test_every_canonical_rule_has_a_planted_fault() -> None:
    scope = CanonicalScope(day=DAY, run=RUN, entities=frozenset(ENTITIES))
    suites = runner.load_suites(ROOT / "expectations", "canonical", scope)
    assert {suite.name for suite in suites} == {f"canonical.{entity}" for entity in ENTITIES}
    planted = {
        fault["check"].rpartition(".")[2]
        for file in ("faults_published", "faults_stopped")
        for fault in records(file)
        if fault.get("check", "").startswith("canonical.")
    }
    assert {rule.name for suite in suites for rule in suite.rules} <= planted


@pytest.mark.parametrize("mart", [table for table in PUBLIC_MARTS if table.startswith("ar_")])
def test_every_public_mart_has_a_suite(mart: str) -> None:
    names = {suite.name.removeprefix("marts.") for suite in suites()}
    assert mart in names


def test_a_table_that_lost_a_column_fails_instead_of_breaking_the_run(database: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute("alter table marts.ar_dso drop column flag")
        connection.execute("drop table marts.ar_turnover")
    found = check(database)
    assert "could not be computed" in found["ar_dso.the_flag_is_known"].observed
    assert "ar_turnover" in found["ar_turnover.the_table_can_be_read"].observed
    assert found["ar_turnover.the_table_can_be_read"].severity == "critical"


def test_examples_carry_no_personal_data(database: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        for _, statement in FAULTS[:30]:
            connection.execute(statement)
    columns = {column for result in check(database).values() for row in result.examples for column in row}
    assert columns
    assert not columns & {"customer_name", "email", "payload", "collector"}


def test_the_published_version_of_a_later_day_is_not_compared(tmp_path: Path) -> None:
    settings = replace(Settings.load(), home=tmp_path)
    version = settings.published / "versions" / "2024-04-01-x"
    version.mkdir(parents=True)
    facts = {
        "as_of_date": "2024-04-01",
        "run": "x",
        "published_at": "2024-04-02T00:00:00+00:00",
        "files": {
            "receivables.duckdb": {"tables": {"marts.ar_dso": {"rows": 7}, "quality.runs": {"rows": 1}}}
        },
    }
    (version / "manifest.json").write_text(json.dumps(facts))
    (settings.published / "current").symlink_to(version)
    later = DAY.replace(month=4, day=2)
    with duckdb.connect() as empty:
        assert runner.marts_scope(settings, empty, day=DAY, run=RUN).previous_rows == {}
        assert runner.marts_scope(settings, empty, day=later, run=RUN).previous_rows == {"ar_dso": 7}
