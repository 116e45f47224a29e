"""The DAGs in a running Airflow of this machine, with a real mail server: one small company.

The tests follow one another: one Airflow, one company.
"""

from __future__ import annotations

import email
import email.policy
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import duckdb
import psutil
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from receivables import demo, local_airflow
from receivables.alerts import open_incidents
from receivables.local_airflow import FINISHED, RunningAirflow
from receivables.publish import candidate_database, current_version
from receivables.settings import Settings
from receivables.transform import ensure_manifest
from tests.conftest import PROJECT

DAY = date(2025, 3, 31)
NEVER_RUN = DAY + timedelta(days=1)
CHAIN = ("ingest_demo_erp", "transform_receivables", "publish_receivables", "alert_receivables")
PATIENCE = 600

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.xdist_group("airflow")]


@dataclass
class Mailbox:
    """Subject and text of each mail that the server took."""

    mails: list[tuple[str, str]] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((str(message["Subject"]), message.get_body(("plain",)).get_content()))
        return "250 OK"

    def about(self, words: str) -> list[str]:
        """The mails that say it in their subject or text: what happens together is one mail."""
        return [text for subject, text in self.mails if words in subject or words in text]


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    """A mail server, to which the connection of the environment leads."""
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=local_airflow.free_port())
    controller.start()
    connection = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": controller.port,
        "extra": {"disable_ssl": True, "disable_tls": True, "timeout": 10},
    }
    with pytest.MonkeyPatch.context() as patch:
        # What other tests set for a DagBag of their own must not reach these processes.
        for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "RECEIVABLES_"))]:
            patch.delenv(name)
        patch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        yield box
    controller.stop()


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("airflow")
    settings = Settings(
        root=PROJECT,
        home=folder / "home",
        sources_dir=folder / "sources",
        config_file=folder / "receivables.yml",
    )
    settings.sources_dir.mkdir()
    shutil.copyfile(PROJECT / "sources" / "demo_erp.yml", settings.sources_dir / "demo_erp.yml")
    # Not due before the tests end: the DAGs that watch ask first about the day before last.
    promise(settings, datetime.now(UTC).replace(hour=23, minute=59))
    demo.create(settings.demo_erp, invoices=900, days=150, start=date(2024, 11, 2))
    ensure_manifest(settings)
    return settings


