"""Airflow's own files of a test run lie in a folder of their own; set before anything imports Airflow."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from receivables.settings import Settings
from tests.conftest import PROJECT

if TYPE_CHECKING:
    from airflow.sdk import DAG

AIRFLOW_HOME = Path(os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="receivables-airflow-")))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__PLUGINS_FOLDER", str(PROJECT / "plugins"))
os.environ.setdefault("AIRFLOW__COSMOS__ENABLE_TELEMETRY", "False")
os.environ.setdefault("DO_NOT_TRACK", "1")

Parse = Callable[..., dict[str, "DAG"]]


@pytest.fixture(scope="session")
def parsed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder in which the dbt project is parsed already: seconds, once."""
    from receivables.transform import ensure_manifest

    home = tmp_path_factory.mktemp("parsed")
    settings = Settings(
        root=PROJECT, home=home, sources_dir=home / "sources", config_file=PROJECT / "receivables.yml"
    )
    ensure_manifest(settings)
    return home


@pytest.fixture
def parse(tmp_path: Path, parsed_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parse]:
    """Parse dags/ as Airflow does, in an installation without a warehouse and with the given sources."""

    def run(*sources: str, **environment: str) -> dict[str, DAG]:
        from airflow.dag_processing.dagbag import DagBag

        home, folder = tmp_path / "home", tmp_path / "sources"
        folder.mkdir(exist_ok=True)
        for name in sources:
            (folder / f"{name}.yml").write_text("kind: not read before a task runs\n")
        shutil.copytree(parsed_home / "dbt", home / "dbt", dirs_exist_ok=True)
        monkeypatch.setenv("RECEIVABLES_HOME", str(home))
        monkeypatch.setenv("RECEIVABLES_SOURCES", str(folder))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        bag = DagBag(str(PROJECT / "dags"), bundle_name="test")
        assert bag.import_errors == {}
        return dict(bag.dags)

    yield run
