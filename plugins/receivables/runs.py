"""`quality.runs`: which step of which run did what, and the state of the installation in one dictionary."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Literal

import duckdb

from receivables.alert_spool import unsent
from receivables.alerts import open_incidents
from receivables.errors import TransientError
from receivables.publish import WITHOUT_QUOTATIONS, Rollback, current_version, held_back, rollbacks
from receivables.settings import Settings
from receivables.warehouse import reading, writing

logger = logging.getLogger(__name__)

Status = Literal["running", "done", "failed", "skipped"]


def record_step(
    target: Settings | duckdb.DuckDBPyConnection,
    run: str,
    day: date,
    step: str,
    status: Status,
    message: str = "",
    version: str | None = None,
) -> None:
    """Write what a step of a run came to; one row per run and step, the newest status wins.

    Call it with `running` at the start if the duration is wanted, then with the outcome. `target` is an open,
    writable connection to the warehouse, or the settings (the warehouse is then opened for this one row).

    Args:
        step: `ingest_<source>`, `transform`, `check_raw_<source>`, `check_marts`, `publish` …
        version: the name of the published version, where the step made one.
    """
    if isinstance(target, Settings):
        with writing(target.warehouse) as connection:
            record_step(connection, run, day, step, status, message, version)
        return
    now = datetime.now(UTC).replace(tzinfo=None)
    finished = None if status == "running" else now
    before = target.execute(
        "select started_at from quality.runs where run = ? and step = ? and status = 'running'", [run, step]
    ).fetchone()
    started = before[0] if before and status != "running" else now
    target.execute("begin transaction")
    try:
        target.execute("delete from quality.runs where run = ? and step = ?", [run, step])
        target.execute(
            "insert into quality.runs (run, as_of_date, step, status, message, version, started_at,"
            " finished_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
            [run, day, step, status, message, version, started, finished],
        )
        target.execute("commit")
    except duckdb.Error:
        target.execute("rollback")
        raise


def record_rollbacks(connection: duckdb.DuckDBPyConnection, entries: Sequence[Rollback]) -> None:
    """Bring `quality.rollbacks` in line with the record beside the versions.

    A rollback must work while a run holds the warehouse; the next publication takes its record over.
    """
    connection.execute("begin transaction")
    connection.execute("delete from quality.rollbacks")
    for entry in entries:
        connection.execute(
            "insert into quality.rollbacks values (?, ?, ?, ?, ?)",
            [
                entry.at.astimezone(UTC).replace(tzinfo=None),
                entry.from_version,
                entry.to_version,
                entry.by,
                entry.reason,
            ],
        )
    connection.execute("commit")


def status(settings: Settings) -> dict[str, Any]:
    """What `receivables status` shows: plain values, ready for JSON.

    Keys: `published`, `held_back` (candidates that a critical check stopped), `rollbacks` and `acceptances`
    (newest first), `runs` (newest first), `failing_checks` (of the newest run of each suite), `watermarks`,
    `quarantine`, `incidents` (not yet made into mails), `unsent_mails`, and `read_from`: the warehouse, or
    the published version while a run holds the warehouse, or null before the first run.
    """
    version = current_version(settings)
    state: dict[str, Any] = {
        "published": None
        if version is None
        else {
            "version": version.name,
            "as_of_date": version.as_of_date.isoformat(),
            "published_at": version.published_at.isoformat(sep=" ", timespec="seconds"),
            "database": str(settings.published_database),
        },
        "held_back": [
            {
                "as_of_date": candidate.as_of_date.isoformat(),
                "run": candidate.run,
                "checked_at": _plain(candidate.checked_at),
                "critical": list(candidate.critical),
            }
            for candidate in held_back(settings)
        ],
        "rollbacks": [
            {
                "at": _plain(entry.at),
                "from_version": entry.from_version,
                "to_version": entry.to_version,
                "by": entry.by,
                "reason": entry.reason,
            }
            for entry in reversed(rollbacks(settings))
        ],
        "read_from": None,
        "acceptances": [],
        "runs": [],
        "failing_checks": [],
        "watermarks": [],
        "quarantine": [],
        "incidents": _open_incidents(settings),
        "unsent_mails": unsent(settings),
    }
    if settings.warehouse.exists():
        try:
            with reading(settings.warehouse, wait_seconds=2) as connection:
                return state | _from_quality(connection) | {"read_from": str(settings.warehouse)}
        except TransientError:
            logger.info("a run holds the warehouse; the status is that of the published version")
    if settings.published_database.exists():
        with reading(settings.published_database) as connection:
            return state | _from_quality(connection) | {"read_from": str(settings.published_database)}
    return state


def _from_quality(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    tables = {
        row[0]
        for row in connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'quality'"
        ).fetchall()
    }
    queries = {
        "runs": ("runs", _RUNS),
        "acceptances": ("acceptances", _ACCEPTANCES),
        "failing_checks": ("check_results", _FAILING),
        "watermarks": ("loads", _WATERMARKS),
        "quarantine": ("quarantined_rows", _QUARANTINE),
    }
    state = {key: _rows(connection, query) for key, (table, query) in queries.items() if table in tables}
    for failing in state.get("failing_checks", []):
        failing["examples"] = json.loads(failing["examples"] or "[]")
    return state


# A run is as good as its worst step, and its message is that of the first step that failed.
_RUNS = """
select
    run,
    max(as_of_date) as as_of_date,
    case
        when bool_or(status = 'failed') then 'failed'
        when bool_or(status = 'running') then 'running'
        else 'done'
    end as status,
    count(*) as steps,
    min(started_at) as started_at,
    max(finished_at) as finished_at,
    max(version) as version,
    coalesce(arg_min(step, started_at) filter (where status = 'failed'), '') as failed_step,
    coalesce(arg_min(message, started_at) filter (where status = 'failed'), '') as message
