"""What the tests of Fxiaoke, Kingdee and YonBIP share: sources on stand-ins, and a clock that jumps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from receivables.entities import ENTITIES
from receivables.extract import day_end
from receivables.settings import Settings
from receivables.sources import http
from receivables.sources.base import Explaining, Window
from receivables.sources.http_state import Clock
from receivables.sources.kinds import open_connector
from tests.sources.setup import Case, write_source
from tests.standins.server import Fault, StandIn

MONDAY = date(2026, 3, 2)
TUESDAY = MONDAY + timedelta(days=1)


class JumpingClock:
    """A pause takes no time: both the client's clock and the stand-in's jump over it."""

    def __init__(self, server: StandIn) -> None:
        self.server = server
        self.skew = 0.0
        self.slept = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.skew)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.skew += seconds
        self.server.advance(seconds)


def use_clock(monkeypatch: pytest.MonkeyPatch, server: StandIn) -> JumpingClock:
    """Let the HTTP client of this process live by a clock that jumps."""
    clock = JumpingClock(server)
    monkeypatch.setattr(http, "SYSTEM_CLOCK", Clock(now=clock.now, sleep=clock.sleep))
    return clock


def installation(home: Settings, name: str, text: str) -> Case:
    return write_source(home, text, name=name)


def raw(case: Case, entity: str) -> list[tuple[Any, ...]]:
    """Every version that raw holds of an entity, without what tells one load from another."""
    columns = ", ".join(ENTITIES[entity].column_names)
    return case.query(
        f"select _row_key, _version, _is_removed, _known_on, {columns} from raw_{case.name}.{entity}"
        " order by _row_key, _version"
    )


def current(case: Case, entity: str, *columns: str) -> dict[str, tuple[Any, ...]]:
    """By key: some columns of what the source holds now; a removed row is absent."""
    chosen = ", ".join(columns)
    rows = case.query(
        f"select _row_key, {chosen} from raw_{case.name}.{entity}"
        " qualify row_number() over (partition by _row_key order by _version desc) = 1 and not _is_removed"
    )
    return {str(row[0]): row[1:] for row in rows}


def raw_of_all(case: Case) -> dict[str, list[tuple[Any, ...]]]:
    """Raw of every entity that the source delivers."""
    return {entity: raw(case, entity) for entity in case.source.entity_configs}


def notes(case: Case, entity: str) -> tuple[str, ...]:
    """What a connector says it met, as a check of the source asks for it."""
    with open_connector(case.source, case.settings) as connector:
        connector.describe(entity)
        assert isinstance(connector, Explaining)
        return connector.notes(entity)


def notes_after_read(case: Case, entity: str, day: date) -> tuple[str, ...]:
    """What a connector says after it has read an entity up to the end of a day in its source's zone."""
    window = Window(None, day_end(day, case.source.timezone))
    with open_connector(case.source, case.settings) as connector:
        connector.describe(entity)
        for _ in connector.read(entity, window):
            pass
        assert isinstance(connector, Explaining)
        return connector.notes(entity)


def check_storm_leaves_no_trace(
    source: Callable[[str], Case], server: StandIn, faults: Callable[[], list[Fault]]
) -> None:
    """Raw after a stormy Tuesday, and a run after it, is what a quiet Tuesday leaves.

    `source(name)` writes a source of that name; `faults()` makes the storm, in which Tuesday happens.
    """
    stormy, quiet = source("stormy"), source("quiet")
    stormy.run(MONDAY)
    quiet.run(MONDAY)
    with server.plan(*faults()):
        stormy.run(TUESDAY)
    stormy.run(TUESDAY, run="after-the-storm")
    quiet.run(TUESDAY)
    assert raw_of_all(stormy) == raw_of_all(quiet)
    assert stormy.refused() == []
