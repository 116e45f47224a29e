"""The reference implementation answers every golden scenario: its numbers were worked out by hand."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal

import pytest

from tests.golden.answers import Answer, differences, metric_differences
from tests.golden.scenarios import Expected, Scenario, load_scenarios
from tests.golden.shared import FOLDER, METRICS, OF_LATER_MARTS, shared_metrics, shared_scenarios
from tests.oracle.book import minor_unit, to_decimal
from tests.oracle.ledger import Item, open_items
from tests.oracle.metrics import (
    Metrics,
    ar_collection_effectiveness,
    ar_dso,
    ar_payment_behaviour,
    ar_turnover,
    company_roll_forward,
    roll_forward,
)

OWN_SCENARIOS = load_scenarios("ageing")
SCENARIOS = [*OWN_SCENARIOS, *shared_scenarios()]


def test_there_are_enough_scenarios_and_each_is_a_sentence() -> None:
    assert len(OWN_SCENARIOS) >= 40
    assert all(scenario.says.endswith(".") and scenario.expected for scenario in OWN_SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_oracle_agrees_with(scenario: Scenario) -> None:
    for expected in scenario.expected:
        assert differences(expected, oracle_answers(scenario, expected)) == [], expected


METRIC_SCENARIOS = load_scenarios("metrics")


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the reference scenarios are not at {FOLDER}")
def test_our_scenarios_state_every_number_of_the_reference() -> None:
    """Whoever answers our scenarios, the reference or the warehouse, answers those of the reference too."""
    by_name = {scenario.name: scenario for scenario in METRIC_SCENARIOS}
    given = shared_metrics()
    assert given.keys() == METRICS.keys() | OF_LATER_MARTS
    for number, places in METRICS.items():
        stated = {}
        for figure, (name, mart, column) in places.items():
            rows = [row for row in by_name[name].metrics if row["mart"] == mart and column in row]
            stated[figure] = rows[0][column] if rows else "not stated"
        assert stated == given[number], number


@pytest.mark.parametrize("scenario", METRIC_SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_metrics_agree_with(scenario: Scenario) -> None:
    metrics = Metrics(scenario.book)
    months = metrics.company_months(scenario.name)
    for wanted in scenario.metrics:
        day = date.fromisoformat(wanted["month"])
        if wanted["mart"] == "ar_roll_forward":
            row = _roll_forward(metrics, scenario, day, wanted["currency"])
        else:
            row = FORMULAS[wanted["mart"]](months[day])
        assert metric_differences(wanted, row) == [], wanted


def _roll_forward(metrics: Metrics, scenario: Scenario, day: date, currency: str) -> dict[str, Decimal]:
    """A row of the roll-forward, as far as the reference has its columns."""
    config = scenario.book.config
    period = config.calendar.containing(day)
    own = roll_forward(metrics, scenario.name, currency, period)
    company = company_roll_forward(metrics, scenario.name, currency, period) or {}
    row: dict[str, Decimal] = defaultdict(Decimal)
    row |= {name: to_decimal(amount, minor_unit(currency)) for name, amount in own.items()}
    unit = minor_unit(config.companies[scenario.name])
    row |= {f"company_{name}_amount": to_decimal(amount, unit) for name, amount in company.items()}
    return row


FORMULAS = {
    "ar_dso": ar_dso,
    "ar_turnover": ar_turnover,
    "ar_collection_effectiveness": ar_collection_effectiveness,
    "ar_payment_behaviour": ar_payment_behaviour,
}


def oracle_answers(scenario: Scenario, expected: Expected) -> list[Answer]:
    items = open_items(scenario.book, expected.as_of, expected.known_at, expected.view)
    return [_answer(scenario, expected, item) for item in items]


def _answer(scenario: Scenario, expected: Expected, item: Item) -> Answer:
    config = scenario.book.config
    days = item.days_past_due(expected.aging_day or expected.as_of, expected.basis)

    def amount(minor: int | None, currency: str) -> object:
        return None if minor is None else to_decimal(minor, minor_unit(currency))

    return Answer(
        document=item.document[1],
        instalment=item.instalment_number,
        customer=item.customer_id,
        currency=item.currency,
        amount=amount(item.open_amount, item.currency),
        days=days,
        bucket=config.bucket(days),
        company_amount=amount(item.company_amount, config.companies[item.company_id]),
        group_amount=amount(item.group_amount, config.reporting_currency),
    )
