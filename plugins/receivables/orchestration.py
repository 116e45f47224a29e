"""What the DAG files need from Airflow: the business day, assets, retries, incidents, dbt's task group."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    Asset,
    CronPartitionTimetable,
    ExceptionRetryPolicy,
    PartitionedAssetTimetable,
    PartitionedAtRuntime,
    RetryAction,
    RetryRule,
    TriggerRule,
    task,
)
from airflow.sdk.exceptions import AirflowFailException

from receivables.errors import CheckFailedError, PermanentError, ReceivablesError, TransientError
from receivables.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.bases.timetable import BaseTimetable
    from airflow.sdk.types import DagRunProtocol

    from receivables.checks import CheckReport
    from receivables.service_levels import ServiceLevel

log = logging.getLogger(__name__)

# DuckDB takes one writing process: every task that opens the warehouse takes the only slot of this pool.
WAREHOUSE_POOL = "warehouse"
# The tasks that show one dbt model each only wait; a pool of their own leaves room for those that work.
MODELS_POOL = "dbt_models"

CANDIDATE = Asset("receivables_candidate")
PUBLISHED = Asset("receivables_published")
INCIDENTS = Asset("receivables_incidents")

KEY_FORMAT = "%Y-%m-%d"

# A retry helps against a server that is down, a lock that is held and a killed worker; nothing else.
RETRIES = ExceptionRetryPolicy(
    rules=[
        RetryRule(exception=TransientError, action=RetryAction.RETRY, reason="may pass by itself"),
        RetryRule(exception=Exception, action=RetryAction.FAIL, reason="a retry cannot help"),
    ]
)


class UnknownBusinessDayError(PermanentError):
    """A run says neither by its partition key nor by its conf which day it is about."""


def business_day(dag_run: DagRunProtocol) -> date:
    """Return the day a run works on: its partition key, or `as_of_date` in its conf.

    Raises:
        UnknownBusinessDayError: neither is given, or it is no date; the message shows both ways to give one.
    """
    given = dag_run.partition_key or (dag_run.conf or {}).get("as_of_date")
    try:
        return date.fromisoformat(str(given))
    except ValueError as error:
        raise UnknownBusinessDayError(
            f"run {dag_run.run_id}",
            cause=f"its business day is {given!r}" if given else "it has no business day",
            next_step="trigger it with a partition key (2026-03-31), or with the conf"
            ' {"as_of_date": "2026-03-31"}',
        ) from error


def safe_run(run_id: str) -> str:
    """A DAG run's id as part of a path."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", run_id).strip("-.")


def source_names() -> list[str]:
    """The names of the source files; the tasks read their content, so that one bad file stops one DAG."""
    return Settings.load().source_names


def raw_asset(source: str) -> Asset:
    """Announced when the loads of a source for a day have passed their checks."""
    return Asset(f"receivables_raw_{source}")


def daily() -> BaseTimetable:
    """Each night the business day that has just ended; RECEIVABLES_SCHEDULE is a cron line, or `none`.

    The company's own clock decides when that is: RECEIVABLES_TIMEZONE.
    """
    cron = os.environ.get("RECEIVABLES_SCHEDULE", "30 1 * * *")
    if cron == "none":
        return PartitionedAtRuntime()
    return CronPartitionTimetable(
        cron, timezone=os.environ.get("RECEIVABLES_TIMEZONE", "UTC"), run_offset=-1, key_format=KEY_FORMAT
    )


def promises() -> dict[str, BaseTimetable]:
    """When each service level of `receivables.yml` is due, as a schedule for the day before.

    A file that cannot be read has no promises here; the tasks that need it say what is wrong with it.
    """
    from receivables.company import load_company_config
    from receivables.errors import ConfigError

    try:
        levels = load_company_config(Settings.load()).service_levels
    except ConfigError as error:
        log.error("%s", error)
        return {}
    times = {"landed": levels.landed_by, "published": levels.published_by}
    return {
        level: CronPartitionTimetable(
            f"{int(said[3:5])} {int(said[:2])} * * *",
            timezone=levels.timezone,
            run_offset=-1,
            key_format=KEY_FORMAT,
        )
        for level, said in times.items()
        if said is not None
    }


def when_all_sources_are_checked() -> BaseTimetable:
    """A day is transformed once every source has delivered it; without sources only by hand."""
    assets = [raw_asset(name) for name in source_names()]
    return PartitionedAssetTimetable(assets=reduce(and_, assets)) if assets else PartitionedAtRuntime()


def when(*assets: Asset) -> BaseTimetable:
    """Run for every business day that one of `assets` announces."""
    return PartitionedAssetTimetable(assets=reduce(or_, assets))


@dataclass(frozen=True)
class Step:
    """What a task works with: the installation, the business day, and the name of the run."""

    settings: Settings
    day: date
    run: str


@contextmanager
def working(context: Context) -> Iterator[Step]:
    """Give a task its step; end the task without retries when a retry cannot help."""
    dag_run = context["dag_run"]
    try:
        yield Step(Settings.load(), business_day(dag_run), safe_run(dag_run.run_id))
    except TransientError:
        raise
    except ReceivablesError as error:
        raise AirflowFailException(str(error)) from error


