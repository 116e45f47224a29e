"""What is usual is learnt from former runs, by kind of day; before there is history, nothing is unusual."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import duckdb
import pytest

from receivables.checks.history import Band, History, day_class, learn
from receivables.warehouse import QUALITY_TABLES

WEDNESDAY = date(2026, 5, 13)
SETTINGS = {"width": Decimal(6), "floor": Decimal("0.5"), "least": Decimal(10)}


def history(values: dict[date, int]) -> History:
    return History({("suite", "check"): [(day, Decimal(value)) for day, value in sorted(values.items())]})


def weeks(count: int, value: int, *, before: date = WEDNESDAY) -> dict[date, int]:
    return {before - timedelta(days=7 * week): value for week in range(1, count + 1)}


def test_a_fresh_warehouse_finds_nothing_unusual() -> None:
    band = History().band("suite", "check", WEDNESDAY, **SETTINGS)
    assert (band.low, band.high) == (None, None)
    assert "0 days of history" in band.learnt


def test_a_day_is_compared_with_days_of_its_kind() -> None:
    days = {WEDNESDAY - timedelta(days=offset): 5 for offset in range(1, 100)}
    days |= {day: 400 for day in days if day_class(day) == "Wednesday"}
    band = history(days).band("suite", "check", WEDNESDAY, **SETTINGS)
    assert band == Band(Decimal(200), Decimal(600), "12 days like it (Wednesday)")


def test_a_month_end_is_not_a_wednesday() -> None:
    ends = {date(2025, month, 28): 900 for month in (1, 2, 4, 5, 6, 8)}
    assert {day_class(date(2025, 2, 28)), day_class(date(2025, 5, 1)), day_class(date(2025, 4, 30))} == {
        "month end"
    }
    known = history({**weeks(9, 100), **{date(2025, month, 30): 900 for month in (4, 6, 9, 11)}, **ends})
    assert known.band("suite", "check", date(2026, 4, 30), **SETTINGS).high is not None
    assert known.band("suite", "check", WEDNESDAY, **SETTINGS).high == Decimal(150)


def test_one_wild_day_does_not_widen_the_band() -> None:
    days = weeks(9, 100)
    days[WEDNESDAY - timedelta(days=21)] = 1_000_000
    band = history(days).band("suite", "check", WEDNESDAY, **SETTINGS)
    assert (band.low, band.high) == (Decimal(50), Decimal(150))


def test_a_number_that_swings_has_a_wide_band() -> None:
    days = dict(zip(weeks(9, 0), (10, 500, 90, 300, 200, 20, 450, 100, 250), strict=True))
    band = history(days).band("suite", "check", WEDNESDAY, **SETTINGS)
    assert band.low is not None and band.low < 0 and band.high is not None and band.high > 800


def test_the_band_is_never_narrower_than_its_least() -> None:
    band = history(weeks(9, 2)).band("suite", "check", WEDNESDAY, **SETTINGS)
    assert (band.low, band.high) == (Decimal(-8), Decimal(12))


def test_few_days_of_a_kind_fall_back_on_all_days() -> None:
    days = {WEDNESDAY - timedelta(days=offset): 100 for offset in range(1, 26)}
    band = history(days).band("suite", "check", WEDNESDAY, **SETTINGS)
    assert band.learnt == "the last 20 days"


@pytest.fixture
def quality() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(QUALITY_TABLES)
    return connection


def record(
    connection: duckdb.DuckDBPyConnection,
    day: date,
    observed: str,
    *,
    at: str = "01:00",
    expected: str = "usually x",
) -> None:
    connection.execute(
        'insert into quality.check_results (run, as_of_date, suite, "check", severity, observed, expected,'
        " success, checked_at) values ('r', ?, 'raw.erp.loads', 'n', 'warning', ?, ?, true, ?)",
        [day, observed, expected, f"{day} {at}"],
    )


def test_the_last_run_of_a_day_counts_and_the_day_itself_does_not(quality: duckdb.DuckDBPyConnection) -> None:
    yesterday = WEDNESDAY - timedelta(days=1)
    record(quality, yesterday, "7")
    record(quality, yesterday, "9.50", at="03:00")
    record(quality, WEDNESDAY, "1000")
    record(quality, WEDNESDAY + timedelta(days=1), "1000")
    record(quality, yesterday - timedelta(days=1), "switched off: why")
    record(quality, yesterday - timedelta(days=2), "3 rows", expected="no row")
    record(quality, WEDNESDAY - timedelta(days=500), "1")
    known = learn(quality, WEDNESDAY, suites="raw.erp.")
    assert known.measured == {("raw.erp.loads", "n"): [(yesterday, Decimal("9.50"))]}


def test_a_database_without_records_has_no_history() -> None:
    assert learn(duckdb.connect(), WEDNESDAY, suites="raw.") == History()
