"""A kill -9 anywhere repeats work; it never skips any, nor does any twice."""

# ruff: noqa: E501 (queries are easier to compare uncut)

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from receivables import landing
from receivables.errors import ConfigError, TransientError
from receivables.extract import extract
from receivables.settings import Settings
from receivables.sources.base import SourceBatch, Window
from receivables.sources.sql import SqlConnector
from tests.conftest import PROJECT
from tests.environment import environment
from tests.sources.setup import DAY, Case, write_source

NEXT = DAY + timedelta(days=1)
POINTS = (
    "extract.part",
    "extract.parts",
    "extract.manifest",
    "load.invoices",
    "load.receipts",
    "load.before_commit",
    "load.after_commit",
)
ONE_DAY = """
import sys
from datetime import date
from receivables.extract import extract_all
from receivables.load import load
from receivables.settings import Settings
from receivables.sources import get_source
settings, day = Settings.load(), date.fromisoformat(sys.argv[1])
source = get_source(settings, "erp")
extract_all(settings, source, day, f"run-{day}")
load(settings, source, day, f"run-{day}")
"""


def erp(settings: Settings) -> Case:
    """Invoices by what changed, receipts in full."""
    path = settings.sources_dir / "erp.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "create table bills (no text, customer text, day text, total text, changed text);"
            "insert into bills values ('1','C1','2026-01-05','10','2026-03-01 10:00:00'),"
            " ('2','C1','2026-01-06','20','2026-03-02 10:00:00'), ('3','C1','2026-01-06','x','2026-03-02 10:00:00');"
            "create table cash (no text, customer text, day text, total text);"
            "insert into cash values ('R1','C1','2026-01-09','5'), ('R2','C1','2026-01-09','6');"
        )
    return write_source(
        settings,
        """
        kind: sql
        connection: {sqlite: erp.sqlite}
        default_currency_code: EUR
        entities:
          invoices:
            table: bills
            mode: incremental
            cursor: changed
            columns: {invoice_id: no, customer_id: customer, invoice_date: day, amount: total, updated_at: changed}
          receipts:
            table: cash
            columns: {receipt_id: no, customer_id: customer, receipt_date: day, amount: total}
        """,
    )


def a_day_passes(case: Case) -> None:
    with sqlite3.connect(case.settings.sources_dir / "erp.sqlite") as connection:
        connection.executescript(
            "update bills set total = '21', changed = '2026-03-03 09:00:00' where no = '2';"
            "update bills set total = '30', changed = '2026-03-03 09:00:00' where no = '3';"
            "insert into bills values ('4','C2','2026-03-03','40','2026-03-03 10:00:00');"
            "delete from cash where no = 'R1'; insert into cash values ('R3','C1','2026-03-03','7');"
        )


def run_day(settings: Settings, day: object, *, crash_at: str = "") -> int:
    """One day in a process of its own, which may be killed at a named point."""
    variables = {
        **os.environ,
        **environment(settings),
        "PYTHONPATH": str(PROJECT / "plugins"),
        "RECEIVABLES_CRASH_AT": crash_at,
    }
    return subprocess.run([sys.executable, "-c", ONE_DAY, str(day)], env=variables, check=False).returncode


