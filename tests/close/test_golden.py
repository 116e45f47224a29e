"""Every golden scenario as source files through extract, load and dbt: the marts answer as it says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.close.harness import Answers, Built, Company, Question, asking, load_days, own_id, run_files
from tests.golden.answers import differences, metric_differences
from tests.golden.scenarios import RUN_DAY, Expected, Scenario, load_scenarios
from tests.golden.shared import shared_scenarios
from tests.oracle.book import Bucket

SCENARIOS = [*load_scenarios("ageing"), *shared_scenarios()]
METRIC_SCENARIOS = load_scenarios("metrics")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("golden")]  # one worker builds the warehouses once


# One warehouse for all scenarios that need the same `receivables.yml`.
Common = tuple[tuple[Bucket, ...], str]


def _common(scenario: Scenario) -> Common:
    return scenario.book.config.buckets, scenario.book.config.day_count


def _group_cells(expected: Expected) -> list[Decimal | None]:
    """The group amounts that the scenario states, one item to a cell; empty when it states none."""
    return [item.group_amount for item in expected.items if item.shows == 7]


@pytest.fixture(scope="module")
def warehouses(tmp_path_factory: pytest.TempPathFactory) -> dict[Common, Built]:
    groups: dict[Common, list[Company]] = defaultdict(list)
    for scenario in (*SCENARIOS, *METRIC_SCENARIOS):
        groups[_common(scenario)].append(Company(scenario.book))
    built = {}
    for common, companies in groups.items():
        folder = tmp_path_factory.mktemp("golden")
        built[common] = run_files(folder, companies, days=load_days(companies, RUN_DAY))
    return built


def test_every_dbt_test_passes_on_them(warehouses: dict[Common, Built]) -> None:
    assert [built.failed_checks for built in warehouses.values() if built.failed_checks] == []


@pytest.fixture(scope="module")
def opened(warehouses: dict[Common, Built]) -> Iterator[dict[Common, Answers]]:
    contexts = {common: asking(built) for common, built in warehouses.items()}
    yield {common: context.__enter__() for common, context in contexts.items()}
    for context in contexts.values():
        context.__exit__(None, None, None)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_warehouse_agrees_with(scenario: Scenario, opened: dict[Common, Answers]) -> None:
    answers = opened[_common(scenario)]
    for expected in scenario.expected:
        for question in _questions(expected):
            given = answers.open_items(question)[scenario.name]
            assert differences(expected, given, fields=6) == [], question


@pytest.mark.parametrize(
    "scenario",
    [scenario for scenario in SCENARIOS if any(_group_cells(expected) for expected in scenario.expected)],
    ids=lambda scenario: scenario.name,
)
def test_the_group_amounts_agree_with(scenario: Scenario, opened: dict[Common, Answers]) -> None:
    for expected in scenario.expected:
        rows = opened[_common(scenario)].table("ar_aging_daily", f"as_of_date = '{expected.as_of}'")
        cells = {
            (row["currency_code"], row["aging_bucket"]): row["group_amount"]
            for row in rows[scenario.name]
            if row["item_count"]
        }
        assert Counter(cells.values()) == Counter(_group_cells(expected)), expected.as_of


@pytest.mark.parametrize(
    "scenario",
    [scenario for scenario in SCENARIOS if scenario.reconciliation],
    ids=lambda scenario: scenario.name,
)
def test_the_general_ledger_agrees_with(scenario: Scenario, opened: dict[Common, Answers]) -> None:
    rows = opened[_common(scenario)].table("ar_reconciliation")[scenario.name]
    given = {str(row["as_of_date"]): row for row in rows if row["gl_amount"] is not None}
    for wanted in scenario.reconciliation:
        row = given[wanted["as_of"]]
        amounts = {name: Decimal(text) for name, text in wanted.items() if name != "as_of"}
        assert {name: row[name] for name in amounts} == amounts, wanted["as_of"]


@pytest.mark.parametrize(
    "scenario",
    [scenario for scenario in SCENARIOS if scenario.realised_exchange],
    ids=lambda scenario: scenario.name,
)
def test_the_realised_exchange_agrees_with(scenario: Scenario, opened: dict[Common, Answers]) -> None:
    rows = opened[_common(scenario)].table("fct_applications")[scenario.name]
    given = {own_id(row["application_id"]): row["realised_exchange_amount"] for row in rows}
    assert given == scenario.realised_exchange


@pytest.mark.parametrize(
    "scenario",
    [scenario for scenario in SCENARIOS if scenario.revaluation],
    ids=lambda scenario: scenario.name,
)
def test_the_revaluation_agrees_with(scenario: Scenario, opened: dict[Common, Answers]) -> None:
    rows = opened[_common(scenario)].table("ar_open_items")[scenario.name]
    assert {name: sum(row[name] for row in rows) for name in scenario.revaluation} == scenario.revaluation


@pytest.mark.parametrize("scenario", METRIC_SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_metrics_agree_with(scenario: Scenario, opened: dict[Common, Answers]) -> None:
    for wanted in scenario.metrics:
        part = "scope_type = 'company'"
        if wanted["mart"] == "ar_roll_forward":
            part = f"currency_code = '{wanted['currency']}'"
        where = f"month_end_date = '{wanted['month']}' and {part}"
        (row,) = opened[_common(scenario)].table(wanted["mart"], where)[scenario.name]
        assert metric_differences(wanted, row) == [], wanted


def _questions(expected: Expected) -> list[Question]:
    """As known now can be asked with and without the day: both must give the same."""
    question = Question(expected.as_of, expected.known_at, expected.basis, expected.view, expected.aging_day)
    return [question, *([replace(question, known_at=None)] if expected.known_at == RUN_DAY else [])]
