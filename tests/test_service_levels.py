"""A day that is not where it was promised to be is told at the due time, and recorded."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from receivables import service_levels
from receivables.alerts import open_incidents
from receivables.company import load_company_config
from receivables.errors import ConfigError
from receivables.service_levels import ServiceLevelMissedError
from receivables.settings import Settings
from receivables.warehouse import writing

DAY = date(2026, 3, 27)


def promise(home: Settings, text: str) -> Settings:
    file = home.config_file
    file.write_text(f"{file.read_text(encoding='utf-8')}\nservice_levels: {text}\n", encoding="utf-8")
    return home


@pytest.fixture
def settings(home: Settings) -> Settings:
    for name in ("erp", "crm"):
        (home.sources_dir / f"{name}.yml").touch()
    return promise(home, '{landed_by: "04:00", published_by: "06:30", timezone: Europe/Berlin}')


def note(settings: Settings, name: str, moment: datetime, day: date = DAY) -> None:
    path = settings.home / "service_levels" / day.isoformat() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(moment.isoformat(), encoding="utf-8")


def recorded(settings: Settings) -> list[tuple[object, ...]]:
    with writing(settings.warehouse) as connection:
        service_levels.record(settings, connection)
        return connection.execute(
            "select service_level, cast(due_at as varchar), cast(reached_at as varchar), is_met"
            " from quality.service_levels order by all"
        ).fetchall()


@pytest.mark.parametrize(
    ("day", "utc"),
    [
        (date(2026, 3, 27), datetime(2026, 3, 28, 5, 30, tzinfo=UTC)),  # winter: one hour ahead
        (
            date(2026, 3, 28),
            datetime(2026, 3, 29, 4, 30, tzinfo=UTC),
        ),  # the night in which summer time starts
    ],
)
def test_a_promise_is_kept_on_the_day_after_in_the_zone_of_the_promise(
    settings: Settings, day: date, utc: datetime
) -> None:
    found = service_levels.standing(settings, "published", day)
    assert found is not None
    assert found.due_at == utc


def test_a_day_that_is_not_published_when_it_is_due_is_told(settings: Settings) -> None:
    due = datetime(2026, 3, 28, 5, 30, tzinfo=UTC)
    service_levels.watch(settings, "published", DAY, now=due - timedelta(seconds=1))
    assert open_incidents(settings) == []

    with pytest.raises(ServiceLevelMissedError, match=r"was not published by 06:30 \(Europe/Berlin\)"):
        service_levels.watch(settings, "published", DAY, now=due)
    [incident] = open_incidents(settings)
    assert incident.title == "The marts of 2026-03-27 were not published by 06:30 (Europe/Berlin)"
    assert (incident.severity, incident.level) == ("critical", "late")
    assert incident.runbook.endswith("docs/runbooks/watch.md")


def test_a_day_has_landed_when_the_last_source_has(settings: Settings) -> None:
    late = datetime(2026, 3, 28, 9, tzinfo=UTC)
    service_levels.note_landed(settings, "erp", DAY)
    with pytest.raises(ServiceLevelMissedError, match="was not loaded and checked"):
        service_levels.watch(settings, "landed", DAY, now=late)
    service_levels.note_landed(settings, "crm", DAY)
    assert service_levels.watch(settings, "landed", DAY, now=late) is not None


def test_a_rerun_does_not_move_the_moment_a_day_was_first_published(settings: Settings) -> None:
    first = datetime(2026, 3, 28, 5, tzinfo=UTC)
    note(settings, "published", first)
    service_levels.note_published(settings, DAY)
    found = service_levels.standing(settings, "published", DAY)
    assert found is not None
    assert found.reached_at == first


def test_what_was_kept_missed_and_is_still_open_is_recorded(settings: Settings) -> None:
    note(settings, "landed.erp", datetime(2026, 3, 28, 1, tzinfo=UTC))
    note(settings, "landed.crm", datetime(2026, 3, 28, 2, tzinfo=UTC))
    note(settings, "published", datetime(2026, 3, 28, 7, tzinfo=UTC))
    expected = [
        ("landed", "2026-03-28 03:00:00", "2026-03-28 02:00:00", True),
        ("published", "2026-03-28 05:30:00", "2026-03-28 07:00:00", False),
    ]
    assert recorded(settings) == expected
    assert recorded(settings) == expected, "recorded once, however often"


def test_a_backfill_of_an_old_day_breaks_no_promise(settings: Settings) -> None:
    note(settings, "published", datetime(2026, 6, 1, tzinfo=UTC))
    assert recorded(settings) == []


def test_without_a_promise_nothing_is_late(home: Settings) -> None:
    assert service_levels.watch(home, "published", DAY) is None


def test_a_time_that_is_none_is_refused_with_its_line(home: Settings) -> None:
    lines = len(home.config_file.read_text(encoding="utf-8").splitlines())
    with pytest.raises(ConfigError, match="published_by") as error:
        load_company_config(promise(home, '{published_by: "6 o\'clock"}'))
    assert error.value.what.endswith(f":{lines + 2}")


def test_the_trend_of_a_check_counts_its_days_in_a_row(home: Settings) -> None:
    outcomes = [(1, "r1", True), (2, "r2", False), (3, "r3", True), (3, "r4", False), (4, "r5", False)]
    with writing(home.warehouse) as connection:
        for number, (day, run, success) in enumerate(outcomes):
            connection.execute(
                'insert into quality.check_results (run, as_of_date, suite, "check", severity, success,'
                " observed, checked_at) values (?, ?, 's', 'c', 'warning', ?, ?, ?)",
                [run, date(2026, 3, day), success, f"{day} rows", datetime(2026, 4, 1, number)],  # noqa: DTZ001
            )
        rows = connection.execute(
            "select day(as_of_date), success, observed, days_in_a_row, day(since_date), run"
            " from quality.check_trend order by as_of_date"
        ).fetchall()
    assert rows == [
        (1, True, "1 rows", 1, 1, "r1"),
        (2, False, "2 rows", 1, 2, "r2"),
        (3, False, "3 rows", 2, 2, "r4"),  # the last run of the day counts
        (4, False, "4 rows", 3, 2, "r5"),
    ]
