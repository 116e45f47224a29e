"""The report decides, is recorded once, and its pages open from the file system and trust no value."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from receivables.checks import CheckReport, CheckResult, check_marts, check_raw, record_results, write_results
from receivables.checks import data_docs as docs
from receivables.errors import CheckFailedError, ConfigError
from receivables.settings import PACKAGE_DIR, Settings
from receivables.warehouse import writing
from tests.checks import marts_fixture, raw_fixture

ROOT = PACKAGE_DIR.parent.parent
DAY = date(2024, 3, 29)
HOSTILE = "<img src=x onerror=alert(1)> 华东"


def result(severity: str, *, success: bool) -> CheckResult:
    return CheckResult(
        suite="marts.ar_dso",
        check="a_rule",
        severity=severity,  # type: ignore[arg-type]
        success=success,
        sentence="A rule.",
        observed="2 rows",
        expected="no row",
        rows_failed=2,
        examples=({"open_item_id": "1", "open_amount": "-12.30", "due_date": None},),
        note="It matters.",
        owner="treasury",
        checked_at=datetime(2024, 3, 30, tzinfo=UTC).replace(tzinfo=None),
    )


def report(*results: CheckResult) -> CheckReport:
    return CheckReport("r1", DAY, "marts", None, results, Path("/srv/data_docs/index.html"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(Settings.load(), root=ROOT, home=tmp_path / "home")


@pytest.fixture
def few_rules(settings: Settings, tmp_path: Path) -> Settings:
    """An installation with the rules of a few tables: enough for what all runs have in common."""
    folder = tmp_path / "root" / "expectations"
    folder.mkdir(parents=True)
    for name in ("marts_metrics.py", "thresholds.yml"):
        shutil.copyfile(ROOT / "expectations" / name, folder / name)
    return replace(settings, root=tmp_path / "root")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return marts_fixture.build(tmp_path_factory.mktemp("built") / "receivables.duckdb")


@pytest.fixture
def candidate(tmp_path: Path, built: Path) -> Path:
    return Path(shutil.copy(built, tmp_path / "receivables.duckdb"))


def test_only_a_critical_failure_stops_the_publication() -> None:
    tolerable = report(result("warning", success=False), result("info", success=False))
    assert tolerable.passed
    tolerable.raise_for_critical()
    stopped = report(result("warning", success=False), result("critical", success=False))
    assert not stopped.passed
    assert [found.severity for found in stopped.failed()] == ["critical", "warning"]
    with pytest.raises(CheckFailedError, match=r"marts\.ar_dso\.a_rule \(2 rows\)"):
        stopped.raise_for_critical()
    assert stopped.summary() == "2 checks: 0 passed, failed: 1 critical, 1 warning"


def test_results_are_recorded_once_per_run(settings: Settings) -> None:
    with writing(settings.warehouse) as connection:
        for _ in range(2):
            record_results(connection, report(result("critical", success=False)))
        rows = connection.execute(
            'select run, as_of_date, suite, "check", success, rows_failed, examples'
            " from quality.check_results"
        ).fetchall()
    assert rows == [
        (
            *("r1", DAY, "marts.ar_dso", "a_rule", False, 2),
            '[{"open_item_id": "1", "open_amount": "-12.30", "due_date": null}]',
        )
    ]


def test_results_can_be_written_into_a_candidate_that_has_no_quality_schema(candidate: Path) -> None:
    write_results(candidate, report(result("info", success=True)))
    with duckdb.connect(str(candidate), read_only=True) as connection:
        assert connection.execute("select count(*) from quality.check_results").fetchall() == [(1,)]
        schemas = connection.execute(
            "select distinct schema_name from duckdb_schemas() where not internal order by 1"
        ).fetchall()
    assert [name for (name,) in schemas if name not in ("main", "pg_catalog", "information_schema")] == [
        "marts",
        "quality",
    ]


def test_the_pages_of_a_check_need_no_server_and_trust_no_value(settings: Settings, candidate: Path) -> None:
    with duckdb.connect(str(candidate)) as connection:
        statement = "update marts.ar_open_items set currency_code = ?, open_amount = -1"
        connection.execute(statement, [HOSTILE])
    found = check_marts(settings, candidate, DAY, marts_fixture.RUN)
    assert not found.passed
    assert found.data_docs == settings.data_docs / "index.html"
    index = found.data_docs.read_text()
    assert "no_instalment_is_below_zero" in index
    assert found.pages["marts.ar_open_items"].relative_to(settings.data_docs).as_posix() in index
    for page in settings.data_docs.rglob("*.html"):
        text = page.read_text()
        assert "<script" not in text, page
        assert "http://" not in text.replace("http-equiv", ""), page
        assert "https://" not in text, page
        assert "<img" not in text, page
        assert "default-src 'none'" in text, page
    page = found.pages["marts.ar_open_items"].read_text()
    assert "&lt;img src=x onerror=alert(1)&gt; 华东" in page
    assert "No instalment is open with less than nothing." in page
    assert "A payment was counted twice" in page


def test_a_run_whose_name_looks_like_a_time_has_its_pages(few_rules: Settings, candidate: Path) -> None:
    found = check_marts(few_rules, candidate, DAY, "2026-06-30T110742-2944")
    assert set(found.pages) == {result.suite for result in found.results}


def test_the_file_is_free_again_after_the_checks(few_rules: Settings, candidate: Path) -> None:
    check_marts(few_rules, candidate, DAY, marts_fixture.RUN)
    with duckdb.connect(str(candidate)) as connection:
        connection.execute("create table marts.written as select 1 as id")


def test_the_index_keeps_earlier_runs_and_drops_the_oldest(
    few_rules: Settings, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "KEPT_RUNS", 2)
    reports = [check_marts(few_rules, candidate, DAY, run) for run in ("run-1", "run-2", "run-3")]
    index = (few_rules.data_docs / "index.html").read_text()
    assert "run-1" not in index
    assert index.index("run-3") < index.index("run-2")
    assert not reports[0].pages["marts.ar_dso"].exists()
    assert reports[1].pages["marts.ar_dso"].exists()
    check_marts(few_rules, candidate, DAY, "run-3")
    assert (few_rules.data_docs / "index.html").read_text().count("marts.ar_turnover</a>") == 2
    assert not list(few_rules.data_docs.glob(".building*"))


def test_a_source_is_checked_where_its_rows_are(settings: Settings, tmp_path: Path) -> None:
    settings.warehouse.parent.mkdir(parents=True)
    shutil.copy(raw_fixture.build(tmp_path / "warehouse.duckdb"), settings.warehouse)
    found = check_raw(settings, raw_fixture.SOURCE, DAY, raw_fixture.RUN)
    assert found.passed, found.failed()
    assert found.source == raw_fixture.SOURCE
    assert found.results


def test_a_run_that_loaded_nothing_does_not_pass(settings: Settings, tmp_path: Path) -> None:
    settings.warehouse.parent.mkdir(parents=True)
    shutil.copy(raw_fixture.build(tmp_path / "warehouse.duckdb"), settings.warehouse)
    found = check_raw(settings, raw_fixture.SOURCE, DAY, "another run")
    assert [failure.check for failure in found.failed("critical")] == ["the_run_loaded_something"]


def test_without_rules_nothing_passes(settings: Settings, candidate: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing would be checked"):
        check_marts(replace(settings, root=tmp_path), candidate, DAY, "r")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("def suites(scope): return [unknown]", "NameError"),
        ("def suites(:", "SyntaxError"),
        ("rules = []", "suites"),
    ],
)
def test_a_rule_file_that_is_broken_is_named(
    content: str, message: str, settings: Settings, candidate: Path, tmp_path: Path
) -> None:
    (tmp_path / "expectations").mkdir()
    (tmp_path / "expectations" / "marts_mine.py").write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        check_marts(replace(settings, root=tmp_path), candidate, DAY, "r")
    assert "marts_mine.py" in str(caught.value)