def promise(settings: Settings, due: datetime) -> None:
    """Both service levels are due at this time of day."""
    text = (PROJECT / "receivables.yml").read_text(encoding="utf-8")
    settings.config_file.write_text(
        f"{text}\nalerts: {{recipients: [{{address: ar@example.com}}]}}\n"
        f'service_levels: {{landed_by: "{due:%H:%M}", published_by: "{due:%H:%M}", timezone: UTC}}\n',
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def airflow(company: Settings, mailbox: Mailbox) -> Iterator[RunningAirflow]:
    with local_airflow.running(company, schedule="none", wait_seconds=300) as started:
        yield started
        family = [
            process
            for component in started.processes.values()
            for process in psutil.Process(component.pid).children(recursive=True)
        ]
        listening = {
            connection.laddr.ip
            for process in (*family, *(psutil.Process(c.pid) for c in started.processes.values()))
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
    assert listening == {"127.0.0.1"}
    assert not [each for each in family if each.is_running() and each.status() != "zombie"]


@dataclass(frozen=True)
class Late:
    """A run whose deadline is still to come, and which has failed before it."""

    day: date
    due: datetime


@pytest.fixture(scope="module")
def late(airflow: RunningAirflow, company: Settings) -> Late:
    """Promise yesterday for the next minute or two, and start a publication of it that cannot be."""
    due = (datetime.now(UTC) + timedelta(seconds=100)).replace(second=0, microsecond=0)
    promise(company, due)
    day = (due - timedelta(days=1)).date()
    airflow.trigger("publish_receivables", day.isoformat())
    return Late(day, due)


def wait_for(
    airflow: RunningAirflow, what: str, ready: Callable[[], bool], seconds: float = PATIENCE
) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert airflow.dead_component() is None
        assert time.monotonic() < deadline, f"{what} took longer than {seconds} s"
        time.sleep(0.5)


def run_of(airflow: RunningAirflow, dag: str, day: date, *, run_id: str = "") -> dict[str, object]:
    """A run of a DAG for a day, when it has ended; the newest, or the one named."""
    found: dict[str, object] = {}

    def ended() -> bool:
        for run in airflow.dag_runs():
            is_it = (run["dag_id"], run["partition_key"]) == (dag, day.isoformat())
            if is_it and run["dag_run_id"].startswith(run_id):
                found.update(run)
        return found.get("state") in FINISHED

    wait_for(airflow, f"{dag} of {day}", ended)
    return found


def state(airflow: RunningAirflow, dag: str, day: date, task: str) -> str:
    run = run_of(airflow, dag, day)
    tasks = airflow.tasks(dag, str(run["dag_run_id"]))
    return next(str(each["state"]) for each in tasks if each["task_id"] == task)


def missed(company: Settings, dag: str, day: date) -> list[tuple[bool, str]]:
    """For each deadline of the runs of a DAG for a day: whether it was missed, and how the callback went."""
    with sqlite3.connect(f"file:{company.airflow_home / 'airflow.db'}?mode=ro", uri=True) as metadata:
        rows = metadata.execute(
            "select deadline.missed, callback.state from deadline"
            " inner join dag_run on dag_run.id = deadline.dagrun_id"
            " inner join callback on callback.id = deadline.callback_id"
            " where dag_run.dag_id = ? and dag_run.partition_key = ?",
            [dag, day.isoformat()],
        ).fetchall()
    return [(bool(is_missed), said) for is_missed, said in rows]


def test_1_a_day_flows_from_the_source_to_the_published_version(
    airflow: RunningAirflow, company: Settings, mailbox: Mailbox, late: Late
) -> None:
    airflow.trigger(CHAIN[0], DAY.isoformat())
    for dag in CHAIN:
        assert run_of(airflow, dag, DAY)["state"] == "success", dag

    version = current_version(company)
    assert version is not None
    assert version.as_of_date == DAY
    assert mailbox.about(f"marts of {DAY}") == []
    assert missed(company, CHAIN[0], DAY) == [], "a day of long ago has no deadline"


def test_2_each_model_is_a_task_with_its_own_sql(airflow: RunningAirflow) -> None:
    run = run_of(airflow, "transform_receivables", DAY)
    tasks = {each["task_id"]: each for each in airflow.tasks(run["dag_id"], str(run["dag_run_id"]))}
    shown = {name: task for name, task in tasks.items() if name.endswith("_run")}

    assert len(shown) > 40
    assert {task["state"] for task in shown.values()} == {"success"}
    assert "select" in tasks["models.ar_dso_run"]["rendered_fields"]["compiled_sql"]


def test_3_a_candidate_that_fails_critically_is_not_published_and_is_mailed(
    airflow: RunningAirflow, company: Settings, mailbox: Mailbox
) -> None:
    before = current_version(company)
    assert before is not None
    damaged = candidate_database(company, DAY, "damaged")
    shutil.copytree(before.path, damaged.parent)
    for each in (damaged.parent, *damaged.parent.iterdir()):
        each.chmod(0o700)
    with duckdb.connect(str(damaged)) as connection:
        connection.execute("delete from marts.ar_open_items where open_amount > 0")

    body = {"logical_date": None, "partition_key": DAY.isoformat(), "conf": {"run": "damaged"}}
    run_id = str(airflow.request("POST", "/dags/publish_receivables/dagRuns", body)["dag_run_id"])
    assert run_of(airflow, "publish_receivables", DAY, run_id=run_id)["state"] == "failed"
    states = {task["task_id"]: task["state"] for task in airflow.tasks("publish_receivables", run_id)}
    assert (states["check_marts"], states["publish"]) == ("failed", "upstream_failed")
    assert current_version(company) == before

    wait_for(airflow, "the mail", lambda: bool(mailbox.about(f"Checks on the marts of {DAY}")), 120)
    [mail] = mailbox.about(f"Checks on the marts of {DAY}")
    assert "publish_receivables.md" in mail
    assert "critical" in mail


def test_4_a_source_that_is_gone_fails_at_once_and_is_mailed(
    airflow: RunningAirflow, company: Settings, mailbox: Mailbox
) -> None:
    hidden = company.demo_erp.with_name("hidden.sqlite")
    company.demo_erp.rename(hidden)
    try:
        airflow.trigger(CHAIN[0], NEVER_RUN.isoformat())
        run = run_of(airflow, CHAIN[0], NEVER_RUN)
    finally:
        hidden.rename(company.demo_erp)
    assert run["state"] == "failed"
    tries = {
        task["try_number"]
        for task in airflow.tasks(CHAIN[0], str(run["dag_run_id"]))
        if task["task_id"] == "extract" and task["state"] == "failed"
    }
    assert tries == {1}, "a missing file does not come back by itself"
    told = f"ingest_demo_erp broke at extract on {NEVER_RUN}"
    wait_for(airflow, "the mail", lambda: bool(mailbox.about(told)), 120)
    assert "erp.sqlite" in mailbox.about(told)[0]


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("landed", f"The data of {NEVER_RUN} was not loaded"),
        ("published", f"The marts of {NEVER_RUN} were not published"),
    ],
)
def test_5_the_promise_of_a_day_is_watched(
    airflow: RunningAirflow, mailbox: Mailbox, level: str, told: str
) -> None:
    dag = f"watch_{level}"
    airflow.trigger(dag, DAY.isoformat())
    assert state(airflow, dag, DAY, "is_on_time") == "success"

    airflow.trigger(dag, NEVER_RUN.isoformat())
    assert state(airflow, dag, NEVER_RUN, "is_on_time") == "failed"
    wait_for(airflow, "the mail", lambda: bool(mailbox.about(told)), 120)


