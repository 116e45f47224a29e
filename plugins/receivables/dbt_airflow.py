"""dbt in Airflow: one process builds and tests all models, one task per model shows how that model fared.

Cosmos draws the tasks from dbt's manifest and passes each model's result to its task. Two things differ from
it: a cleared or retried run starts dbt again (Cosmos would skip it), and no task ever starts a dbt of its own
(Cosmos would, for each model, when the one process fails: several writers on a database that takes one).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_parsing_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from cosmos.airflow.task_group import DbtTaskGroup
from cosmos.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import (
    PRODUCER_WATCHER_TASK_ID,
    ExecutionMode,
    InvocationMode,
    LoadMode,
    TestBehavior,
)
from cosmos.operators._watcher.state import is_dbt_node_status_skipped, is_dbt_node_status_success
from cosmos.operators.local import DbtLocalBaseOperator
from cosmos.operators.watcher import DbtConsumerWatcherSensor, DbtProducerWatcherOperator

from receivables.company import load_company_config
from receivables.settings import Settings
from receivables.transform import NIGHTLY_EXCLUDES, dbt_environment, ensure_manifest

if TYPE_CHECKING:
    from airflow.sdk import Context

# What Cosmos decides itself, because it runs dbt in a temporary copy of the project.
_COSMOS_DECIDES = {"DBT_TARGET_PATH", "DBT_LOG_PATH", "DBT_PROJECT_DIR", "DBT_PROFILES_DIR"}


class DbtProcess(DbtProducerWatcherOperator):
    """The one dbt process. Every attempt builds from the start: the models are idempotent."""

    def execute(self, context: Context, **kwargs: Any) -> Any:
        self._dataset_namespace = None
        self._upstream_failure_skipped_ids.clear()
        self.test_results_per_model.clear()
        return DbtLocalBaseOperator.execute(self, context=context, **kwargs)


class DbtModel(DbtConsumerWatcherSensor):
    """One model: succeeds, fails or is skipped as dbt says, as soon as dbt says it."""

    def poke(self, context: Context) -> bool:
        ti = context["ti"]
        state = self._get_producer_task_status(context)
        if ti.try_number > 1 and state not in {"success", "failed"}:
            return False  # cleared: what the earlier dbt process has left must not be taken for an answer
        status = self._get_node_status(ti, context)
        if status is None:
            if state in {"failed", "upstream_failed", "skipped", "removed"}:
                raise AirflowFailException(
                    "dbt ended before it reached this model; read the log of the dbt process"
                )
            return state == "success"
        self._cache_compiled_sql(ti, context)
        if is_dbt_node_status_skipped(status):
            raise AirflowSkipException("dbt has skipped this model")
        if not is_dbt_node_status_success(status):
            raise AirflowFailException(f"dbt: {status}; read the log of the dbt process")
        return True


def dbt_models(*, group_id: str, day: str, pool: str, models_pool: str) -> DbtTaskGroup:
    """Draw the tasks; `day` is the template of the business day, `pool` admits one writer."""
    settings = Settings.load()
    environment = {
        name: value for name, value in dbt_environment(settings).items() if name not in _COSMOS_DECIDES
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
            invocation_mode=InvocationMode.DBT_RUNNER,
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
            "vars": {"as_of_date": day, **load_company_config(settings).variables},
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
    return group


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
