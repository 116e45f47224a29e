"""The record of runs, and the state of an installation as one dictionary."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from receivables import runs
from receivables.alerts import Incident, record_incident
from receivables.checks import CheckReport, CheckResult, record_results
from receivables.settings import Settings
from receivables.warehouse import writing

DAY = date(2024, 3, 29)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(Settings.load(), home=tmp_path)


def failing(run: str, at: int, *, success: bool) -> CheckReport:
    result = CheckResult(
        suite="marts.ar_dso",
        check="dso_is_believable",
        severity="warning",
        success=success,
        sentence="A rule.",
        observed="1 row",
        expected="no row",
        rows_failed=1,
        examples=({"company_id": "A"},),
        note="n",
        owner="controlling",
        checked_at=datetime(2024, 3, at, tzinfo=UTC).replace(tzinfo=None),
    )
    return CheckReport(run, DAY, "marts", None, (result,), Path("index.html"))


def test_a_step_has_one_row_with_its_newest_status(settings: Settings) -> None:
    runs.record_step(settings, "r1", DAY, "transform", "running")
    runs.record_step(settings, "r1", DAY, "transform", "failed", "a model broke")
    with writing(settings.warehouse) as connection:
        runs.record_step(connection, "r1", DAY, "transform", "done")
        rows = connection.execute(
            "select step, status, message, started_at <= finished_at from quality.runs"
        ).fetchall()
    assert rows == [("transform", "done", "", True)]


def test_the_start_of_a_step_stays_its_start(settings: Settings) -> None:
    with writing(settings.warehouse) as connection:
        runs.record_step(connection, "r1", DAY, "transform", "running")
        connection.execute("update quality.runs set started_at = timestamp '2024-03-30 01:00:00'")
        runs.record_step(connection, "r1", DAY, "transform", "done")
        rows = connection.execute("select started_at from quality.runs").fetchall()
    assert str(rows[0][0]) == "2024-03-30 01:00:00"


def test_before_the_first_run_the_status_is_empty(settings: Settings) -> None:
    state = runs.status(settings)
    assert state["published"] is None
    assert state["read_from"] is None
    assert state["runs"] == []
    json.dumps(state)


def test_a_run_is_as_good_as_its_worst_step(settings: Settings) -> None:
    runs.record_step(settings, "r1", DAY, "ingest_erp", "done")
    runs.record_step(settings, "r1", DAY, "check_marts", "failed", "2 critical")
    runs.record_step(settings, "r2", DAY, "publish", "done", version="2024-03-29-r2")
    state = runs.status(settings)
    assert [(run["run"], run["status"], run["failed_step"], run["message"]) for run in state["runs"]] == [
        ("r2", "done", "", ""),
        ("r1", "failed", "check_marts", "2 critical"),
    ]
    assert state["runs"][0]["version"] == "2024-03-29-r2"
    json.dumps(state)


def test_failing_checks_are_those_of_the_newest_run_of_their_suite(settings: Settings) -> None:
    with writing(settings.warehouse) as connection:
        record_results(connection, failing("r1", 28, success=False))
        record_results(connection, failing("r2", 29, success=True))
    assert runs.status(settings)["failing_checks"] == []
    with writing(settings.warehouse) as connection:
        record_results(connection, failing("r3", 30, success=False))
    (found,) = runs.status(settings)["failing_checks"]
    assert (found["run"], found["check"], found["examples"]) == (
        "r3",
        "dso_is_believable",
        [{"company_id": "A"}],
    )


def test_watermarks_quarantine_and_incidents_are_shown(settings: Settings) -> None:
    with writing(settings.warehouse) as connection:
        for day, mark in ((28, "2024-03-28 20:00:00"), (29, "2024-03-29 20:00:00")):
            connection.execute(
                "insert into quality.loads (source, entity, run, load_id, as_of_date, watermark, finished_at)"
                " values ('erp', 'invoices', ?, ?, ?, ?, ?)",
                [f"r{day}", f"l{day}", date(2024, 3, day), mark, f"2024-03-{day} 23:00:00"],
            )
        connection.execute(
            "insert into quality.quarantined_rows (source, entity, reason, is_resolved) values"
            " ('erp', 'invoices', 'amount: ''Ms Wang'' is not a number', false),"
            " ('erp', 'invoices', 'amount: ''Mr Li'' is not a number', null),"
            " ('erp', 'invoices', 'no date', true)"
        )
    record_incident(
        settings,
        Incident(kind="run_failed", dag="ingest_erp", task="load", run="r29", day=DAY, title="it broke"),
    )
    state = runs.status(settings)
    assert [(mark["entity"], mark["watermark"]) for mark in state["watermarks"]] == [
        ("invoices", "2024-03-29 20:00:00")
    ]
    assert [(rows["reason"], rows["rows"]) for rows in state["quarantine"]] == [
        ("amount: '…' is not a number", 2)
    ]
    assert [incident["title"] for incident in state["incidents"]] == ["it broke"]
    assert state["unsent_mails"] == []
    json.dumps(state)


def test_while_a_run_holds_the_warehouse_the_published_record_is_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = settings.published / "versions" / "2024-03-28-r0"
    version.mkdir(parents=True)
    facts = {"as_of_date": "2024-03-28", "run": "r0", "published_at": "2024-03-28T22:00:00+00:00"}
    (version / "manifest.json").write_text(json.dumps(facts))
    (settings.published / "current").symlink_to(version)
    with writing(settings.published_database) as connection:
        runs.record_step(connection, "r0", date(2024, 3, 28), "publish", "done")
    settings.warehouse.parent.mkdir(parents=True)
    settings.warehouse.write_bytes(b"")

    real = duckdb.connect

    def locked(path: str, **options: object) -> duckdb.DuckDBPyConnection:
        if Path(path) == settings.warehouse:
            raise duckdb.IOException("Could not set lock on file")
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("receivables.warehouse.duckdb.connect", locked)
    state = runs.status(settings)
    assert state["read_from"] == str(settings.published_database)
    assert [run["run"] for run in state["runs"]] == ["r0"]
    assert state["published"]["version"] == "2024-03-28-r0"
