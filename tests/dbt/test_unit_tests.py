"""dbt's own unit tests, on a warehouse without a row: each plants the rows that show its rule."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from receivables.company import load_company_config, write_settings
from receivables.load import create_raw
from receivables.publish import add_functions
from receivables.settings import Settings
from receivables.sources import load_sources
from receivables.transform import dbt_environment
from receivables.warehouse import reading, writing
from tests.conftest import PROJECT
from tests.dbt.project import Project

SOURCE = """
kind: files
base: .
default_company_id: HD-EU
default_currency_code: EUR
entities:
  customers: {path: customers.csv}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A warehouse with every table and view, and no rows: the unit tests ask it for column types."""
    folder = tmp_path_factory.mktemp("unit")
    sources = folder / "sources"
    sources.mkdir()
    (sources / "erp.yml").write_text(SOURCE, encoding="utf-8")
    settings = Settings(
        root=PROJECT, home=folder, sources_dir=sources, config_file=PROJECT / "receivables.yml"
    )
    delivered = load_sources(settings)
    with writing(settings.warehouse) as connection:
        write_settings(connection, load_company_config(settings), delivered)
        create_raw(connection, delivered)
    ended = dbt(settings, "run", "--empty")
    assert ended.returncode == 0, ended.stdout
    return settings


def dbt(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = json.dumps({"as_of_date": "2026-03-31", **load_company_config(settings).variables})
    return subprocess.run(
        [sys.executable, "-c", "from dbt.cli.main import cli; cli()", *arguments, "--vars", variables],
        cwd=settings.dbt_project,
        env={**os.environ, **dbt_environment(settings)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_unit_test_passes(empty: Settings, project: Project) -> None:
    ended = dbt(empty, "test", "--select", "test_type:unit")
    results = json.loads((empty.dbt_target / "run_results.json").read_text(encoding="utf-8"))["results"]
    failed = [result["unique_id"] for result in results if result["status"] != "pass"]
    assert failed == [], ended.stdout
    assert len(results) == sum(len(tests) for tests in project.unit_tests.values())


def test_the_documented_columns_are_the_columns(empty: Settings, project: Project) -> None:
    """Contracts see to it from intermediate on; staging has none."""
    with reading(empty.warehouse) as connection:
        rows = connection.execute(
            "select table_name, column_name from information_schema.columns where table_schema = 'staging'"
        ).fetchall()
    found: dict[str, set[str]] = {}
    for table, column in rows:
        found.setdefault(table, set()).add(column)
    documented = {model.name: set(model.columns) for model in project.layer("staging")}
    assert found == documented


@pytest.mark.parametrize(
    ("function", "table"), [("open_items_as_of", "ar_open_items"), ("aging_as_of", "ar_aging_snapshots")]
)
def test_the_functions_answer_in_the_types_of_the_tables(
    empty: Settings, tmp_path: Path, function: str, table: str
) -> None:
    """An amount of euros has two decimals wherever it is asked for."""
    copy = Path(shutil.copy(empty.warehouse, tmp_path / "warehouse.duckdb"))
    with writing(copy) as connection:
        add_functions(connection, (empty.dbt_project / "functions").glob("*.sql"))
        types = [
            {name: kind for name, kind, *_ in connection.execute(f"describe {question}").fetchall()}
            for question in (f"from marts.{function}(date '2026-03-31')", f"marts.{table}")
        ]
    amounts = [name for name in types[0] if name.endswith("_amount")]
    assert len(amounts) >= 3
    assert {name: types[0][name] for name in amounts} == {name: types[1][name] for name in amounts}


def test_nothing_to_report_is_no_error(empty: Settings) -> None:
    """A company's first evening may be empty: every model builds, and no check of the models objects."""
    ended = dbt(empty, "build", "--exclude-resource-type", "unit_test")
    assert ended.returncode == 0, ended.stdout
