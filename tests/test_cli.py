"""The command line: what it says, in which form, and with which exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from receivables import cli, demo
from receivables.settings import Settings
from tests.conftest import COMPANY_DAY, PROJECT
from tests.environment import environment

DAY = COMPANY_DAY

pytestmark = pytest.mark.xdist_group("company")


@dataclass(frozen=True)
class Said:
    """What a command wrote, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


Run = Callable[..., Said]


@pytest.fixture
def receivables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line in this process, as the installed script does."""

    def call(*arguments: str, home: Settings | None = None) -> Said:
        if home:
            for name, value in environment(home).items():
                monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["receivables", *arguments])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def company(published_company: Settings) -> Settings:
    assert demo.current_day(published_company.demo_erp) == DAY
    return published_company


def test_help_teaches_with_examples_and_exit_codes(receivables: Run) -> None:
    said = receivables("--help")
    assert said.code == 0
    for command in ("demo", "run", "backfill", "sources", "query", "status", "doctor", "airflow"):
        assert command in said.out
    assert "75 try again later" in " ".join(said.out.split())
    for command in ("run", "backfill", "query", "demo"):
        assert f"receivables {command}" in receivables(command, "--help").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "--as-of", "31.03.2025"),
        ("run", "--as-of", "2025-02-30"),
        ("backfill", "2025-03-01"),
        ("query",),
        ("no-such-command",),
        ("demo", "--invoices", "many"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(receivables: Run, arguments: tuple[str, ...]) -> None:
    said = receivables(*arguments)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert "Usage" in said.err


def test_a_backfill_backwards_says_so(receivables: Run, home: Settings) -> None:
    said = receivables("backfill", "2025-03-31", "2025-03-01", home=home)
    assert said.code == 1
    assert "give the older day first" in said.err


def test_without_a_published_version_a_query_names_the_way_there(receivables: Run, home: Settings) -> None:
    said = receivables("query", "select 1", home=home)
    assert said.code == 1
    assert "nothing is published yet" in said.err
    assert "receivables demo" in said.err
    assert "Traceback" not in said.err


def test_an_error_is_json_for_a_program(receivables: Run, home: Settings) -> None:
    said = receivables("query", "select 1", "--json", home=home)
    error = said.json["error"]  # type: ignore[index]
    assert error["exit_code"] == said.code == 1
    assert set(error) == {"what", "cause", "next_step", "exit_code"}


def test_debug_shows_where_an_error_was_raised(home: Settings) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "receivables", "--debug", "query", "select 1"],
        env={**os.environ, **environment(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" in result.stderr
    assert "nothing is published yet" in result.stderr


def test_without_sources_a_run_says_how_to_get_one(receivables: Run, home: Settings) -> None:
    said = receivables("run", "--as-of", "2025-03-31", home=home)
    assert said.code == 1
    assert "docs/sources.md" in said.err


def test_a_wrong_source_file_ends_with_78_and_names_the_line(receivables: Run, home: Settings) -> None:
    (home.sources_dir / "erp.yml").write_text("kind: files\nentities:\n  invoces: {path: x.csv}\n")
    said = receivables("run", "--as-of", "2025-03-31", home=home)
    assert said.code == 78
    assert "erp.yml" in said.err
    assert "3" in said.err


def test_doctor_names_every_broken_thing_at_once(receivables: Run, home: Settings) -> None:
    (home.sources_dir / "erp.yml").write_text("kind: files\n")
    (home.sources_dir / "bank.yml").write_text("kind: telex\n")
    said = receivables("doctor", "--json", home=home)
    found = {finding["what"]: finding for finding in said.json}  # type: ignore[attr-defined]
    assert said.code == 1
    assert found["source erp"]["state"] == found["source bank"]["state"] == "broken"
    assert found["source bank"]["next_step"]
    assert found["Python"]["state"] == "ok"
    assert found["dbt project"]["state"] == "ok"


def test_status_of_an_empty_installation(receivables: Run, home: Settings) -> None:
    assert "nothing yet" in receivables("status", home=home).out
    assert receivables("status", "--json", home=home).json["published"] is None  # type: ignore[index]


def test_the_schema_is_printed_for_editors(receivables: Run) -> None:
    schema = receivables("sources", "schema").json
    assert "properties" in schema or "oneOf" in schema or "anyOf" in schema  # type: ignore[operator]


@pytest.mark.slow
def test_a_query_shows_a_table(receivables: Run, company: Settings) -> None:
    said = receivables(
        "query", "select company_id, 1.50 as amount from marts.dim_companies order by 1", home=company
    )
    assert said.code == 0
    assert said.out.split() == ["company_id", "amount", "HD-CN", "1.50", "HD-EU", "1.50"]


@pytest.mark.slow
def test_a_query_gives_exact_amounts_to_programs(receivables: Run, company: Settings) -> None:
    sql = "select 0.1::decimal(18,2) as amount, date '2025-03-31' as day, null as nothing, 3 as items"
    expected = [{"amount": "0.10", "day": "2025-03-31", "nothing": None, "items": 3}]
    assert receivables("query", sql, "--json", home=company).json == expected

    rows = list(csv.reader(io.StringIO(receivables("query", sql, "--csv", home=company).out)))
    assert rows == [["amount", "day", "nothing", "items"], ["0.10", "2025-03-31", "", "3"]]


@pytest.mark.slow
def test_a_query_from_standard_input(
    receivables: Run, company: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("select 42 as answer"))
    assert receivables("query", "-", "--json", home=company).json == [{"answer": 42}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select * from marts.nothing", "show all tables"),
        ("selec 1", "syntax error"),
        ("copy marts.ar_open_items to '/tmp/x.csv'", "only the tables of the published version"),
        ("from read_text('/etc/passwd')", "only the tables of the published version"),
    ],
)
def test_a_query_that_cannot_run_says_why(receivables: Run, company: Settings, sql: str, said: str) -> None:
    answer = receivables("query", sql, home=company)
    assert answer.code == 1
    assert said in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.slow
def test_the_queries_of_the_readme_run_as_printed(receivables: Run, company: Settings) -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    queries = [block.split("```")[0] for block in readme.split("```sql\n")[1:]]
    assert len(queries) >= 4
    for sql in queries:
        said = receivables("query", sql, "--json", home=company)
        assert said.code == 0, f"{sql}\n{said.out}"


@pytest.mark.slow
def test_status_shows_the_published_day_and_the_run(receivables: Run, company: Settings) -> None:
    facts = receivables("status", "--json", home=company).json
    assert facts["published"]["as_of_date"] == DAY.isoformat()  # type: ignore[index]
    assert facts["runs"][0]["status"] == "done"  # type: ignore[index]
    assert DAY.isoformat() in receivables("status", home=company).out


@pytest.mark.slow
def test_doctor_finds_nothing_broken(receivables: Run, company: Settings) -> None:
    said = receivables("doctor", home=company)
    assert said.code == 0
    assert "broken" not in said.out


@pytest.mark.slow
def test_sources_check_reads_the_first_rows(receivables: Run, company: Settings) -> None:
    said = receivables("sources", "check", "--json", home=company)
    [report] = said.json  # type: ignore[misc]
    assert said.code == 0
    assert {entity["entity"] for entity in report["entities"]} >= {"invoices", "receipts", "customers"}


@pytest.mark.slow
def test_sources_check_of_an_unknown_source(receivables: Run, company: Settings) -> None:
    said = receivables("sources", "check", "demo_er", home=company)
    assert said.code == 78
    assert "demo_erp" in said.err


@pytest.mark.slow
def test_a_second_run_at_the_same_time_is_told_to_wait(receivables: Run, company: Settings) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
            " print('held', flush=True); time.sleep(60)",
            str(company.home / "run.lock"),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        said = receivables("run", "--as-of", DAY.isoformat(), home=company)
    finally:
        holder.kill()
        holder.wait()
    assert said.code == 75
    assert "another run is under way" in said.err


@pytest.mark.slow
def test_a_demo_never_deletes_other_data(
    receivables: Run, company: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from receivables.warehouse import writing

    home = tmp_path / "home"
    warehouse = home / "warehouse" / "warehouse.duckdb"
    with writing(warehouse) as connection:
        connection.execute(
            "insert into quality.loads (source, entity, run, load_id, as_of_date)"
            " values ('erp', 'invoices', 'r', 'l', date '2025-01-01')"
        )
    settings = Settings(
        root=PROJECT, home=home, sources_dir=company.sources_dir, config_file=company.config_file
    )
    said = receivables("demo", home=settings)
    assert said.code == 1
    assert "it holds data of erp" in said.err
    assert warehouse.exists()
