"""Each night the rows that came since the published version are judged, and no older ones again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from receivables.checks import runner
from receivables.settings import PACKAGE_DIR, Settings

ROOT = PACKAGE_DIR.parent.parent
PUBLISHED = date(2026, 3, 31)
NIGHT = PUBLISHED + timedelta(days=1)

# Key, version, loaded on, removed: two of the published version, of which one was changed since; a new one;
# one that is gone; and one that a later run has loaded.
ROWS = """
    ('D1', 1, date '2026-03-30', false),
    ('D2', 1, date '2026-03-31', false), ('D2', 2, date '2026-04-01', false),
    ('D3', 1, date '2026-04-01', false),
    ('D4', 1, date '2026-03-31', false), ('D4', 2, date '2026-04-01', true),
    ('D5', 1, date '2026-04-02', false)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(Settings.load(), root=ROOT, home=tmp_path)


def publish(settings: Settings, day: date) -> None:
    version = settings.published / "versions" / f"{day}-x"
    version.mkdir(parents=True)
    facts = {"as_of_date": day.isoformat(), "run": "x", "published_at": f"{day}T22:00:00+00:00", "files": {}}
    (version / "manifest.json").write_text(json.dumps(facts))
    (settings.published / "current").symlink_to(version)


def judged(settings: Settings, day: date) -> list[str]:
    """The keys of the rows that the rules on disputes look at in a run of `day`."""
    with duckdb.connect() as connection:
        connection.execute("create schema raw")
        connection.execute(
            "create table raw.disputes as select 'erp' as _source, * from (values"
            f" {ROWS}) as rows(_row_key, _version, _loaded_on, _is_removed)"
        )
        scope = runner.canonical_scope(settings, connection, day=day, run="r")
        suites = runner.load_suites(ROOT / "expectations", "canonical", scope)
        assert [suite.name for suite in suites] == ["canonical.disputes"]
        return [
            key
            for (key,) in connection.execute(
                f"select _row_key from ({suites[0].query}) order by 1"
            ).fetchall()
        ]


def test_the_first_run_judges_every_row_that_is_there(settings: Settings) -> None:
    assert judged(settings, NIGHT) == ["D1", "D2", "D3"]


def test_the_next_night_judges_what_came_since_the_published_version(settings: Settings) -> None:
    publish(settings, PUBLISHED)
    assert judged(settings, NIGHT) == ["D2", "D3"]


def test_after_days_that_were_held_back_their_rows_are_judged_again(settings: Settings) -> None:
    publish(settings, PUBLISHED - timedelta(days=1))
    assert judged(settings, NIGHT) == ["D2", "D3"]
    assert judged(settings, PUBLISHED) == ["D2", "D4"], "as they were on that day"


def test_the_same_day_again_judges_its_rows_again(settings: Settings) -> None:
    publish(settings, NIGHT)
    assert judged(settings, NIGHT) == ["D2", "D3"]