from quality.runs
group by run
order by started_at desc
limit 10
"""

_ACCEPTANCES = """
select as_of_date, run, suite, "check", observed, accepted_by, reason, accepted_at
from quality.acceptances
order by accepted_at desc
limit 10
"""

_FAILING = """
with newest as (
    select suite, arg_max(run, checked_at) as run from quality.check_results group by suite
)
select
    results.run, results.as_of_date, results.suite, results."check", results.severity, results.observed,
    results.expected, results.rows_failed, results.examples, results.note, results.owner, results.checked_at
from quality.check_results as results
inner join newest on results.suite = newest.suite and results.run = newest.run
where not results.success
order by
    case results.severity when 'critical' then 1 when 'warning' then 2 else 3 end,
    results.suite, results."check"
"""

_WATERMARKS = """
select
    source, entity,
    arg_max(watermark, finished_at) as watermark,
    max(as_of_date) as as_of_date,
    max(finished_at) as finished_at
from quality.loads
where watermark is not null
group by source, entity
order by source, entity
"""

# Without the values that a reason quotes: they may be personal, and are another one for each row.
_QUARANTINE = f"""
select
    source, entity, {WITHOUT_QUOTATIONS} as reason, count(*) as rows,
    min(first_seen_on) as first_seen_on, max(last_seen_on) as last_seen_on
from quality.quarantined_rows
where not coalesce(is_resolved, false)
group by all
order by rows desc, source, entity, reason
"""  # noqa: S608 (a constant)


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return value.isoformat() if isinstance(value, date) else value


def _open_incidents(settings: Settings) -> Sequence[dict[str, Any]]:
    return [
        {
            "kind": incident.kind,
            "title": incident.title,
            "dag": incident.dag,
            "run": incident.run,
            "as_of_date": incident.day.isoformat(),
            "occurred_at": _plain(incident.occurred_at),
        }
        for incident in open_incidents(settings)
    ]