def contents(case: Case) -> dict[str, list[tuple[object, ...]]]:
    """All that a load leaves behind, without the hour at which it did."""
    return {
        "invoices": case.query(
            "select * exclude (_loaded_at) from raw_erp.invoices order by _row_key, _version"
        ),
        "receipts": case.query(
            "select * exclude (_loaded_at) from raw_erp.receipts order by _row_key, _version"
        ),
        "quarantine": case.query("select * exclude (loaded_at) from quality.quarantined_rows order by all"),
        "loads": case.query(
            "select * exclude (started_at, finished_at, checksum) from quality.loads order by all"
        ),
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    """What two days leave behind when nothing happens."""
    case = erp(new_home(tmp_path_factory.mktemp("undisturbed")))
    assert run_day(case.settings, DAY) == 0
    a_day_passes(case)
    assert run_day(case.settings, NEXT) == 0
    return contents(case)


def new_home(folder: Path) -> Settings:
    sources = folder / "sources"
    sources.mkdir()
    return Settings(
        root=PROJECT, home=folder / "home", sources_dir=sources, config_file=PROJECT / "receivables.yml"
    )


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_was_killed_and_run_again_leaves_what_an_undisturbed_one_leaves(
    tmp_path: Path, undisturbed: dict[str, list[tuple[object, ...]]], point: str
) -> None:
    case = erp(new_home(tmp_path))
    assert run_day(case.settings, DAY) == 0
    a_day_passes(case)
    before = contents(case)
    assert run_day(case.settings, NEXT, crash_at=point) == -signal.SIGKILL
    if point != "load.after_commit":
        assert contents(case) == before
    assert run_day(case.settings, NEXT) == 0
    assert contents(case) == undisturbed


@pytest.mark.parametrize("point", POINTS)
def test_a_first_run_may_be_killed_too(tmp_path: Path, point: str) -> None:
    case = erp(new_home(tmp_path))
    assert run_day(case.settings, DAY, crash_at=point) == -signal.SIGKILL
    assert run_day(case.settings, DAY) == 0
    assert case.query("select _row_key, _version from raw_erp.invoices order by 1") == [("1", 1), ("2", 1)]
    assert [row[0] for row in case.query("select rows_new from quality.loads order by entity")] == [2, 2]


def test_a_kill_while_writing_leaves_an_extract_that_nobody_reads(tmp_path: Path) -> None:
    case = erp(new_home(tmp_path))
    assert run_day(case.settings, DAY, crash_at="extract.manifest") == -signal.SIGKILL
    folder = landing.extract_folder(case.settings, source="erp", entity="invoices", run=f"run-{DAY}")
    assert landing.read_manifest(folder) is None
    assert (folder / "part-00000.parquet").is_file()


# --- years, window by window ---

WINDOWS = "mode: incremental\n        first_load_from: 2026-02-20\n        first_load_step: 5d"


def in_windows(case: Case) -> Case:
    """The same source; what it reads from the beginning it reads in windows: up to 20 February, then five days each."""
    text = case.file.read_text(encoding="utf-8")
    assert text.count("mode: incremental") == 1
    indent = text.split("mode: incremental")[0].rsplit("\n", 1)[1]
    case.file.write_text(
        text.replace("mode: incremental", WINDOWS.replace("\n        ", f"\n{indent}")), encoding="utf-8"
    )
    with sqlite3.connect(case.settings.sources_dir / "erp.sqlite") as connection:
        connection.executescript(
            "insert into bills values ('5','C2','2025-01-05','50','2025-01-06 09:00:00');"
            "insert into bills values ('6','C2','2026-02-22','60','2026-02-22 09:00:00');"
            "insert into bills values ('7','C2','2026-02-25','70','2026-02-25 00:00:00');"
            "insert into bills values ('8','C2','2026-02-25','80',null);"
        )
    return case


def test_a_first_load_of_years_goes_on_behind_the_window_at_which_it_was_killed(tmp_path: Path) -> None:
    """Four windows, killed at the end of each one: every attempt gets one window further, and repeats none."""
    case = in_windows(erp(new_home(tmp_path)))
    folder = landing.extract_folder(case.settings, source="erp", entity="invoices", run=f"run-{DAY}")
    written: dict[str, int] = {}
    for _ in range(4):
        assert run_day(case.settings, DAY, crash_at="extract.window") == -signal.SIGKILL
        found = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
        assert written.items() <= found.items(), "a window was written again"
        written = found
    assert landing.read_manifest(folder) is None
    assert run_day(case.settings, DAY) == 0
    assert not (folder / landing.PROGRESS).exists()
    whole = in_windows(erp(new_home(make(tmp_path / "whole"))))
    whole.file.write_text(
        "\n".join(
            line for line in whole.file.read_text(encoding="utf-8").splitlines() if "first_load" not in line
        )
    )
    assert run_day(whole.settings, DAY) == 0
    mine, theirs = contents(case), contents(whole)
    assert mine["invoices"] == theirs["invoices"] and len(mine["invoices"]) == 6
    assert [row[:8] for row in mine["loads"]] == [row[:8] for row in theirs["loads"]]
    assert len(mine["quarantine"]) == len(theirs["quarantine"]) == 1


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_another_run_of_the_day_takes_up_the_windows_and_another_task_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = in_windows(erp(new_home(tmp_path)))
    read: list[Window] = []
    whole = SqlConnector.read

    def until_the_third(connector: SqlConnector, entity: str, window: Window) -> Iterator[SourceBatch]:
        read.append(window)
        if len(read) == 3:
            raise TransientError("erp", cause="the server went away", next_step="try again")
        yield from whole(connector, entity, window)

    monkeypatch.setattr(SqlConnector, "read", until_the_third)
    with pytest.raises(TransientError):
        extract(case.settings, case.source, "invoices", DAY, "first")
    assert extract(case.settings, case.source, "invoices", DAY, "second").rows == 6
    assert [window.start for window in read[:3]] == [window.start for window in [*read[:2], read[3]]]
    assert len(read) == 5, "the two windows that were whole are not read again"
    read.clear()
    with pytest.raises(TransientError):
        extract(case.settings, case.source, "invoices", DAY, "third")
    case.file.write_text(case.file.read_text(encoding="utf-8") + "\ndescription: changed\n", encoding="utf-8")
    assert extract(case.settings, case.source, "invoices", DAY, "fourth").rows == 6
    assert len(read) == 3 + 4, "a source file that was changed is read from its first window"


def test_windows_are_for_what_is_read_by_its_cursor(tmp_path: Path) -> None:
    case = in_windows(erp(new_home(tmp_path)))
    text = case.file.read_text(encoding="utf-8")
    case.file.write_text(text.replace("mode: incremental", "mode: full"), encoding="utf-8")
    with pytest.raises(ConfigError, match="needs `mode: incremental`"):
        _ = case.source
