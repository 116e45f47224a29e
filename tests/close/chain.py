"""The demo company through the whole chain, and what a test asks of it: one hash per row of the marts."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from receivables.extract import extract_all
from receivables.load import load
from receivables.settings import Settings
from receivables.sources import get_source
from receivables.warehouse import reading
from tests.close.harness import ROOT
from tests.environment import environment as variables_of

RECEIVABLES = "from receivables.cli import main; main()"

Hashes = dict[str, list[int]]


def install_demo(folder: Path) -> Settings:
    """An installation whose only source is the demo company's ERP, wherever the process's own home is."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    settings = Settings(
        root=ROOT, home=folder / "home", sources_dir=sources, config_file=ROOT / "receivables.yml"
    )
    described = (ROOT / "sources" / "demo_erp.yml").read_text(encoding="utf-8")
    database = "${RECEIVABLES_HOME}/demo/erp.sqlite"
    assert database in described
    (sources / "demo_erp.yml").write_text(
        described.replace(database, str(settings.demo_erp)), encoding="utf-8"
    )
    return settings


def ingest(settings: Settings, day: date) -> None:
    """Extract and load one day of the demo company."""
    source = get_source(settings, "demo_erp")
    extract_all(settings, source, day, f"{day}-run")
    load(settings, source, day, f"{day}-run")


# --- the command line, in a process of its own ---


@dataclass(frozen=True)
class Answer:
    """How a command ended: its exit code, and all that it wrote."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> dict[str, str]:
        """What `--json` says about the error: what, cause, next_step."""
        return dict(json.loads(self.out)["error"])


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of a process that works on this installation."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), str(Path(__file__).resolve().parents[2])]),
        **variables_of(settings),
        **more,
    }


def receivables(
    settings: Settings, *arguments: str, variables: Mapping[str, str] | None = None, powerless: bool = False
) -> Answer:
    """`receivables …`; `powerless` takes root's right to write what its file modes forbid."""
    done = subprocess.run(
        [sys.executable, "-c", RECEIVABLES, *arguments],
        env=environment(settings, **(variables or {})),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        preexec_fn=_obey_file_modes if powerless and os.geteuid() == 0 else None,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def _obey_file_modes() -> None:
    """Drop CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH for what is executed next."""
    pr_capbset_drop = 24
    for capability in (1, 2):
        if ctypes.CDLL(None).prctl(pr_capbset_drop, capability, 0, 0, 0) != 0:
            raise OSError("this root cannot give up its right to ignore file modes")


def killed(settings: Settings, day: date, point: str) -> None:
    """Run a day that is killed at a crash point."""
    answer = receivables(
        settings, "run", "--as-of", day.isoformat(), "--json", variables={"RECEIVABLES_CRASH_AT": point}
    )
    assert answer.code == -signal.SIGKILL, (
        f"{point}: ended with {answer.code} instead\n{answer.out}{answer.err}"
    )


# --- the marts ---


def row_hashes(connection: duckdb.DuckDBPyConnection, *, digits: int = 12) -> Hashes:
    """Every table of schema `marts`: the sorted hashes of its rows.

    A `double` counts with 12 digits, or fewer where the inputs came in another order: the last ones of a sum
    depend on the order in which rows arrive and DuckDB's threads deliver them. Amounts are decimals and count
    with every digit.
    """
    columns: dict[str, list[str]] = {}
    for table, column, kind in connection.execute(
        "select table_name, column_name, data_type from duckdb_columns()"
        " where database_name = current_database() and schema_name = 'marts'"
        " order by table_name, column_index"
    ).fetchall():
        value = f"format('{{:.{digits}g}}', {column})" if kind == "DOUBLE" else f'"{column}"'
        columns.setdefault(table, []).append(value)
    return {table: hashes_of(connection, table, values) for table, values in columns.items()}


def hashes_of(connection: duckdb.DuckDBPyConnection, table: str, values: list[str]) -> list[int]:
    """The sorted hashes of some columns of a mart."""
    rows = connection.execute(f"select hash(row({', '.join(values)})) from marts.{table} order by 1")
    return [value for (value,) in rows.fetchall()]


def differences(left: Hashes, right: Hashes) -> dict[str, str]:
    """The tables that differ, with the number of rows that only one side has."""
    found = {}
    for table in sorted({*left, *right}):
        ours, theirs = left.get(table), right.get(table)
        if ours != theirs:
            only = [len(set(one or ()) - set(other or ())) for one, other in ((ours, theirs), (theirs, ours))]
            found[table] = f"{only[0]} rows only here, {only[1]} only there"
    return found


def digest(hashes: Hashes) -> str:
    """One hash over all marts."""
    return hashlib.sha256(repr(sorted(hashes.items())).encode()).hexdigest()[:16]


def hashes_in(database: Path, *, digits: int = 12) -> Hashes:
    """The row hashes of a database file."""
    with reading(database) as connection:
        return row_hashes(connection, digits=digits)