def test_6_a_run_that_misses_its_deadline_yields_one_alert(
    airflow: RunningAirflow, company: Settings, mailbox: Mailbox, late: Late
) -> None:
    assert run_of(airflow, "publish_receivables", late.day)["state"] == "failed"
    patience = max(0.0, (late.due - datetime.now(UTC)).total_seconds()) + 60
    told = f"The marts of {late.day} were not published by {late.due:%H:%M} (UTC)"
    wait_for(airflow, "the deadline", lambda: bool(mailbox.about(told)), patience)
    wait_for(
        airflow,
        "the callback",
        lambda: missed(company, "publish_receivables", late.day) == [(True, "success")],
        60,
    )

    # The DAG that watches the same promise finds the same, and nobody is told twice.
    def alerts() -> int:
        runs = [run for run in airflow.dag_runs() if run["dag_id"] == "alert_receivables"]
        return sum(run["partition_key"] == late.day.isoformat() and run["state"] == "success" for run in runs)

    before = alerts()
    airflow.trigger("watch_published", late.day.isoformat())
    assert run_of(airflow, "watch_published", late.day)["state"] == "failed"
    wait_for(airflow, "the next alert", lambda: alerts() > before, 120)
    assert len(mailbox.about(told)) == 1
    assert open_incidents(company) == []


def test_7_the_pages_of_the_checks_are_for_those_who_are_logged_in(airflow: RunningAirflow) -> None:
    import urllib.error
    import urllib.request

    airflow.request("GET", "/pools?limit=1")
    address = f"{airflow.url}/receivables/checks/index.html"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(address, timeout=30)
    allowed = urllib.request.Request(address, headers={"Authorization": f"Bearer {airflow._token}"})
    with urllib.request.urlopen(allowed, timeout=30) as answer:
        page = answer.read().decode()
    assert str(DAY) in page
