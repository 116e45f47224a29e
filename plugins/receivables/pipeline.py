"""One business day from the sources to the published version: the steps that the DAGs call, and all in a row.

A run can be repeated and continued: each step starts over from what is whole, and ends in the same state.
"""

from __future__ import annotations

import fcntl
import logging
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from receivables import extract as extracting
from receivables import runs, service_levels
from receivables.acceptance import (
    accepted_checks,
    full_name,
    raise_unless_accepted,
    record_acceptances,
    without_accepted,
)
from receivables.alert_spool import record_recovery, record_report
from receivables.alerts import incident_of_error, record_incident
from receivables.checks import CheckReport, check_marts, check_raw, write_results
from receivables.company import check_recipients
from receivables.errors import CheckFailedError, PermanentError, ReceivablesError, TransientError
from receivables.landing import Manifest
from receivables.load import LoadReport, load
from receivables.mail_airflow import send_by_hand
from receivables.publish import (
    Publication,
    audit,
    build_candidate,
    candidate_database,
    publish,
    record_verdict,
    rollbacks,
)
from receivables.quarantine import record_refused
from receivables.settings import Settings
from receivables.sources import get_source, load_sources
from receivables.transform import TransformReport, ensure_docs, transform
from receivables.warehouse import writing

log = logging.getLogger(__name__)

# (step, what of it is done now, done so far, total); total 0 = not known.
Progress = Callable[[str, str, int, int], None]

# What alerts call a run without Airflow.
RUN_BY_HAND = "receivables run"

# Entities that are read from one source at the same time.
EXTRACTS_AT_ONCE = 4


@dataclass(frozen=True)
class DayReport:
    """What a run of one day came to."""

    day: date
    run: str
    loads: dict[str, LoadReport]
    transform: TransformReport
    raw_checks: dict[str, CheckReport]
    mart_checks: CheckReport
    publication: Publication


def new_run(day: date) -> str:
    """The name of one attempt at one day."""
    return f"{day.isoformat()}T{datetime.now(UTC):%H%M%S}-{secrets.token_hex(2)}"


def entities_of(settings: Settings, source: str) -> list[str]:
    """The canonical entities that a source delivers."""
    return list(extracting.entities_of(get_source(settings, source)))


def extract_entity(settings: Settings, source: str, entity: str, day: date, run: str) -> Manifest:
    """Read one entity of one source into the landing folder."""
    return extracting.extract(settings, get_source(settings, source), entity, day, run)


def load_source(settings: Settings, source: str, day: date, run: str) -> LoadReport:
    """Load what `run` has landed of one source into the warehouse."""
    with recorded(settings, run, day, f"ingest_{source}"):
        return load(settings, get_source(settings, source), day, run)


def check_source(settings: Settings, source: str, day: date, run: str) -> CheckReport:
    """Check what `run` has loaded of one source; the report decides nothing by itself."""
    report = check_raw(settings, source, day, run)
    if _record_checks(settings, report, f"check_raw_{source}"):
        service_levels.note_landed(settings, source, day)
    return report


def transform_day(
    settings: Settings, day: date, run: str, *, progress: Progress | None = None
) -> TransformReport:
    """Build and test the models as of `day`."""
    with recorded(settings, run, day, "transform"):
        return transform(settings, day, run, progress=_named(progress, "transform"))


def candidate(settings: Settings, day: date, run: str, *, progress: Progress | None = None) -> Path:
    """Copy the marts of `day` into a version that nobody reads yet."""
    with recorded(settings, run, day, "candidate"):
        record_refused(settings, day, run)
        return build_candidate(settings, day, run, progress=_named(progress, "candidate"))


def check_candidate(settings: Settings, day: date, run: str) -> CheckReport:
    """Check the version that would be published; the report decides nothing by itself."""
    report = check_marts(settings, candidate_database(settings, day, run), day, run)
    _record_checks(settings, report, "check_marts")
    critical = [full_name(result) for result in report.failed("critical")]
    record_verdict(settings, day, run, checks=len(report.results), critical=critical)
    return report


