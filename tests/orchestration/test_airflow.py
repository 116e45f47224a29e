"""The DAGs in a running Airflow on this machine (scheduler, API server, DAG processor): a small company."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import psutil
import pytest

from receivables import demo, local_airflow
from receivables.alerts import open_incidents
from receivables.local_airflow import FINISHED, RunningAirflow
from receivables.publish import PUBLIC, current_version, stored_versions
from receivables.settings import Settings
from tests.conftest import PROJECT

DAY = date(2025, 3, 31)
NEXT = DAY + timedelta(days=1)
PATIENCE = 900

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.xdist_group("airflow")]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("airflow")
    settings = Settings(
        root=PROJECT,
        home=folder / "home",
        sources_dir=folder / "sources",
        config_file=PROJECT / "receivables.yml",
    )
    settings.sources_dir.mkdir()
    shutil.copyfile(PROJECT / "sources" / "demo_erp.yml", settings.sources_dir / "demo_erp.yml")
    demo.create(settings.demo_erp, invoices=900, days=150, start=date(2024, 11, 2))
    return settings


@pytest.fixture(scope="module")
def airflow(company: Settings) -> Iterator[RunningAirflow]:
    with pytest.MonkeyPatch.context() as patch:
        # What other tests set for a DagBag of their own must not reach these processes.
        for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "RECEIVABLES_"))]:
            patch.delenv(name)
        with local_airflow.running(company, schedule="none", wait_seconds=300) as started:
            yield started
            family = [
                p for c in started.processes.values() for p in psutil.Process(c.pid).children(recursive=True)
            ]
        assert not [p for p in family if p.is_running() and p.status() != "zombie"], "nothing is left behind"


def run_of(airflow: RunningAirflow, dag: str, day: date, after: set[str]) -> dict[str, object] | None:
    for run in airflow.dag_runs():
        if (run["dag_id"], run["partition_key"]) == (dag, day.isoformat()) and run["dag_run_id"] not in after:
            return dict(run)
    return None


def wait_for(airflow: RunningAirflow, dag: str, day: date, after: set[str]) -> dict[str, object]:
    """The new run of a DAG for a day, when it has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        run = run_of(airflow, dag, day, after)
        if run and run["state"] in FINISHED:
            return run
        assert airflow.dead_component() is None
        time.sleep(2)
    pytest.fail(f"{dag} of {day} did not end in {PATIENCE} s")


def known_runs(airflow: RunningAirflow) -> set[str]:
    return {str(run["dag_run_id"]) for run in airflow.dag_runs()}


def run_chain(airflow: RunningAirflow, day: date) -> dict[str, str]:
    """Trigger the first DAG of a day; return the state in which each DAG of the chain ended."""
    before = known_runs(airflow)
    airflow.trigger("ingest_demo_erp", day.isoformat())
    chain = ("ingest_demo_erp", "transform_receivables", "publish_receivables", "alert_receivables")
    return {dag: str(wait_for(airflow, dag, day, before)["state"]) for dag in chain}


def marts(folder: Path) -> dict[str, object]:
    tables = json.loads((folder / "manifest.json").read_text())["files"][PUBLIC]["tables"]
    return {name: facts for name, facts in tables.items() if name.startswith("marts.")}


ALL_WELL = dict.fromkeys(
    ("ingest_demo_erp", "transform_receivables", "publish_receivables", "alert_receivables"), "success"
)


def test_1_a_day_flows_from_the_source_to_the_published_version(
    airflow: RunningAirflow, company: Settings
) -> None:
    assert run_chain(airflow, DAY) == ALL_WELL

    version = current_version(company)
    assert version is not None
    assert version.as_of_date == DAY


def test_2_each_model_is_a_task_with_its_own_sql(airflow: RunningAirflow) -> None:
    run = run_of(airflow, "transform_receivables", DAY, set())
    assert run is not None
    tasks = {t["task_id"]: t for t in airflow.tasks("transform_receivables", str(run["dag_run_id"]))}
    shown = {name: task for name, task in tasks.items() if name.endswith("_run")}

    assert len(shown) > 40
    assert {task["state"] for task in shown.values()} == {"success"}
    assert "select" in tasks["models.ar_dso_run"]["rendered_fields"]["compiled_sql"]


