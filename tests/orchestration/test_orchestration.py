"""The business day, retries, announcements and incidents of a task."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowFailException

from receivables import orchestration as flow
from receivables.acceptance import record_acceptances
from receivables.alerts import open_incidents
from receivables.checks import CheckReport, CheckResult, write_results
from receivables.errors import CheckFailedError, ConfigError, PermanentError, TransientError
from receivables.service_levels import ServiceLevelMissedError
from receivables.settings import Settings

DAY = date(2026, 3, 31)


def dag_run(key: str | None = "2026-03-31", conf: dict[str, Any] | None = None) -> Any:
    return SimpleNamespace(
        run_id="manual__2026-04-01T01:30:00+00:00",
        partition_key=key,
        conf=conf,
        run_after=datetime(2026, 4, 1, tzinfo=UTC),
    )


def context(run: Any = None, *, task_id: str = "load", pool: str = "warehouse", **more: Any) -> Any:
    ti = SimpleNamespace(dag_id="ingest_erp", task_id=task_id, log_url="http://127.0.0.1/log", try_number=1)
    return {
        "dag_run": run or dag_run(),
        "ti": ti,
        "task": SimpleNamespace(pool=pool),
        "triggering_asset_events": {},
        **more,
    }


@pytest.fixture
def settings(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECEIVABLES_HOME", str(home.home))
    monkeypatch.setenv("RECEIVABLES_SOURCES", str(home.sources_dir))
    monkeypatch.setenv("RECEIVABLES_CONFIG", str(home.config_file))
    return home


def test_the_business_day_is_the_partition_key() -> None:
    assert flow.business_day(dag_run("2026-03-31", {"as_of_date": "2020-01-01"})) == DAY


def test_the_business_day_may_stand_in_the_conf() -> None:
    assert flow.business_day(dag_run(None, {"as_of_date": "2026-03-31"})) == DAY


@pytest.mark.parametrize("run", [dag_run(None), dag_run(None, {}), dag_run("today"), dag_run("2026-02-30")])
def test_a_run_without_a_business_day_says_both_ways_to_give_one(run: Any) -> None:
    with pytest.raises(flow.UnknownBusinessDayError) as error:
        flow.business_day(run)
    assert "partition key (2026-03-31)" in str(error.value)
    assert '{"as_of_date": "2026-03-31"}' in str(error.value)


def test_a_run_id_becomes_part_of_a_path() -> None:
    assert flow.safe_run("manual__2026-04-01T01:30:00.5+00:00") == "manual__2026-04-01T01-30-00.5-00-00"
    assert "/" not in flow.safe_run("../../etc/passwd")


def test_a_retry_is_left_to_what_may_pass_by_itself(settings: Settings) -> None:
    down = TransientError("erp", cause="is down", next_step="wait")
    with pytest.raises(TransientError), flow.working(context()):
        raise down

    decision = flow.RETRIES.evaluate(down, try_number=1, max_tries=3)
    assert decision.action is RetryAction.RETRY


@pytest.mark.parametrize("kind", [PermanentError, ConfigError, CheckFailedError])
def test_what_a_retry_cannot_help_fails_at_once(settings: Settings, kind: type[PermanentError]) -> None:
    said = r"erp: has no such table\. Next: name another"
    with pytest.raises(AirflowFailException, match=said) as error, flow.working(context()):
        raise kind("erp", cause="has no such table", next_step="name another")
    assert isinstance(error.value.__cause__, kind)


def test_a_bug_is_not_tried_again() -> None:
    decision = flow.RETRIES.evaluate(KeyError("x"), try_number=1, max_tries=3)
    assert decision.action is RetryAction.FAIL


class _Event:
    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.keys: list[str] = []

    def add_partitions(self, key: str) -> None:
        self.keys.append(key)


def test_an_announcement_names_the_run_and_keeps_the_key_of_its_run() -> None:
    event = _Event()
    flow.announce(context(outlet_events={flow.CANDIDATE: event}), flow.CANDIDATE, "r1")
    assert (event.extra, event.keys) == ({"run": "r1"}, [])


def test_a_run_that_was_started_with_a_conf_announces_its_day() -> None:
    event = _Event()
    run = dag_run(None, {"as_of_date": "2026-03-31"})
    flow.announce(context(run, outlet_events={flow.CANDIDATE: event}), flow.CANDIDATE, "r1")
    assert event.keys == ["2026-03-31"]


def test_the_announced_candidate_is_published_unless_another_is_named(settings: Settings) -> None:
    step = flow.Step(settings, DAY, "publishing")
    events = {flow.CANDIDATE: [SimpleNamespace(extra={"run": "r1"})]}
    assert flow.candidate_run(context(triggering_asset_events=events), step) == "r1"

    named = dag_run("2026-03-31", {"run": "r7"})
    assert flow.candidate_run(context(named, triggering_asset_events=events), step) == "r7"

    with pytest.raises(PermanentError, match="there is none"):
        flow.candidate_run(context(), step)


def report(severity: str, *, success: bool = False) -> CheckReport:
    result = CheckResult(
        suite="raw.erp.invoices",
        check="amounts_are_known",
        severity=severity,  # type: ignore[arg-type]
        success=success,
        sentence="Every invoice has an amount.",
        observed="1 row",
        expected="no row",
        rows_failed=1,
        examples=({"invoice_id": "I1"},),
        note="",
        owner="ar",
        checked_at=datetime(2026, 4, 1, tzinfo=UTC),
    )
    return CheckReport(
        run="r1", day=DAY, stage="raw", source="erp", results=(result,), data_docs=Path("/docs/index.html")
    )


def test_a_critical_check_stops_the_run_and_leaves_an_incident_with_its_rows(settings: Settings) -> None:
    with pytest.raises(CheckFailedError):
        flow.decide(report("critical"), context(task_id="check_raw"))
    [incident] = open_incidents(settings)
    assert incident.failed_checks[0].examples == ({"invoice_id": "I1"},)


def test_a_warning_stops_nothing_and_is_told(settings: Settings) -> None:
    flow.decide(report("warning"), context(task_id="check_raw"))
    assert [incident.severity for incident in open_incidents(settings)] == ["warning"]


def test_a_check_that_passes_is_not_told(settings: Settings) -> None:
    flow.decide(report("critical", success=True), context(task_id="check_raw"))
    assert open_incidents(settings) == []


def test_a_broken_task_leaves_an_incident_without_its_secrets(settings: Settings) -> None:
    broken = AirflowFailException("…")
    broken.__cause__ = PermanentError(
        "source erp", cause="postgresql://u:geheim@host refused", next_step="look at the server"
    )
    flow.record_failure(context(exception=broken))
    [incident] = open_incidents(settings)
    assert (incident.dag, incident.source, incident.day) == ("ingest_erp", "erp", DAY)
    assert "geheim" not in incident.model_dump_json()
    assert incident.runbook.endswith("docs/runbooks/ingest.md")


def test_a_killed_task_leaves_an_incident_too(settings: Settings) -> None:
    flow.record_failure(context())
    assert "killed" in open_incidents(settings)[0].error


def test_a_run_without_a_day_leaves_an_incident_too(settings: Settings) -> None:
    flow.record_failure(context(dag_run("someday")))
    assert len(open_incidents(settings)) == 1


def test_a_failed_check_is_told_once_and_a_waiting_model_tells_nothing(settings: Settings) -> None:
    failed = AirflowFailException("…")
    failed.__cause__ = CheckFailedError("checks", cause="1 failed", next_step="look")
    flow.record_failure(context(task_id="check_raw", exception=failed))
    flow.record_failure(context(task_id="models.stg_invoices_run", pool=flow.MODELS_POOL, exception=failed))
    assert open_incidents(settings) == []


def test_a_failed_dbt_test_is_told_by_the_dbt_process(settings: Settings) -> None:
    failed = AirflowFailException("…")
    failed.__cause__ = CheckFailedError("2 dbt test(s)", cause="unique_x (3 rows)", next_step="look")
    flow.record_failure(context(task_id="models.dbt_producer_watcher", exception=failed))
    assert "unique_x (3 rows)" in open_incidents(settings)[0].error


class _Said:
    """Where dbt's results are passed on: a dict instead of Airflow's XCom."""

    def __init__(self, try_number: int = 1) -> None:
        self.said: dict[str, Any] = {}
        self.try_number = try_number

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.said[key] = value

    def xcom_pull(self, *, task_ids: str, key: str, **_: Any) -> Any:
        return self.said.get(key)


def line(model: str, status: str, *, kind: str = "model", message: str = "said") -> str:
    node = {
        "resource_type": kind,
        "unique_id": f"{kind}.receivables.{model}",
        "node_status": status,
        "node_path": f"marts/{model}.sql",
    }
    return json.dumps({"info": {"name": "x", "level": "info", "msg": message}, "data": {"node_info": node}})


def test_a_models_result_and_sql_are_passed_to_its_task(tmp_path: Path) -> None:
    from receivables.dbt_airflow import pass_on, result_key

    sql = tmp_path / "target" / "compiled" / "receivables" / "models" / "marts" / "ar_dso.sql"
    sql.parent.mkdir(parents=True)
    sql.write_text("select 1")
    ti = _Said()
    environment = {"project_dir": str(tmp_path), "context": {"ti": ti}}

    for said in (
        "not json",
        line("ar_dso", "started"),
        line("ar_dso", "success"),
        line("unique_x", "pass", kind="test"),
    ):
        pass_on(said, environment)

    assert ti.said == {
        result_key("model.receivables.ar_dso"): {
            "status": "success",
            "message": "said",
            "compiled_sql": "select 1",
        }
    }


@pytest.mark.parametrize(
    ("status", "state", "try_number", "expected"),
    [
        ("success", "running", 1, True),
        (None, "running", 1, False),
        (None, "success", 1, True),
        (None, "failed", 1, "dbt ended before it reached this model"),
        ("error", "running", 1, "the model's own words"),
        ("skipped", "running", 1, "one that it builds on has failed"),
        # Cleared: the result of the dbt run before is still there while the new one runs.
        ("error", "running", 2, False),
        ("error", None, 2, False),
        ("success", "success", 2, True),
    ],
)
def test_a_models_task_says_what_dbt_says(
    monkeypatch: pytest.MonkeyPatch,
    status: str | None,
    state: str | None,
    try_number: int,
    expected: bool | str,
) -> None:
    from receivables.dbt_airflow import DbtModel, result_key

    ti = _Said(try_number)
    if status:
        value = {"status": status, "message": "the model's own words", "compiled_sql": ""}
        ti.said[result_key("model.receivables.ar_dso")] = value
    model = DbtModel.__new__(DbtModel)
    object.__setattr__(model, "model_unique_id", "model.receivables.ar_dso")
    object.__setattr__(model, "producer_task_id", "models.dbt_producer_watcher")
    object.__setattr__(model, "_lock_for_execution", True)  # as during a run: an operator that was set up
    monkeypatch.setattr(DbtModel, "_get_producer_task_status", lambda *_: state)
    monkeypatch.setattr(DbtModel, "_override_rtif", lambda *_: None)

    if isinstance(expected, str):
        with pytest.raises(AirflowFailException, match=expected):
            model.poke({"ti": ti})
    else:
        assert model.poke({"ti": ti}) is expected


def test_a_settings_file_that_cannot_be_read_promises_nothing(settings: Settings) -> None:
    settings.config_file.write_text("companies: [", encoding="utf-8")
    assert flow.promises() == {}


def test_a_late_day_leaves_one_incident(settings: Settings) -> None:
    late = ServiceLevelMissedError("business day 2026-03-31", cause="was not published", next_step="look")
    flow.record_failure(context(task_id="is_on_time", pool="default_pool", exception=late))
    assert open_incidents(settings) == []


def test_a_failed_check_that_somebody_accepted_stops_the_run_no_more(settings: Settings) -> None:
    failed = report("critical")
    write_results(settings.warehouse, failed)
    record_acceptances(settings, DAY, failed.run, ["amounts_are_known"], by="Wang Li", reason="known")

    flow.decide(failed, context(task_id="check_raw"))

    [incident] = open_incidents(settings)
    assert incident.severity == "warning"
    assert incident.failed_checks[0].accepted_by == "Wang Li"


def test_a_check_that_succeeds_again_is_told_as_mended(settings: Settings) -> None:
    with pytest.raises(CheckFailedError):
        flow.decide(report("critical"), context(task_id="check_raw"))
    flow.decide(report("critical", success=True), context(task_id="check_raw"))
    assert [incident.kind for incident in open_incidents(settings)] == ["check_failed", "recovered"]