def publish_version(settings: Settings, day: date, run: str) -> Publication:
    """Publish the candidate of `run`.

    Raises:
        CheckFailedError: a critical check of it failed and is not accepted.
    """
    with recorded(settings, run, day, "publish") as outcome:
        with writing(settings.warehouse) as connection:
            runs.record_rollbacks(connection, rollbacks(settings))
            service_levels.record(settings, connection)
        publication = publish(settings, day, run)
        outcome["version"] = publication.version.name
        service_levels.note_published(settings, day)
        return publication


def accept(settings: Settings, day: date, run: str, checks: list[str], *, by: str, reason: str) -> list[str]:
    """Let failed critical checks of one run pass, on record; return their full names.

    What is then still in the way of the run is up to its next step: `publish_version`, or `run_day` again.
    """
    names = record_acceptances(settings, day, run, checks, by=by, reason=reason)
    log.warning("%s of run %s accepted by %s: %s", ", ".join(names), run, by, reason)
    return names


def run_day(
    settings: Settings,
    day: date,
    *,
    run: str | None = None,
    sources: list[str] | None = None,
    progress: Progress | None = None,
) -> DayReport:
    """Extract, load, check, transform, check and publish one business day.

    Args:
        run: the name of the attempt; a new one unless a broken attempt is to be continued.
        sources: only these sources are read; the marts are built from everything that is loaded.

    Raises:
        CheckFailedError: a critical check failed; readers keep the version they have.
        TransientError: a source is down, or another run is under way.
        PermanentError: a source, a model or the installation has to be corrected first.
    """
    run = run or new_run(day)
    check_recipients(settings)
    names = sources or list(load_sources(settings))
    if not names:
        raise PermanentError(
            f"sources in {settings.sources_dir}",
            cause="there is no source file, so there is nothing to load",
            next_step="write one (docs/sources.md shows how), or see the demo: receivables demo",
        )
    with _only_run(settings), _alerting(settings, day, run) as at:
        at.step = "extract"
        _extract_all(settings, names, day, run, progress)
        loads, raw_checks = {}, {}
        for number, name in enumerate(names):
            at.step = f"load {name}"
            _tell(progress, "load", name, number, len(names))
            loads[name] = load_source(settings, name, day, run)
        for number, name in enumerate(names):
            at.step = f"check_raw {name}"
            _tell(progress, "check_raw", name, number, len(names))
            raw_checks[name] = check_source(settings, name, day, run)
            at.decide(raw_checks[name])
        at.step = "transform"
        transformed = transform_day(settings, day, run, progress=progress)
        at.step = "candidate"
        database = candidate(settings, day, run, progress=progress)
        audit(database.parent, day)
        at.step = "check_marts"
        _tell(progress, "check_marts", "rule book", 0, 1)
        mart_checks = check_candidate(settings, day, run)
        at.decide(mart_checks)
        at.step = "publish"
        _tell(progress, "publish", "version", 0, 1)
        publication = publish_version(settings, day, run)
        _tell(progress, "docs", "dbt docs", 0, 1)
        ensure_docs(settings)
    return DayReport(day, run, loads, transformed, raw_checks, mart_checks, publication)


def healed_by_publication(settings: Settings) -> set[str]:
    """What is in order again, whatever broke in it, once a day is published."""
    watching = {f"watch_{level}" for level in service_levels.LEVELS}
    ingesting = {f"ingest_{name}" for name in settings.source_names}
    return {RUN_BY_HAND, "transform_receivables", "publish_receivables", *watching, *ingesting}


@dataclass
class _Alerting:
    """Which step a run is at, for the alert if it breaks there."""

    settings: Settings
    step: str = ""

    def decide(self, report: CheckReport) -> None:
        """Write down what failed and what is mended; stop the run for a critical failure nobody accepted."""
        record_report(self.settings, report, dag=RUN_BY_HAND, task=self.step)
        raise_unless_accepted(self.settings, report)


