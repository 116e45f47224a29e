"""Refused rows: how people look at them, and the record of those that the models refuse.

A load refuses what it cannot read. The models refuse a row that points at a document nobody delivered, or
contradicts it; such a row is loaded like any other, and the models decide again on every run
(`int_refused_rows`). Both kinds come back by themselves when the source mends them.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from receivables.asking import Answer
from receivables.errors import PermanentError, TransientError
from receivables.publish import RESTRICTED, WITHOUT_QUOTATIONS
from receivables.settings import Settings
from receivables.warehouse import reading, writing

# Where the row was refused; a load writes the place in its file instead.
LOCATION = "models"


def record_refused(settings: Settings, day: date, run: str) -> int:
    """Bring `quality.quarantined_rows` in line with what the models refuse as of `day`; return how many."""
    values = {"day": day, "run": run, "now": datetime.now(UTC).replace(tzinfo=None), "models": LOCATION}
    with writing(settings.warehouse) as connection:
        connection.execute("begin")
        connection.execute(
            """
            create or replace temp table refused as
            select
                source_name as source, entity, row_id as key, reason,
                cast(to_json(row) as varchar) as payload
            from intermediate.int_refused_rows as row
            """
        )
        connection.execute(
            """
            update quality.quarantined_rows as old set is_resolved = not exists (
                select 1 from refused as new
                where old.source = new.source and old.entity = new.entity and old.key = new.key
                    and old.reason = new.reason
            )
            where location = $models
            """,
            {"models": LOCATION},
        )
        connection.execute(
            """
            update quality.quarantined_rows as old
            set last_seen_on = greatest(old.last_seen_on, $day), loaded_at = $now, load_id = $run
            where location = $models and not is_resolved
            """,
            values,
        )
        connection.execute(
            """
            insert into quality.quarantined_rows
            select source, entity, key, reason, payload, $now, $run, $models, $day, $day, false
            from refused as new
            where not exists (
                select 1 from quality.quarantined_rows as old
                where old.location = $models and old.source = new.source and old.entity = new.entity
                    and old.key = new.key and old.reason = new.reason
            )
            """,
            values,
        )
        connection.execute("commit")
        return int(connection.execute("select count(*) from refused").fetchall()[0][0])


@dataclass(frozen=True)
class Refused:
    """One refused row. `payload`, the row as it arrived, and what `reason` quotes of it are there for those
    who may read personal data.
    """

    source: str
    entity: str
    key: str | None
    reason: str
    location: str | None
    first_seen_on: date | None
    last_seen_on: date | None
    is_resolved: bool
    run: str | None
    payload: str | None = None

    def facts(self) -> dict[str, Any]:
        """Its values by name."""
        return asdict(self)


@dataclass(frozen=True)
class Wanted:
    """Which rows: those of a source, an entity, a key, a word in the reason, seen since a day, or all."""

    source: str | None = None
    entity: str | None = None
    key: str | None = None
    reason: str | None = None
    since: date | None = None
    everything: bool = False


def refused_rows(settings: Settings, wanted: Wanted, *, restricted: bool = False) -> list[Refused]:
    """The refused rows, the last seen first.

    They are those of the warehouse, or of the published version while a run holds the warehouse.

    Raises:
        PermanentError: there is neither, or this user may not read the file with personal data.
    """
    with reading(_file(settings, restricted=restricted)) as connection:
        rows = connection.execute(
            f"""
            select
                source, entity, key, {"reason" if restricted else WITHOUT_QUOTATIONS}, location,
                first_seen_on, last_seen_on,
                coalesce(is_resolved, false), load_id, {"payload" if restricted else "null"}
            from quality.quarantined_rows
            where ($source is null or source = $source)
                and ($entity is null or entity = $entity)
                and ($key is null or key = $key)
                and ($reason is null or contains(lower(reason), lower($reason)))
                and ($since is null or last_seen_on >= $since)
                and ($everything or not coalesce(is_resolved, false))
            order by last_seen_on desc, source, entity, key, reason
            """,  # noqa: S608 (columns, with or without what is personal)
            asdict(wanted),
        ).fetchall()
    return [Refused(*row) for row in rows]


def as_answer(rows: Sequence[Refused]) -> Answer:
    """The rows as columns and values, for the command line's tables and CSV."""
    columns = tuple(field.name for field in fields(Refused) if field.name != "payload" or _any_payload(rows))
    return Answer(columns, [tuple(getattr(row, column) for column in columns) for row in rows])


def export(rows: Sequence[Refused], path: Path, *, private: bool) -> None:
    """Write the rows as CSV for people who open it in a spreadsheet; a private file only its owner may read.

    A value that a spreadsheet would take for a formula gets an apostrophe in front: the rows are what
    somebody else's system sent.
    """
    answer = as_answer(rows)
    mode = 0o600 if private else 0o644
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    except OSError as error:
        raise PermanentError(
            f"file {path}", cause=f"cannot be written ({error.strerror})", next_step="name another file"
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        os.fchmod(file.fileno(), mode)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows([_harmless(value) for value in row] for row in answer.rows)


def _file(settings: Settings, *, restricted: bool) -> Path:
    if settings.warehouse.exists():
        try:
            with reading(settings.warehouse, wait_seconds=2):
                return settings.warehouse
        except TransientError:
            pass  # a run holds it: what readers see is the next best
    published = settings.published_database
    if not published.exists():
        raise PermanentError(
            "quarantine",
            cause="nothing was loaded yet, or the first run is under way",
            next_step="run a day: receivables run --as-of DAY",
        )
    return published.with_name(RESTRICTED) if restricted else published


def _any_payload(rows: Sequence[Refused]) -> bool:
    return any(row.payload is not None for row in rows)


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
