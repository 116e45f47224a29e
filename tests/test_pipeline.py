"""Whole days: a past day again, a day that failed its checks (killed ones: `close/test_kill.py`)."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from receivables import demo, pipeline
from receivables.checks import CheckReport
from receivables.errors import CheckFailedError, PermanentError, TransientError
from receivables.publish import PUBLIC, Version, current_version, stored_versions
from receivables.settings import Settings
from receivables.transform import read_results
from tests.conftest import COMPANY_DAY
from tests.environment import environment

FIRST = COMPANY_DAY
SECOND = FIRST + timedelta(days=1)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("company")]


@pytest.fixture(scope="module")
def company(published_company: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A demo company of which two days in a row are published."""
    folder = tmp_path_factory.mktemp("pipeline")
    shutil.copytree(published_company.home.parent, folder, symlinks=True, dirs_exist_ok=True)
    settings = replace(published_company, home=folder / "home", sources_dir=folder / "sources")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(settings).items():
            patch.setenv(name, value)
        demo.advance(settings.demo_erp, SECOND)
        pipeline.run_day(settings, SECOND)
    return settings


@pytest.fixture(autouse=True)
def in_company(company: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(company).items():
        monkeypatch.setenv(name, value)


def marts(version: Version) -> dict[str, tuple[int, str]]:
    """Rows and hash of every published mart."""
    tables = json.loads((version.path / "manifest.json").read_text())["files"][PUBLIC]["tables"]
    return {name: (t["rows"], t["hash"]) for name, t in tables.items() if name.startswith("marts.")}


def version_of(settings: Settings, day: date) -> Version:
    """The version that was published first of a day."""
    return [version for version in stored_versions(settings) if version.as_of_date == day][-1]


def differing(one: Version, other: Version) -> set[str]:
    return {name for name, _ in set(marts(one).items()) ^ set(marts(other).items())}


def test_a_past_day_run_again_gives_the_numbers_of_that_day(company: Settings) -> None:
    [report] = pipeline.backfill(company, FIRST, FIRST)

    assert not report.publication.is_current
    assert differing(report.publication.version, version_of(company, FIRST)) == set()
    current = current_version(company)
    assert current is not None
    assert current.as_of_date == SECOND


def test_the_same_day_run_again_changes_nothing(company: Settings) -> None:
    report = pipeline.run_day(company, SECOND)

    assert all(entity.new == entity.changed == 0 for entity in report.loads["demo_erp"].entities)
    assert differing(report.publication.version, version_of(company, SECOND)) == set()


def test_a_failed_critical_check_publishes_nothing_and_stays_in_the_record(
    company: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = current_version(company)
    check = pipeline.check_marts

    def failing(settings: Settings, database: Path, day: date, run: str) -> CheckReport:
        report = check(settings, database, day, run)
        broken = replace(report.results[0], success=False, severity="critical", rows_failed=3)
        return replace(report, results=(broken, *report.results[1:]))

    monkeypatch.setattr(pipeline, "check_marts", failing)
    with pytest.raises(CheckFailedError):
        pipeline.run_day(company, SECOND, run="failing")

    assert current_version(company) == before
    from receivables.runs import status

    facts = status(company)
    assert facts["runs"][0]["run"] == "failing"
    assert facts["runs"][0]["failed_step"] == "check_marts"


def test_a_backfill_from_the_newer_to_the_older_day_is_refused(company: Settings) -> None:
    with pytest.raises(PermanentError, match="give the older day first"):
        list(pipeline.backfill(company, FIRST, FIRST - timedelta(days=1)))


def result(unique_id: str, status: str, message: str = "", failures: int | None = None) -> dict[str, object]:
    return {"unique_id": unique_id, "status": status, "message": message, "failures": failures}


def results_file(folder: Path, *results: dict[str, object]) -> Path:
    path = folder / "target" / "run_results.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"results": results, "elapsed_time": 2.5}))
    return path


def test_a_broken_model_is_named_with_the_engines_words(tmp_path: Path) -> None:
    path = results_file(
        tmp_path,
        result("model.receivables.stg_invoices", "success"),
        result("model.receivables.ar_dso", "error", "Binder Error: no column amout"),
        result("model.receivables.ar_turnover", "skipped"),
    )
    with pytest.raises(PermanentError, match="model ar_dso: Binder Error: no column amout") as error:
        read_results(path, ["1 of 3 ERROR"])
    assert not isinstance(error.value, CheckFailedError)


def test_a_failed_dbt_test_is_a_failed_check(tmp_path: Path) -> None:
    path = results_file(tmp_path, result("test.receivables.unique_x.abc", "fail", "Got 3 results", 3))
    with pytest.raises(CheckFailedError, match=r"unique_x \(3 rows\)"):
        read_results(path, ["Failure in test"])


def test_a_held_warehouse_is_worth_a_retry(tmp_path: Path) -> None:
    path = results_file(
        tmp_path, result("model.receivables.x", "error", "IO Error: Could not set lock on file")
    )
    with pytest.raises(TransientError):
        read_results(path, [])


def test_a_dbt_that_never_started_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="Parsing Error"):
        read_results(tmp_path / "none.json", ["Parsing Error in model.sql"])


def test_a_warning_is_no_failure(tmp_path: Path) -> None:
    path = results_file(
        tmp_path, result("model.receivables.x", "success"), result("test.receivables.t.a", "warn")
    )
    report = read_results(path, [])
    assert (report.models, report.tests, report.warnings) == (1, 1, ("t",))