def test_3_the_next_day_follows(airflow: RunningAirflow, company: Settings) -> None:
    demo.advance(company.demo_erp, NEXT)
    assert run_chain(airflow, NEXT) == ALL_WELL
    version = current_version(company)
    assert version is not None
    assert version.as_of_date == NEXT


def test_4_a_past_day_again_gives_its_numbers_and_does_not_become_current(
    airflow: RunningAirflow, company: Settings
) -> None:
    first = next(version for version in stored_versions(company) if version.as_of_date == DAY)

    assert run_chain(airflow, DAY) == ALL_WELL

    again = stored_versions(company)[0]
    assert again.as_of_date == DAY
    assert again.run != first.run
    assert marts(again.path) == marts(first.path)
    current = current_version(company)
    assert current is not None
    assert current.as_of_date == NEXT


def test_5_a_run_with_a_day_in_its_conf_flows_too(airflow: RunningAirflow, company: Settings) -> None:
    before = known_runs(airflow)
    airflow.request(
        "POST",
        "/dags/ingest_demo_erp/dagRuns",
        {"logical_date": None, "conf": {"as_of_date": NEXT.isoformat()}},
    )
    assert wait_for(airflow, "publish_receivables", NEXT, before)["state"] == "success"


def test_6_a_source_that_is_gone_fails_at_once_is_mailed_and_changes_nothing(
    airflow: RunningAirflow, company: Settings
) -> None:
    before, version = known_runs(airflow), current_version(company)
    hidden = company.demo_erp.with_name("hidden.sqlite")
    company.demo_erp.rename(hidden)
    try:
        airflow.trigger("ingest_demo_erp", NEXT.isoformat())
        run = wait_for(airflow, "ingest_demo_erp", NEXT, before)
        assert run["state"] == "failed"
        extracts = [
            task
            for task in airflow.tasks("ingest_demo_erp", str(run["dag_run_id"]))
            if task["task_id"] == "extract" and task["state"] == "failed"
        ]
        assert extracts
        assert {task["try_number"] for task in extracts} == {1}, "a missing file does not come back by itself"
        assert wait_for(airflow, "alert_receivables", NEXT, before)["state"] == "success"
    finally:
        hidden.rename(company.demo_erp)

    assert current_version(company) == version
    assert open_incidents(company) == []
    mail = max(company.outbox.glob("*.html"), key=lambda path: path.stat().st_mtime).read_text()
    assert "ingest_demo_erp" in mail
    assert "erp.sqlite" in mail


def test_7_clearing_the_failed_run_mends_it(airflow: RunningAirflow) -> None:
    run = max(
        (r for r in airflow.dag_runs() if r["dag_id"] == "ingest_demo_erp" and r["state"] == "failed"),
        key=lambda r: r["run_after"],
    )
    path = f"/dags/ingest_demo_erp/dagRuns/{run['dag_run_id']}".replace("+", "%2B").replace(":", "%3A")
    before = known_runs(airflow)
    airflow.request("POST", f"{path}/clear", {"dry_run": False, "only_failed": False})

    deadline = time.monotonic() + PATIENCE
    while (state := airflow.request("GET", path)["state"]) not in FINISHED and time.monotonic() < deadline:
        time.sleep(2)
    assert state == "success"
    assert wait_for(airflow, "transform_receivables", NEXT, before)["state"] == "success"


def test_8_clearing_a_transformation_starts_dbt_again(airflow: RunningAirflow) -> None:
    run = max(
        (r for r in airflow.dag_runs() if r["dag_id"] == "transform_receivables"),
        key=lambda r: r["run_after"],
    )
    path = f"/dags/transform_receivables/dagRuns/{run['dag_run_id']}".replace("+", "%2B").replace(":", "%3A")
    airflow.request("POST", f"{path}/clear", {"dry_run": False, "only_failed": False})

    time.sleep(3)
    deadline = time.monotonic() + PATIENCE
    while (state := airflow.request("GET", path)["state"]) not in FINISHED and time.monotonic() < deadline:
        time.sleep(2)
    tasks = {t["task_id"]: t for t in airflow.tasks("transform_receivables", str(run["dag_run_id"]))}
    assert state == "success"
    assert tasks["models.dbt_producer_watcher"]["state"] == "success", "Cosmos alone would skip it"
    assert tasks["models.ar_dso_run"]["state"] == "success"