def announce(context: Context, asset: Asset, run: str) -> None:
    """Tell who waits for the asset which day it is about, and which run made it."""
    event, dag_run = context["outlet_events"][asset], context["dag_run"]
    event.extra = {"run": run}
    if dag_run.partition_key is None:  # started with `as_of_date` in its conf
        event.add_partitions(business_day(dag_run).isoformat())


def candidate_run(context: Context, step: Step) -> str:
    """The run whose candidate is to be published: named in the conf, announced, or the newest.

    Raises:
        PermanentError: there is no candidate of that day.
    """
    from receivables.publish import newest_candidate

    named = (context["dag_run"].conf or {}).get("run")
    events = context["triggering_asset_events"].get(CANDIDATE, [])
    announced = events[-1].extra.get("run") if events else None
    return named or announced or newest_candidate(step.settings, step.day)


def note_recovery(step: Step) -> None:
    """A day has been published: whoever heard that a DAG broke on it, or before, hears that it is mended."""
    from receivables.alert_spool import record_recovery
    from receivables.pipeline import healed_by_publication

    record_recovery(step.settings, dags=healed_by_publication(step.settings), day=step.day, run=step.run)


def decide(report: CheckReport, context: Context) -> None:
    """Record what failed and what is mended, and stop the run when a critical failure is not accepted.

    Raises:
        CheckFailedError: a critical check failed.
    """
    from receivables.acceptance import raise_unless_accepted
    from receivables.alert_spool import record_report

    settings, ti = Settings.load(), context["ti"]
    record_report(settings, report, dag=ti.dag_id, task=ti.task_id, log=_log_link(context))
    raise_unless_accepted(settings, report)


def record_failure(context: Context) -> None:
    """Callback of every task: leave an incident for the alert DAG to mail.

    A check that failed has left its own, with the rows (`decide`), and so has a delay; a task that waits for
    dbt only repeats what the dbt process has reported.
    """
    from receivables.service_levels import ServiceLevelMissedError

    error, ti, dag_run = context.get("exception"), context["ti"], context["dag_run"]
    cause = getattr(error, "__cause__", None) or error or RuntimeError("the task was killed")
    said_already = isinstance(cause, CheckFailedError) and ti.task_id in {"check_raw", "check_marts"}
    said_already = said_already or isinstance(cause, ServiceLevelMissedError)
    if said_already or context["task"].pool == MODELS_POOL:
        return
    from receivables.alerts import incident_of_error, record_incident

    settings = Settings.load()
    incident = incident_of_error(
        settings,
        cause if isinstance(cause, BaseException) else RuntimeError(str(cause)),
        dag=ti.dag_id,
        task=ti.task_id,
        run=safe_run(dag_run.run_id),
        day=_day_or_today(dag_run),
        source=ti.dag_id.removeprefix("ingest_") if ti.dag_id.startswith("ingest_") else None,
        log=_log_link(context),
    )
    record_incident(settings, incident)


def _day_or_today(dag_run: DagRunProtocol) -> date:
    """An alert needs a date even when what broke is that the run has none."""
    try:
        return business_day(dag_run)
    except UnknownBusinessDayError:
        return dag_run.run_after.date()


def _log_link(context: Context) -> str:
    return str(getattr(context["ti"], "log_url", "") or "")


def end() -> list[Any]:
    """The last two tasks of a DAG: one starts the alert DAG after a failure, one carries the run's own state.

    Airflow takes a run for failed when a last task did not succeed; the report of a failure does succeed.
    """
    from airflow.providers.standard.operators.empty import EmptyOperator

    @task(trigger_rule=TriggerRule.ONE_FAILED, retries=0, outlets=[INCIDENTS])
    def report_failure(**context: Any) -> None:
        announce(context, INCIDENTS, safe_run(context["dag_run"].run_id))

    return [report_failure(), EmptyOperator(task_id="done")]


def dag_defaults(*, hours: int, levels: Sequence[ServiceLevel] = (), **task_defaults: Any) -> dict[str, Any]:
    """What every DAG of this project has in common.

    Args:
        hours: when a run that hangs is ended.
        levels: the service levels that its day has reached when it is done, as deadlines of its runs.
    """
    from receivables.deadline_airflow import deadlines

    return {
        "catchup": False,
        "max_active_runs": 1,  # days follow one another in the warehouse
        "dagrun_timeout": timedelta(hours=hours),
        "tags": ["receivables"],
        "deadline": deadlines(*(level for level in levels if level in promises())) or None,
        "default_args": {
            "owner": "receivables",
            "retries": 3,
            "retry_delay": timedelta(minutes=2),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=30),
            "retry_policy": RETRIES,
            "execution_timeout": timedelta(hours=1),
            "on_failure_callback": record_failure,
            **task_defaults,
        },
    }


def dbt_models() -> BaseOperator:
    """One dbt process for all models and tests, one task per model that shows how that model fared.

    Returns the task that succeeds when dbt has.
    """
    from receivables import dbt_airflow

    day = "{{ business_day(dag_run).isoformat() }}"
    return dbt_airflow.dbt_models(group_id="models", day=day, pool=WAREHOUSE_POOL, models_pool=MODELS_POOL)
