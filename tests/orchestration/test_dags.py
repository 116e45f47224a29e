"""The DAG files as Airflow sees them."""

from __future__ import annotations

import ast
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.orchestration.conftest import Parse

FILES = sorted((PROJECT / "dags").glob("*.py"))
FIXED = {"transform_receivables", "publish_receivables", "alert_receivables"}
WRITERS = {
    "load",
    "check_raw",
    "models.dbt_producer_watcher",
    "build_candidate",
    "check_marts",
    "publish",
}


def test_dags_import_without_a_warehouse_and_without_sources(parse: Parse) -> None:
    assert set(parse()) == FIXED


def test_each_promise_is_a_dag_that_asks_when_it_is_due(parse: Parse, tmp_path: Path) -> None:
    config = tmp_path / "receivables.yml"
    promised = 'service_levels: {landed_by: "04:00", published_by: "06:30", timezone: Europe/Berlin}\n'
    config.write_text((PROJECT / "receivables.yml").read_text(encoding="utf-8") + promised, encoding="utf-8")
    dags = parse(RECEIVABLES_CONFIG=str(config))
    assert set(dags) == FIXED | {"watch_landed", "watch_published"}
    assert "expression='30 6 * * *', timezone='Europe/Berlin'" in repr(dags["watch_published"].timetable)
    assert [task.task_id for task in dags["watch_landed"].tasks] == ["is_on_time", "report_failure", "done"]


