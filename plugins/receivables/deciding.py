"""What people decide about versions: let a held-back one pass, send readers back to an earlier one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date

from receivables import pipeline, runs
from receivables.alerts import incident_of_acceptance, incident_of_rollback, record_incident
from receivables.errors import PermanentError, TransientError
from receivables.mail_airflow import send_by_hand
from receivables.publish import (
    HeldBack,
    Rollback,
    candidate_database,
    held_back,
    newest_candidate,
    rollback,
    rollbacks,
)
from receivables.settings import Settings
from receivables.warehouse import reading, writing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """What came of `publish_held_back`; `version` is None where the run has to be continued first."""

    as_of_date: date
    run: str
    accepted: tuple[str, ...]
    version: str | None = None
    is_current: bool = False
    next_step: str = ""


def publish_held_back(
    settings: Settings,
    accept: list[str],
    *,
    by: str,
    reason: str,
    day: date | None = None,
    run: str | None = None,
) -> Decision:
    """Accept checks of one run, then publish its candidate.

    A check of what was loaded stops a run before there is a candidate: then the acceptance is recorded, and
    `next_step` says how the run goes on.

    Raises:
        CheckFailedError: another critical check of it failed and is not accepted; nothing is published.
        PermanentError: there is nothing to publish, no name or reason, or no such failed check.
    """
    day, run = _chosen(settings, day, run)
    accepted = tuple(pipeline.accept(settings, day, run, accept, by=by, reason=reason)) if accept else ()
    if accepted and not candidate_database(settings, day, run).exists():
        return Decision(
            day,
            run,
            accepted,
            next_step=f"recorded; go on with: receivables run --as-of {day} --run {run}, or clear the failed"
            " check in Airflow",
        )
    publication = pipeline.publish_version(settings, day, run)
    if accepted:
        said = f"{', '.join(accepted)} failed and was let pass by {by}"
        runs.record_step(settings, run, day, "check_marts", "done", said)
        found = [acceptance for acceptance in publication.accepted if acceptance.name in accepted]
        record_incident(settings, incident_of_acceptance(settings, day, run, found))
        send_by_hand(settings)
    return Decision(day, run, accepted, publication.version.name, publication.is_current)


def roll_back(settings: Settings, *, by: str, reason: str, to: str | None = None) -> Rollback:
    """Send readers back to an earlier version; the record goes to the warehouse as soon as that is free.

    Raises:
        PermanentError: no name or reason is given, or there is no such version.
    """
    if not by.strip() or not reason.strip():
        raise PermanentError(
            "rollback without a name or a reason",
            cause="whoever reads the numbers later must see who decided, and why",
            next_step="give --by NAME and --reason TEXT",
        )
    entry = rollback(settings, by=by.strip(), reason=reason.strip(), to=to)
    if settings.warehouse.exists():
        try:
            with writing(settings.warehouse, wait_seconds=2) as connection:
                runs.record_rollbacks(connection, rollbacks(settings))
        except TransientError:
            log.info("a run holds the warehouse; its publication takes the record of the rollback over")
    record_incident(settings, incident_of_rollback(settings, entry))
    send_by_hand(settings)
    return entry


def _chosen(settings: Settings, day: date | None, run: str | None) -> tuple[date, str]:
    waiting = [
        candidate
        for candidate in held_back(settings)
        if day in (None, candidate.as_of_date) and run in (None, candidate.run)
    ]
    if waiting:
        return _named(waiting[0])
    if run is not None:
        return day or _day_of(settings, run), run
    if day is not None:
        return day, newest_candidate(settings, day)
    raise PermanentError(
        "version to publish",
        cause="none is held back",
        next_step="receivables status shows what is published; name a run with --run, or a day with --as-of",
    )


def _named(candidate: HeldBack) -> tuple[date, str]:
    return candidate.as_of_date, candidate.run


def _day_of(settings: Settings, run: str) -> date:
    if settings.warehouse.exists():
        with reading(settings.warehouse) as connection:
            row = connection.execute(
                "select max(as_of_date) from quality.runs where run = ?", [run]
            ).fetchone()
        if row and row[0]:
            return row[0]
    raise PermanentError(
        f"run {run}",
        cause="there is no record of it",
        next_step="receivables status shows the last runs; give its day with --as-of",
    )
