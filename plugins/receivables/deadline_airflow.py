"""Service levels as Airflow's own deadlines: when a run's day is due, and what happens when it is missed.

The scheduler notes the deadline when it creates a run, shows it beside the run, and starts `tell` when it has
passed. Without one, nothing else is needed: the callback is run by the executor, not by the triggerer.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseDeadlineReference, DeadlineAlert, SyncCallback

from receivables import service_levels
from receivables.errors import ConfigError, ReceivablesError
from receivables.service_levels import ServiceLevel, ServiceLevelMissedError
from receivables.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


@dataclass
class Promised(BaseDeadlineReference):
    """The moment until which the business day of a run is promised to have reached a service level.

    Airflow knows the class by the plugin that registers it, and asks it for each run that it creates.
    """

    level: ServiceLevel = "published"

    required_kwargs: ClassVar[set[str]] = {"dag_id", "run_id"}

    # A dataclass would take its own away.
    __hash__ = BaseDeadlineReference.__hash__

    def serialize_reference(self) -> dict[str, Any]:
        return {**super().serialize_reference(), "level": self.level}

    @classmethod
    def deserialize_reference(cls, reference_data: Mapping[str, Any]) -> Promised:
        return cls(reference_data["level"])

    def _evaluate_with(self, *, session: Session, dag_id: str, run_id: str) -> datetime | None:
        """When the run is due; None without a promise, and for a run that starts after it."""
        from airflow.models.dagrun import DagRun  # noqa: TID251  (the SDK gives a reference only the run's id)
        from sqlalchemy import select

        row = session.execute(
            select(DagRun.partition_key, DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        ).one_or_none()
        day = _day(*row) if row else None
        return None if day is None else moment(Settings.load(), self.level, day)


def moment(
    settings: Settings, level: ServiceLevel, day: date, *, now: datetime | None = None
) -> datetime | None:
    """When a run that is created now for `day` is due; None for a backfill and for whoever is late already.

    Never an error: it would keep the run from being created.
    """
    try:
        found = service_levels.standing(settings, level, day)
    except ConfigError as error:
        log.error("no deadline: %s", error)
        return None
    # What is due already was told of by the DAG that watches the promise.
    return None if found is None or found.due_at <= (now or datetime.now(UTC)) else found.due_at


def deadlines(*levels: ServiceLevel) -> list[DeadlineAlert]:
    """The deadlines of a DAG whose runs are promised to be done by these service levels."""
    return [
        DeadlineAlert(
            name=f"{level} as promised",
            reference=Promised(level),
            interval=timedelta(0),
            callback=SyncCallback(tell, kwargs={"level": level}),
        )
        for level in levels
    ]


def tell(level: ServiceLevel, context: Mapping[str, Any]) -> None:
    """Airflow calls this when the deadline of a run has passed: mail it, unless the day is there after all.

    The alert is the one that `watch_<level>` leaves, so that it is mailed once, whoever comes first. A mail
    server that is down costs nothing: the mail waits for the next alert.
    """
    from receivables.alert_spool import send_alerts
    from receivables.mail_airflow import alert_transport

    run = context["dag_run"]
    day = _day(run["partition_key"], run["conf"])
    if day is None:
        return
    settings = Settings.load()
    try:
        service_levels.watch(settings, level, day)
    except ServiceLevelMissedError as late:
        log.warning("%s", late)
        try:
            send_alerts(settings, alert_transport(settings))
        except ReceivablesError as error:
            log.error("the alert waits: %s", error)


def _day(partition_key: str | None, conf: Mapping[str, Any] | None) -> date | None:
    """The business day of a run, as `orchestration.business_day` reads it; None where it has none."""
    try:
        return date.fromisoformat(str(partition_key or (conf or {}).get("as_of_date")))
    except ValueError:
        return None