@contextmanager
def _alerting(settings: Settings, day: date, run: str) -> Iterator[_Alerting]:
    """Whatever comes of a run, people hear of it as from the DAGs; what an alert comes to changes no run."""
    at = _Alerting(settings)
    try:
        yield at
    except CheckFailedError:
        raise  # its incident, with the rows, is written already
    except Exception as error:
        incident = incident_of_error(settings, error, dag=RUN_BY_HAND, task=at.step, run=run, day=day)
        record_incident(settings, incident)
        raise
    else:
        record_recovery(settings, dags=healed_by_publication(settings), day=day, run=run)
    finally:
        send_by_hand(settings)


def backfill(
    settings: Settings,
    first: date,
    last: date,
    *,
    progress: Callable[[date], AbstractContextManager[Progress]] = lambda _: nullcontext(_silent),
) -> Iterator[DayReport]:
    """Run every day from `first` to `last`, the oldest first; ends with the error of the first that fails.

    Continue it by calling it again from the day that failed: the days before are already published.
    """
    if last < first:
        raise PermanentError(
            f"backfill from {first} to {last}",
            cause="the last day is before the first",
            next_step="give the older day first: receivables backfill FROM TO",
        )
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        with progress(day) as tell:
            report = run_day(settings, day, progress=tell)
        yield report


def _extract_all(
    settings: Settings, sources: list[str], day: date, run: str, progress: Progress | None
) -> None:
    """Read all entities of all sources, several at a time; the first error is raised after all have ended."""
    work = [(name, entity) for name in sources for entity in entities_of(settings, name)]
    failures: list[ReceivablesError] = []
    done = 0
    with ThreadPoolExecutor(max_workers=EXTRACTS_AT_ONCE, thread_name_prefix="extract") as pool:
        futures = {
            pool.submit(extract_entity, settings, name, entity, day, run): (name, entity)
            for name, entity in work
        }
        for future, (name, entity) in futures.items():
            _tell(progress, "extract", f"{name}.{entity}", done, len(work))
            try:
                future.result()
            except ReceivablesError as error:
                failures.append(error)
            done += 1
    for later in failures[1:]:
        log.error("%s", later)
    if failures:
        raise failures[0]


@contextmanager
def recorded(settings: Settings, run: str, day: date, step: str) -> Iterator[dict[str, str]]:
    """Keep the record of a step in `quality.runs`, also of one that fails."""
    runs.record_step(settings, run, day, step, "running")
    outcome: dict[str, str] = {}
    try:
        yield outcome
    except TransientError:
        raise  # another process may hold the warehouse; the next attempt writes the record
    except ReceivablesError as error:
        runs.record_step(settings, run, day, step, "failed", str(error))
        raise
    runs.record_step(settings, run, day, step, "done", version=outcome.get("version"))


def _record_checks(settings: Settings, report: CheckReport, step: str) -> bool:
    """Keep the results; return whether the run may go on: what failed critically is accepted."""
    write_results(settings.warehouse, report)
    accepted = () if report.passed else accepted_checks(settings, report.run)
    passed = without_accepted(report, accepted).passed
    status: runs.Status = "done" if passed else "failed"
    runs.record_step(settings, report.run, report.day, step, status, report.summary())
    return passed


@contextmanager
def _only_run(settings: Settings) -> Iterator[None]:
    """Keep two runs from taking turns in the working database. The lock ends with its process."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TransientError(
                f"installation {settings.home}",
                cause="another run is under way",
                next_step="wait for it (receivables status), then start this one again",
            ) from error
        yield


def _silent(step: str, what: str, done: int, total: int) -> None:
    """A progress callback for nobody."""


def _named(progress: Progress | None, step: str) -> Callable[[str, int, int], None] | None:
    if progress is None:
        return None
    return lambda what, done, total: progress(step, what, done, total)


def _tell(progress: Progress | None, step: str, what: str, done: int, total: int) -> None:
    if progress:
        progress(step, what, done, total)
