"""The dbt project as it is now, parsed once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from receivables.settings import Settings
from receivables.transform import ensure_manifest
from tests.conftest import PROJECT
from tests.dbt.project import Project, read_project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    home: Path = tmp_path_factory.mktemp("dbt")
    settings = Settings(
        root=PROJECT, home=home, sources_dir=home / "sources", config_file=PROJECT / "receivables.yml"
    )
    return read_project(ensure_manifest(settings))
