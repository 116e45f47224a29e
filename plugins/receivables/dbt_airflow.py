"""dbt in Airflow: one process builds and tests all models, one task per model shows how that model fared.

Cosmos draws the tasks from dbt's manifest and passes each model's result to its task. Two things differ from
it: a cleared or retried run starts dbt again (Cosmos would skip it), and no task ever starts a dbt of its own
(Cosmos would, for each model, when the one process fails: several writers on a database that takes one).
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_parsing_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from cosmos.airflow.task_group import DbtTaskGroup
from cosmos.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import (
    PRODUCER_WATCHER_DONE_TASK_ID,
    PRODUCER_WATCHER_TASK_ID,
    ExecutionMode,
    InvocationMode,
    LoadMode,
    TestBehavior,
)
from cosmos.operators.local import DbtLocalBaseOperator
from cosmos.operators.watcher import DbtConsumerWatcherSensor, DbtProducerWatcherOperator

from receivables import pipeline
from receivables.company import load_company_config
from receivables.orchestration import working
from receivables.settings import Settings
from receivables.transform import NIGHTLY_EXCLUDES, dbt_environment, ensure_manifest, read_results

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

log = logging.getLogger(__name__)

# What Cosmos decides itself, because it runs dbt in a temporary copy of the project.
_COSMOS_DECIDES = {"DBT_TARGET_PATH", "DBT_LOG_PATH", "DBT_PROJECT_DIR", "DBT_PROFILES_DIR"}


class DbtProcess(DbtProducerWatcherOperator):
    """The one dbt process. Every attempt builds from the start: the models are idempotent."""

    def execute(self, context: Context, **kwargs: Any) -> Any:
        with (
            working(context) as step,
            pipeline.recorded(step.settings, step.run, step.day, "transform"),
        ):
            results = step.settings.dbt_target / "run_results.json"
            results.unlink(missing_ok=True)
            try:
                return DbtLocalBaseOperator.execute(self, context=context, **kwargs)
            except AirflowException as error:
                read_results(results, [str(error)])  # knows which model or test it was, and what to do
                raise

    def _make_parse_callable(self) -> Callable[[str, Any], None]:
        return pass_on


class DbtModel(DbtConsumerWatcherSensor):
    """One model: succeeds or fails as dbt says, as soon as dbt says it."""

    def poke(self, context: Context) -> bool:
        ti = context["ti"]
        is_first_try = ti.try_number == 1
        # A cleared task waits for dbt to end: what the dbt before has left must not be taken for an answer.
        state = None if is_first_try else self._get_producer_task_status(context)
        if not is_first_try and state not in DBT_ENDED:
            return False
        said = ti.xcom_pull(task_ids=self.producer_task_id, key=result_key(self.model_unique_id))
        if said is None:
            state = state or self._get_producer_task_status(context)
            if state in DBT_ENDED - {"success"}:
                raise AirflowFailException(
                    "dbt ended before it reached this model; read the log of the dbt process"
                )
            return state == "success"
        self.compiled_sql = said["compiled_sql"]
        self._override_rtif(context)
        if said["status"] == "skipped":
            raise AirflowFailException("dbt left this model out because one that it builds on has failed")
        if said["status"] == "error":
            raise AirflowFailException(said["message"])
        return True


NODE_ENDED = {"success", "warn", "error", "skipped"}
DBT_ENDED = {"success", "failed", "upstream_failed", "skipped", "removed"}


def result_key(model: str) -> str:
    """The name under which the dbt process passes a model's result to the task that shows it."""
    return f"{model}_result"


def pass_on(line: str, environment: dict[str, Any]) -> None:
    """Write a line of dbt's JSON log into the task's log; pass a model's result to the task that shows it."""
    try:
        event = json.loads(line)
    except ValueError:
        log.info("%s", line)
        return
    info, node = event.get("info", {}), event.get("data", {}).get("node_info", {})
    message = str(info.get("msg", ""))
    if message and info.get("level") != "debug":
        log.log(logging.getLevelNamesMapping().get(info["level"].upper(), logging.INFO), "%s", message)
    is_shown = node.get("resource_type") in {"model", "seed", "snapshot"}
    if not is_shown or node.get("node_status") not in NODE_ENDED:
        return
    compiled = Path(environment["project_dir"]) / "target" / "compiled" / "receivables" / "models"
    sql = compiled / str(node.get("node_path"))
    environment["context"]["ti"].xcom_push(
        key=result_key(node["unique_id"]),
        value={
            "status": node["node_status"],
            "message": message,
            "compiled_sql": sql.read_text(encoding="utf-8") if sql.is_file() else "",
        },
    )


def dbt_models(*, group_id: str, day: str, pool: str, models_pool: str) -> BaseOperator:
    """Draw the tasks; `day` is the template of the business day, `pool` admits one writer.

    Returns the task that succeeds when dbt has: what comes next need not wait for the display.
    """
    settings = Settings.load()
    environment = {
        name: value for name, value in dbt_environment(settings, day).items() if name not in _COSMOS_DECIDES
    }
    group = DbtTaskGroup(
        group_id=group_id,
        project_config=ProjectConfig(
            dbt_project_path=settings.dbt_project,
            manifest_path=_manifest(settings),
            project_name="receivables",
            install_dbt_deps=False,
        ),
        profile_config=ProfileConfig(
            profile_name="receivables",
            target_name="duckdb",
            profiles_yml_filepath=settings.dbt_project / "profiles.yml",
        ),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.WATCHER,
            invocation_mode=InvocationMode.SUBPROCESS,  # passing results on must not hold dbt up
            setup_operator_args={
                "pool": pool,
                "callback": keep_results,
                # Cosmos leaves tests out when it draws no task for them; here they run beside their models.
                "dbt_cmd_flags": ["--resource-type", "test", *NIGHTLY_EXCLUDES],
            },
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.NONE,
            emit_datasets=False,
        ),
        operator_args={
            "vars": load_company_config(settings).variables,
            "env": environment,
            "append_env": True,
            "pool": models_pool,
            "retries": 0,  # dbt has said what it could not build
            "deferrable": False,
            "poke_interval": 1,
        },
    )
    # Cosmos picks its operators by name and has no setting for another class.
    for task in group.children.values():
        if task.task_id == f"{group_id}.{PRODUCER_WATCHER_TASK_ID}":
            task.__class__ = DbtProcess
        elif isinstance(task, DbtConsumerWatcherSensor):
            task.__class__ = DbtModel
    return group.children[f"{group_id}.{PRODUCER_WATCHER_DONE_TASK_ID}"]


def _manifest(settings: Settings) -> Path:
    """The DAG processor follows the dbt project; a task takes what its DAG was drawn from."""
    drawn_from = settings.dbt_manifest
    is_task = get_parsing_context().task_id is not None
    return drawn_from if is_task and drawn_from.exists() else ensure_manifest(settings)


def keep_results(project_dir: str, **_: Any) -> None:
    """Keep what dbt left in Cosmos's temporary copy of the project: the next tasks and people read it."""
    settings = Settings.load()
    target = Path(project_dir) / "target"
    settings.dbt_target.mkdir(parents=True, exist_ok=True)
    for name in ("run_results.json", "manifest.json"):
        if (target / name).exists():
            shutil.copyfile(target / name, settings.dbt_target / f".{name}")
            (settings.dbt_target / f".{name}").replace(settings.dbt_target / name)
    if (target / "compiled").exists():
        shutil.copytree(target / "compiled", settings.dbt_target / "compiled", dirs_exist_ok=True)
