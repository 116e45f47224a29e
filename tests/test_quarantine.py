"""Refused rows: who sees what of them, and how they come back."""

from __future__ import annotations

import csv
import json
import stat
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from receivables import cli, quarantine
from receivables.errors import PermanentError, ReceivablesError
from receivables.quarantine import Wanted, refused_rows
from receivables.settings import Settings
from receivables.warehouse import writing

ROWS = [
    # source, entity, key, reason, payload, first, last, resolved
    (
        "erp",
        "invoices",
        "I1",
        "currency_code: 'RMB' is an unknown currency",
        '{"name": "Ms Wang"}',
        1,
        3,
        False,
    ),
    ("erp", "invoices", "I2", "amount: is empty", '{"name": "Mr Li"}', 2, 2, True),
    ("crm", "customers", "=1+1", "customer_id: is empty", '{"name": "=cmd|x"}', 3, 3, False),
]


@pytest.fixture
def settings(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECEIVABLES_HOME", str(home.home))
    with writing(home.warehouse) as connection:
        for source, entity, key, reason, payload, first, last, resolved in ROWS:
            connection.execute(
                "insert into quality.quarantined_rows values"
                " (?, ?, ?, ?, ?, timestamp '2026-03-03 01:00:00', 'load1', 'a.csv:7', ?, ?, ?)",
                [
                    *(source, entity, key, reason, payload),
                    *(date(2026, 3, first), date(2026, 3, last), resolved),
                ],
            )
    return home


def keys(settings: Settings, **wanted: object) -> list[str | None]:
    return [row.key for row in refused_rows(settings, Wanted(**wanted))]  # type: ignore[arg-type]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli.app, ["quarantine", *arguments])
    if result.exception:
        raise result.exception
    return result.stdout


def test_rows_that_have_come_back_are_shown_on_request_only(settings: Settings) -> None:
    assert keys(settings) == ["=1+1", "I1"]
    assert keys(settings, everything=True) == ["=1+1", "I1", "I2"]


def test_rows_are_found_by_source_entity_reason_and_day(settings: Settings) -> None:
    assert keys(settings, source="erp") == ["I1"]
    assert keys(settings, entity="customers") == ["=1+1"]
    assert keys(settings, reason="Unknown Currency") == ["I1"]
    assert keys(settings, since=date(2026, 3, 4)) == []
    assert keys(settings, key="I2", everything=True) == ["I2"]


def test_the_row_as_it_arrived_is_shown_only_when_asked_for(settings: Settings) -> None:
    assert "Ms Wang" not in run("list", "--json") + run("list") + run("list", "--csv") + run("show", "I1")
    assert "currency_code: '…' is an unknown currency" in run("list", "--csv")
    assert "RMB" not in run("list", "--json") + run("list") + run("list", "--csv") + run("show", "I1")
    assert "Ms Wang" in run("show", "I1", "--restricted")
    assert "'RMB'" in run("show", "I1", "--restricted")
    [row] = json.loads(run("show", "I1", "--restricted", "--json"))
    assert (row["first_seen_on"], row["last_seen_on"], row["location"]) == (
        "2026-03-01",
        "2026-03-03",
        "a.csv:7",
    )


def test_while_a_run_holds_the_warehouse_the_published_files_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("receivables.duckdb", "receivables_restricted.duckdb"):
        with writing(settings.published / "current" / name) as connection:
            connection.execute(
                "insert into quality.quarantined_rows (source, entity, key, reason, payload)"
                " values ('erp', 'invoices', ?, 'published', ?)",
                [name, "x" if "restricted" in name else None],
            )
    settings.warehouse.unlink()
    assert keys(settings) == ["receivables.duckdb"]
    [row] = refused_rows(settings, Wanted(), restricted=True)
    assert (row.key, row.payload) == ("receivables_restricted.duckdb", "x")


def test_before_the_first_load_the_next_step_is_said(home: Settings) -> None:
    with pytest.raises(PermanentError, match="receivables run --as-of DAY"):
        refused_rows(home, Wanted())


def test_an_export_with_personal_data_is_for_its_owner_and_holds_no_formula(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "refused.csv"
    path.touch(mode=0o644)
    run("export", str(path), "--restricted", "--source", "crm")

    [row] = csv.DictReader(path.open(encoding="utf-8"))
    assert (row["key"], row["payload"]) == ("'=1+1", '{"name": "=cmd|x"}')
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_export_without_personal_data_has_no_such_column(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "refused.csv"
    run("export", str(path), "--all")
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert len(rows) == 3
    assert "payload" not in rows[0]


def test_a_key_that_was_never_refused_says_so(settings: Settings) -> None:
    with pytest.raises(ReceivablesError, match="no row of that key was ever refused"):
        run("show", "I99")


def refuse(settings: Settings, *rows: tuple[str, str], day: int) -> None:
    with writing(settings.warehouse) as connection:
        connection.execute("create schema if not exists intermediate")
        connection.execute(
            "create or replace table intermediate.int_refused_rows"
            " (source_name varchar, entity varchar, row_id varchar, reason varchar)"
        )
        for key, reason in rows:
            connection.execute(
                "insert into intermediate.int_refused_rows values ('erp', 'applications', ?, ?)",
                [key, reason],
            )
    quarantine.record_refused(settings, date(2026, 3, day), f"r{day}")


def test_a_row_comes_back_by_itself_and_its_history_stays(settings: Settings) -> None:
    refuse(
        settings, ("A1", "its invoice was never delivered"), ("A2", "its invoice was never delivered"), day=5
    )
    refuse(settings, ("A1", "its invoice was never delivered"), day=6)

    assert keys(settings, entity="applications") == ["A1"]
    [gone] = refused_rows(settings, Wanted(key="A2", everything=True))
    assert (gone.is_resolved, gone.first_seen_on, gone.last_seen_on) == (
        True,
        date(2026, 3, 5),
        date(2026, 3, 5),
    )

    refuse(settings, ("A2", "its invoice was never delivered"), day=9)
    [again] = refused_rows(settings, Wanted(entity="applications"))
    assert (again.key, again.first_seen_on, again.last_seen_on) == ("A2", date(2026, 3, 5), date(2026, 3, 9))