def test_each_source_file_is_a_dag(parse: Parse) -> None:
    assert set(parse("erp", "bank")) == FIXED | {"ingest_erp", "ingest_bank"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_dag_file_says_when_and_nothing_else(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    imported = {
        name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }

    assert len(text.splitlines()) < 60
    assert imported <= {"__future__", "airflow.sdk", "receivables"}, "anything heavy waits for its task"
    assert "select " not in text.lower().replace("selected", "")
    assert not file.name.startswith("dbt_")


def test_every_dag_explains_itself_and_has_a_runbook(parse: Parse) -> None:
    for dag in parse("erp").values():
        for word in ("**Starts**", "**Steps:**", "**Stops**", "**Again:**", "Runbook:"):
            assert word in (dag.doc_md or ""), (dag.dag_id, word)
        runbook = (dag.doc_md or "").split("Runbook:")[1].split()[0]
        assert (PROJECT / runbook).is_file(), runbook


def test_days_follow_one_another(parse: Parse) -> None:
    for dag in parse("erp").values():
        assert dag.max_active_runs == 1, dag.dag_id
        assert dag.catchup is False, dag.dag_id
        assert dag.dagrun_timeout is not None, dag.dag_id


def test_one_task_at_a_time_writes_to_the_warehouse(parse: Parse) -> None:
    tasks = {task.task_id: task for dag in parse("erp").values() for task in dag.tasks}
    in_pool = {name for name, task in tasks.items() if task.pool == "warehouse"}

    assert in_pool == WRITERS
    pools = json.loads((PROJECT / "plugins/receivables/pools.json").read_text())
    assert pools["warehouse"]["slots"] == 1


def test_every_task_has_a_timeout_and_tells_of_its_failure(parse: Parse) -> None:
    for dag in parse("erp").values():
        for task in dag.tasks:
            assert task.execution_timeout is not None, task.task_id
            if dag.dag_id != "alert_receivables" and not task.task_id.endswith(("done", "report_failure")):
                assert task.on_failure_callback, task.task_id


def test_only_a_check_announces(parse: Parse) -> None:
    announcing = {
        task.task_id: [asset.name for asset in task.outlets]
        for dag in parse("erp").values()
        for task in dag.tasks
        if task.outlets
    }
    assert announcing == {
        "check_raw": ["receivables_raw_erp"],
        "check_candidate": ["receivables_candidate"],
        "check_published": ["receivables_published"],
        "report_failure": ["receivables_incidents"],
    }


def test_one_task_per_model_and_one_dbt_process(parse: Parse) -> None:
    dag = parse("erp")["transform_receivables"]
    manifest = json.loads(Path(dag_manifest()).read_text())
    models = {
        node["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] in {"model", "seed", "snapshot"}
        and node["config"]["materialized"] != "ephemeral"
    }
    shown = {
        task.task_id.removeprefix("models.").removesuffix("_run")
        for task in dag.tasks
        if type(task).__name__ == "DbtModel"
    }

    assert shown == models
    assert [t.task_id for t in dag.tasks if type(t).__name__ == "DbtProcess"] == [
        "models.dbt_producer_watcher"
    ]


def dag_manifest() -> str:
    from receivables.settings import Settings

    return str(Settings.load().dbt_manifest)


def test_a_waiting_model_never_starts_a_second_dbt(parse: Parse) -> None:
    dag = parse("erp")["transform_receivables"]
    for task in dag.tasks:
        if type(task).__name__ == "DbtModel":
            assert task.retries == 0
            assert task.pool == "dbt_models"
            assert task.mode == "poke"
            assert not task.deferrable


def test_the_dbt_process_runs_the_tests_but_no_unit_tests(parse: Parse) -> None:
    dbt = parse("erp")["transform_receivables"].get_task("models.dbt_producer_watcher")
    flags = " ".join(dbt.dbt_cmd_flags)
    assert "--resource-type test" in flags
    assert "--exclude-resource-type unit_test" in flags
    assert dbt.env["DBT_ENV_CUSTOM_ENV_AS_OF_DATE"] == "{{ business_day(dag_run).isoformat() }}"


def test_the_waiting_models_leave_room_for_those_that_work() -> None:
    from receivables.local_airflow import environment
    from receivables.settings import Settings

    pools = json.loads((PROJECT / "plugins/receivables/pools.json").read_text())
    parallel = int(environment(Settings.load(), port=1)["AIRFLOW__CORE__PARALLELISM"])
    assert pools["dbt_models"]["slots"] < parallel - 1


def test_publication_does_not_wait_for_the_tasks_that_only_show_a_model(parse: Parse) -> None:
    candidate = parse("erp")["transform_receivables"].get_task("build_candidate")
    assert candidate.upstream_task_ids == {"models.dbt_producer_watcher_done"}


def test_after_a_failure_the_alert_dag_is_started_and_the_run_is_failed(parse: Parse) -> None:
    for name, dag in parse("erp").items():
        if name == "alert_receivables":
            continue
        report, done = dag.get_task("report_failure"), dag.get_task("done")
        assert report.trigger_rule == "one_failed"
        assert not report.downstream_task_ids
        assert not done.downstream_task_ids
        assert done.trigger_rule == "all_success", (
            "a last task that did not succeed makes the run a failed one"
        )


def core_timetable(dag: object) -> object:
    from airflow.serialization.encoders import coerce_to_core_timetable

    return coerce_to_core_timetable(dag.timetable)  # type: ignore[attr-defined]


def test_a_night_run_works_on_the_day_that_has_ended(parse: Parse) -> None:
    from airflow.timetables.base import TimeRestriction

    dag = parse("erp", RECEIVABLES_TIMEZONE="Asia/Shanghai")["ingest_erp"]
    info = core_timetable(dag).next_dagrun_info_v2(  # type: ignore[attr-defined]
        last_dagrun_info=None,
        restriction=TimeRestriction(
            earliest=datetime(2026, 3, 31, 12, tzinfo=UTC), latest=None, catchup=True
        ),
    )
    # 1:30 on 1 April in Shanghai.
    assert info.run_after == datetime(2026, 3, 31, 17, 30, tzinfo=UTC)
    assert info.partition_key == "2026-03-31"


def test_a_backfill_from_the_command_line_gets_one_run_per_day(parse: Parse) -> None:
    timetable = core_timetable(parse("erp")["ingest_erp"])
    days = timetable.iter_partition_dagrun_infos(  # type: ignore[attr-defined]
        earliest=datetime(2026, 2, 27, tzinfo=UTC), latest=datetime(2026, 3, 2, 23, tzinfo=UTC)
    )
    assert [day.partition_key for day in days] == ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]


def test_a_machine_without_a_schedule_runs_only_by_hand(parse: Parse) -> None:
    dag = parse("erp", RECEIVABLES_SCHEDULE="none")["ingest_erp"]
    assert dag.timetable.can_be_scheduled is False


def test_a_day_is_transformed_when_every_source_has_it(parse: Parse) -> None:
    dag = parse("erp", "bank")["transform_receivables"]
    condition = core_timetable(dag).asset_condition  # type: ignore[attr-defined]
    assert type(condition).__name__ == "SerializedAssetAll"
    assert {key.name for key, _ in condition.iter_assets()} == {"receivables_raw_erp", "receivables_raw_bank"}


def test_every_dag_can_be_stored_in_the_metadata(parse: Parse) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in parse("erp").values():
        assert DagSerialization.to_dict(dag)["dag"]["dag_id"] == dag.dag_id
