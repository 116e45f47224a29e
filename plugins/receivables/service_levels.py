"""Service levels: until when a business day must be loaded, and published, as `receivables.yml` promises.

When a day reaches each of them is noted in files of their own, `service_levels/<day>/…`: whoever asks at the
due time must not wait for the warehouse, which is held by the very run that is late. Each publication takes
the notes over into `quality.service_levels`.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import duckdb

from receivables.alerts import incident_of_delay, record_incident
from receivables.company import ServiceLevels, load_company_config
from receivables.errors import ConfigError, PermanentError
from receivables.settings import Settings

log = logging.getLogger(__name__)

ServiceLevel = Literal["landed", "published"]
LEVELS: tuple[ServiceLevel, ...] = ("landed", "published")

# What is first reached this long after it was due is a backfill, to which no promise was made.
BACKFILL = timedelta(days=3)
KEEP = timedelta(days=120)


class ServiceLevelMissedError(PermanentError):
    """A business day is not where it was promised to be."""


@dataclass(frozen=True)
class Standing:
    """How a day stands to one service level; `reached_at` is null while it does not meet it."""

    as_of_date: date
    service_level: ServiceLevel
    due_at: datetime
    reached_at: datetime | None

    def is_met(self, now: datetime) -> bool | None:
        """None while it is neither reached nor due."""
        if self.reached_at is not None:
            return self.reached_at <= self.due_at
        return False if now >= self.due_at else None


def due_at(levels: ServiceLevels, level: ServiceLevel, day: date) -> datetime | None:
    """The moment, on the day after `day`, until which the level is promised; None without a promise."""
    said = levels.landed_by if level == "landed" else levels.published_by
    if said is None:
        return None
    local = datetime.combine(day + timedelta(days=1), time.fromisoformat(said), ZoneInfo(levels.timezone))
    return local.astimezone(UTC)


def note_landed(settings: Settings, source: str, day: date) -> None:
    """Note that a source's rows of `day` are loaded and have passed their checks; the first time counts."""
    _note(_folder(settings) / day.isoformat() / f"landed.{source}")


def note_published(settings: Settings, day: date) -> None:
    """Note that `day` is published; the first time counts."""
    _note(_folder(settings) / day.isoformat() / "published")


def standing(settings: Settings, level: ServiceLevel, day: date) -> Standing | None:
    """How `day` stands to a service level; None when nothing is promised.

    Raises:
        ConfigError: `receivables.yml` is wrong.
    """
    due = due_at(load_company_config(settings).service_levels, level, day)
    return None if due is None else Standing(day, level, due, _reached_at(settings, level, day))


def watch(
    settings: Settings, level: ServiceLevel, day: date, *, now: datetime | None = None
) -> Standing | None:
    """Ask at its due time whether `day` has reached a level; leave an alert when it has not.

    Raises:
        ServiceLevelMissedError: it is due and not reached.
    """
    found = standing(settings, level, day)
    if found is None or found.reached_at is not None or (now or datetime.now(UTC)) < found.due_at:
        return found
    levels = load_company_config(settings).service_levels
    local = found.due_at.astimezone(ZoneInfo(levels.timezone))
    due = f"{local:%H:%M} ({levels.timezone})"
    record_incident(settings, incident_of_delay(settings, day, what=level, due=due))
    word = "loaded and checked" if level == "landed" else "published"
    raise ServiceLevelMissedError(
        f"business day {day}",
        cause=f"was not {word} by {due}",
        next_step="receivables status shows the last runs and what stopped them",
    )


def record(settings: Settings, connection: duckdb.DuckDBPyConnection) -> None:
    """Take the notes over into `quality.service_levels`, and forget old ones.

    A `receivables.yml` that cannot be read stops no publication: the notes wait for the next one.
    """
    try:
        levels = load_company_config(settings).service_levels
    except ConfigError as error:
        log.error("service levels are not recorded: %s", error)
        return
    now = datetime.now(UTC)
    connection.execute("begin transaction")
    for day in _noted_days(settings):
        for level in LEVELS:
            due = due_at(levels, level, day)
            if due is None:
                continue
            reached = _reached_at(settings, level, day)
            if (reached or now) - due >= BACKFILL:
                continue
            found = Standing(day, level, due, reached)
            connection.execute(
                "delete from quality.service_levels where as_of_date = ? and service_level = ?", [day, level]
            )
            connection.execute(
                "insert into quality.service_levels values (?, ?, ?, ?, ?)",
                [day, level, _plain(due), _plain(reached), found.is_met(now)],
            )
    connection.execute("commit")
    for day in _noted_days(settings):
        note = _folder(settings) / day.isoformat()
        if now.timestamp() - note.stat().st_mtime >= KEEP.total_seconds():
            shutil.rmtree(note)


def _reached_at(settings: Settings, level: ServiceLevel, day: date) -> datetime | None:
    """When the day reached the level: for `landed`, when the last of the sources did."""
    folder = _folder(settings) / day.isoformat()
    names = ["published"] if level == "published" else [f"landed.{name}" for name in settings.source_names]
    notes = [folder / name for name in names]
    if not notes or not all(note.exists() for note in notes):
        return None
    return max(datetime.fromisoformat(note.read_text(encoding="utf-8").strip()) for note in notes)


def _noted_days(settings: Settings) -> Iterator[date]:
    folder = _folder(settings)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        yield date.fromisoformat(path.name)


def _note(path: Path) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(datetime.now(UTC).isoformat(timespec="seconds") + "\n", encoding="utf-8")
    temporary.replace(path)


def _folder(settings: Settings) -> Path:
    return settings.home / "service_levels"


def _plain(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None
