"""The demo ERP in PostgreSQL is the demo ERP: what is read from it is what is read from the SQLite file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from receivables import demo, pipeline
from receivables.demo.postgres import column_type, copy_demo
from receivables.errors import TransientError
from receivables.settings import Settings
from tests.conftest import PROJECT
from tests.servers import Postgres

EXAMPLE = PROJECT / "docs" / "examples" / "demo_erp_postgres.yml"
LAST_DAY = date(2024, 8, 29)  # of a company of 60 days


@pytest.fixture
def erp(home: Settings, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small demo company, in SQLite and in PostgreSQL, and a source file for each."""
    for name in ("sources/demo_erp.yml", "docs/examples/demo_erp_postgres.yml"):
        source = PROJECT / name
        (home.sources_dir / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    postgres.execute("create database demo_erp")
    for name, value in {
        "RECEIVABLES_HOME": str(home.home),
        "ERP_HOST": postgres.host,
        "ERP_PORT": str(postgres.port),
        "ERP_DATABASE": "demo_erp",
        "ERP_USER": postgres.user,
        "ERP_PASSWORD": postgres.password,
    }.items():
        monkeypatch.setenv(name, value)
    demo.create(home.demo_erp, invoices=300, days=60)
    copy_demo(home.demo_erp, postgres.url("demo_erp"))
    yield home.demo_erp
    postgres.execute("drop database demo_erp with (force)")


def test_every_entity_reads_the_same_from_both(home: Settings, erp: Path) -> None:
    assert demo.current_day(erp) == LAST_DAY
    for entity in pipeline.entities_of(home, "demo_erp_postgres"):
        there, here = (_rows(home, source, entity, LAST_DAY) for source in ("demo_erp_postgres", "demo_erp"))
        assert there == here, entity
        assert there or entity in {"adjustments", "disputes"}, f"{entity} is empty: nothing was compared"


def test_a_second_copy_carries_what_has_changed_and_doubles_nothing(
    home: Settings, erp: Path, postgres: Postgres
) -> None:
    later = date(2024, 9, 12)
    demo.advance(erp, later)
    copy_demo(erp, postgres.url("demo_erp"))
    assert _rows(home, "demo_erp_postgres", "invoices", later) == _rows(home, "demo_erp", "invoices", later)


def test_dates_and_amounts_have_the_types_of_an_erp() -> None:
    assert column_type("due_date", "text") == "date"
    assert column_type("settled_on", "TEXT") == "date"
    assert column_type("updated_at", "text") == "timestamp(0)"
    assert column_type("gross_amount", "text") == "numeric(18, 2)"
    assert column_type("fx_rate", "text") == "numeric(18, 8)"
    assert column_type("terms_days", "integer") == "integer"
    assert column_type("reason", "text") == "text"


def test_a_server_that_is_down_is_worth_a_retry_and_no_password_is_said(erp: Path) -> None:
    with pytest.raises(TransientError) as caught:
        copy_demo(erp, "postgresql://erp@127.0.0.1:1/erp", password="a-secret-word")
    assert "a-secret-word" not in str(caught.value)


def test_the_example_maps_the_entities_as_the_projects_own_source_does() -> None:
    ours, example = (
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in (PROJECT / "sources" / "demo_erp.yml", EXAMPLE)
    )
    for only_here in ("connection", "description"):
        ours.pop(only_here), example.pop(only_here)
    assert example == ours


def _rows(settings: Settings, source: str, entity: str, day: date) -> list[tuple[object, ...]]:
    run = f"{source}-{day}"
    manifest = pipeline.extract_entity(settings, source, entity, day, run)
    folder = settings.landing / source / entity / run
    rows: list[tuple[object, ...]] = []
    for part in sorted(folder.glob("part-*.parquet")):
        table = pq.read_table(part)
        rows += zip(*(column.to_pylist() for column in table.columns), strict=True)
    assert len(rows) == manifest.rows
    return sorted(rows, key=repr)
