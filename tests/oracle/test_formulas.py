"""The formulas on published inputs whose periods are no calendar months, and on their edges."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.oracle.formulas import cei, countback, dso, turnover, weighted_days


@pytest.mark.parametrize(
    ("receivable", "sales", "days", "expected"),
    [
        (50000, 150000, 365, "121.67"),
        (50000, 150000, 183, "61.00"),
        (50000, 150000, 283, "94.33"),
        (150000, 1800000, 365, "30.42"),
        (90000, 180000, 90, "45.00"),
        (60000, 180000, 90, "30.00"),
    ],
)
def test_dso_is_receivable_by_sales_by_days(receivable: int, sales: int, days: int, expected: str) -> None:
    assert _shown(dso(receivable, sales, days)) == expected


def test_dso_without_sales_is_unknown() -> None:
    assert dso(5000, 0, 30) is None


def test_countback_takes_months_of_thirty_days_newest_first() -> None:
    assert _shown(countback(212000, [(100000, 30), (80000, 30), (70000, 30)]).days) == "73.71"


def test_countback_stops_at_a_month_without_sales() -> None:
    found = countback(300, [(100, 30), (0, 31), (500, 30)])
    assert (found.days, found.days_covered, found.uncovered) == (None, 30, 200)


def test_three_months_of_sales_are_divided_by_three() -> None:
    assert _shown(cei(6200, 10890, 3, 6340, 3590)) == "55.93"


def test_effectiveness_without_anything_collectible_is_unknown() -> None:
    assert cei(0, 1000, 1, 1000, 1000) is None


def test_turnover_without_sales_is_zero() -> None:
    assert turnover(0, 5000) == 0


def test_weighted_days_weigh_by_amount() -> None:
    assert _shown(weighted_days([(1000, 15), (3000, 30), (2000, 45)])) == "32.50"


def _shown(value: Fraction | None) -> str:
    assert value is not None
    return f"{float(value):.2f}"
