"""The catalogue: each fault is caught by its check, stops the day or not, and the mail says what it means.

One clean day is built and published; everything else starts from copies of it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from receivables import pipeline
from receivables.alert_mail import render
from receivables.alerts import incident_of_report
from receivables.checks import CheckReport, CheckResult
from receivables.errors import CheckFailedError, PermanentError, ReceivablesError
from receivables.extract import extract_all
from receivables.load import load
from receivables.publish import current_version
from receivables.settings import Settings
from receivables.sources import get_source
from receivables.warehouse import reading, writing
from tests.catalogue.company import (
    SOURCE,
    TODAY,
    YESTERDAY,
    Rows,
    add_general_ledger,
    company,
    install,
    write,
)
from tests.catalogue.planting import Record, plant, records

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("catalogue")]

ODDITIES = records("oddities")
WARNINGS = records("faults_published")
PUBLISHED = [fault for fault in WARNINGS if "plant" in fault]
STOPPED = records("faults_stopped")
IN_FILES = [fault for fault in STOPPED if "plant" in fault and "together" not in fault]
TOGETHER = [fault for fault in STOPPED if "together" in fault]
IN_RAW = [fault for fault in STOPPED if "raw" in fault.get("sql", {})]
IN_MODELS = [
    fault for fault in [*STOPPED, *WARNINGS] if {"warehouse", "candidate"} & set(fault.get("sql", {}))
]

# What former days measured, so that there is something to compare the day with.
USUAL = {
    f"raw.{SOURCE}.loads": {
        "new_receipts_are_as_many_as_usual": 1,
        "new_invoices_in_EUR_add_up_to_the_usual": 3000,
    },
    "marts.business": {"the_sales_of_ACME_are_usual": 3000, "the_receivable_of_ACME_is_usual": 30000},
}


def name(fault: Record) -> str:
    return str(fault["fault"])


def rows_of(day: date) -> Rows:
    """The company with all its oddities, and a general ledger that agrees."""
    rows = company(day)
    for oddity in ODDITIES:
        plant(rows, oddity["plant"])
    add_general_ledger(rows, day)
    return rows


@dataclass(frozen=True)
class Day:
    """An installation after a run: what its checks said, and the error that ended it."""

    settings: Settings
    reports: Sequence[CheckReport]
    error: ReceivablesError | None = None

    def result(self, check: str) -> CheckResult:
        return next(
            result
            for report in self.reports
            for result in report.results
            if f"{result.suite}.{result.check}" == check
        )

    def report_of(self, check: str) -> CheckReport:
        """The report as if this had been its only failure: each fault has its own line in the mail."""
        result = self.result(check)
        report = next(report for report in self.reports if result in report.results)
        return replace(report, results=(result,))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Yesterday, published, with every oddity in it."""
    folder = tmp_path_factory.mktemp("catalogue") / "clean"
    settings = install(folder)
    write(folder / "files", rows_of(YESTERDAY))
    report = pipeline.run_day(settings, YESTERDAY, run=f"{YESTERDAY}-clean")
    with writing(settings.warehouse) as connection:
        for suite, checks in USUAL.items():
            for check, usual in checks.items():
                connection.execute(
                    'insert into quality.check_results (run, as_of_date, suite, "check", severity, observed,'
                    " expected, success, checked_at) select 'before', day, ?, ?, 'warning', ?, 'usually so',"
                    " true, day from range(date '2026-02-01', date '2026-03-31', interval 1 day) as d(day)",
                    [suite, check, str(usual)],
                )
    return Day(settings, (*report.raw_checks.values(), report.mart_checks))


def copy_of(clean: Day, folder: Path, *, limit: Record | None = None) -> Settings:
    """The same installation in another folder."""
    numbers = {key: float(value) for key, value in (limit or {}).items()}
    settings = install(folder, limit=numbers or None)
    shutil.copytree(clean.settings.home, settings.home, symlinks=True)
    return settings


def spoilt(clean: Day, folder: Path, faults: Iterable[Record]) -> Settings:
    """An installation whose delivery of today has these faults."""
    settings = copy_of(clean, folder)
    rows = rows_of(TODAY)
    for fault in faults:
        plant(rows, fault["plant"])
    write(folder / "files", rows)
    return settings


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[CheckReport]]:
    """The reports of the checks that a run makes, also of a run that they stop."""
    yield from _watch(monkeypatch)


def _watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[CheckReport]]:
    reports: list[CheckReport] = []
    record = pipeline._record_checks

    def watch(settings: Settings, report: CheckReport, step: str) -> bool:
        reports.append(report)
        return record(settings, report, step)

    monkeypatch.setattr(pipeline, "_record_checks", watch)
    yield reports


@pytest.fixture(scope="module")
def published(clean: Day, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Today, with every fault that only warns."""
    settings = spoilt(clean, tmp_path_factory.mktemp("published") / "home", PUBLISHED)
    report = pipeline.run_day(settings, TODAY, run=f"{TODAY}-faults")
    return Day(settings, (*report.raw_checks.values(), report.mart_checks))


@pytest.fixture(scope="module")
def spoilt_files(clean: Day, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Today, with every fault of the files that leaves the others to be seen."""
    settings = spoilt(clean, tmp_path_factory.mktemp("files") / "home", TOGETHER)
    with pytest.MonkeyPatch.context() as patch:
        reports = next(_watch(patch))
        with pytest.raises(CheckFailedError) as stopped:
            pipeline.run_day(settings, TODAY, run=f"{TODAY}-files")
    return Day(settings, reports, stopped.value)


@pytest.fixture(scope="module")
def spoilt_raw(clean: Day, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Today, loaded, then spoilt in the raw tables."""
    folder = tmp_path_factory.mktemp("raw") / "home"
    settings = copy_of(clean, folder)
    write(folder / "files", rows_of(TODAY))
    source, run = get_source(settings, SOURCE), f"{TODAY}-raw"
    extract_all(settings, source, TODAY, run)
    load(settings, source, TODAY, run)
    with writing(settings.warehouse) as connection:
        for fault in IN_RAW:
            connection.execute(fault["sql"]["raw"])
    return Day(settings, (pipeline.check_source(settings, SOURCE, TODAY, run),))


@pytest.fixture(scope="module")
def spoilt_candidate(clean: Day, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Yesterday again: a candidate that is spoilt before the rule book sees it."""
    settings = copy_of(clean, tmp_path_factory.mktemp("candidate") / "home")
    run = f"{YESTERDAY}-spoilt"
    candidate = pipeline.candidate(settings, YESTERDAY, run)
    candidate.chmod(0o644)
    for place, path in (("warehouse", settings.warehouse), ("candidate", candidate)):
        with duckdb.connect(str(path)) as connection:
            for fault in IN_MODELS:
                if place in fault["sql"]:
                    connection.execute(fault["sql"][place])
    return Day(settings, (pipeline.check_candidate(settings, YESTERDAY, run),))


def test_a_company_with_twenty_oddities_is_published_without_a_word(clean: Day) -> None:
    assert len(ODDITIES) >= 20
    assert [(failure.suite, failure.check) for report in clean.reports for failure in report.failed()] == []
    version = current_version(clean.settings)
    assert version is not None and version.as_of_date == YESTERDAY


def test_the_catalogue_holds_at_least_sixty_faults() -> None:
    faults = [*WARNINGS, *STOPPED]
    assert len(faults) >= 60
    assert len({name(fault) for fault in faults}) == len(faults)
    assert sum("plant" in fault for fault in faults) >= 12


@pytest.mark.parametrize("fault", PUBLISHED, ids=name)
def test_a_fault_that_warns_is_found_and_published(published: Day, fault: Record) -> None:
    result = published.result(fault["check"])
    assert not result.success and result.severity == fault["severity"] and result.severity != "critical"
    assert_found(result, fault)
    assert_mail(published, fault)


def test_the_day_with_all_the_warnings_is_published(published: Day) -> None:
    version = current_version(published.settings)
    assert version is not None and version.as_of_date == TODAY
    expected = {fault["check"] for fault in PUBLISHED}
    found = {f"{one.suite}.{one.check}" for report in published.reports for one in report.failed()}
    assert expected <= found
    assert not [failure for report in published.reports for failure in report.failed("critical")]


@pytest.mark.parametrize("fault", IN_FILES, ids=name)
def test_a_fault_in_a_file_stops_the_day(
    clean: Day, tmp_path: Path, seen: list[CheckReport], fault: Record
) -> None:
    settings = copy_of(clean, tmp_path / "home", limit=fault.get("limit"))
    rows = rows_of(TODAY)
    plant(rows, fault["plant"])
    write(tmp_path / "home" / "files", rows)
    with pytest.raises(ReceivablesError) as stopped:
        pipeline.run_day(settings, TODAY, run=f"{TODAY}-stopped")
    if "stops" in fault:
        assert isinstance(stopped.value, PermanentError) and fault["stops"] in str(stopped.value)
    else:
        day = Day(settings, seen, stopped.value)
        assert isinstance(stopped.value, CheckFailedError) and fault["check"] in str(stopped.value)
        assert_stopped(day, fault)
    version = current_version(settings)
    assert version is not None and version.as_of_date == YESTERDAY


@pytest.mark.parametrize("fault", TOGETHER, ids=name)
def test_a_fault_beside_others_in_the_files_stops_the_day(spoilt_files: Day, fault: Record) -> None:
    assert_stopped(spoilt_files, fault)
    version = current_version(spoilt_files.settings)
    assert version is not None and version.as_of_date == YESTERDAY


@pytest.mark.parametrize("fault", IN_RAW, ids=name)
def test_a_fault_in_raw_stops_the_day(spoilt_raw: Day, fault: Record) -> None:
    assert_stopped(spoilt_raw, fault)


@pytest.mark.parametrize("fault", IN_MODELS, ids=name)
def test_a_fault_in_the_models_is_found(spoilt_candidate: Day, fault: Record) -> None:
    if fault["severity"] == "critical":
        assert_stopped(spoilt_candidate, fault)
        return
    result = spoilt_candidate.result(fault["check"])
    assert not result.success and result.severity == fault["severity"]
    assert_found(result, fault)
    assert_mail(spoilt_candidate, fault)


def test_what_was_stopped_once_is_not_passed_by_trying_again(
    clean: Day, tmp_path: Path, seen: list[CheckReport]
) -> None:
    """The second attempt finds every row unchanged; the rows are still the ones that were not passed."""
    settings = copy_of(clean, tmp_path / "home")
    rows = rows_of(TODAY)
    plant(rows, {"entity": "invoices", "rename": {"due_date": "DueDt"}})
    write(tmp_path / "home" / "files", rows)
    source = get_source(settings, SOURCE)
    for run in ("first", "second"):
        extract_all(settings, source, TODAY, run)
        load(settings, source, TODAY, run)
        report = pipeline.check_source(settings, SOURCE, TODAY, run)
        assert f"raw.{SOURCE}.invoices.no_vital_column_went_empty" in {
            f"{failure.suite}.{failure.check}" for failure in report.failed("critical")
        }
    write(tmp_path / "home" / "files", rows_of(TODAY))
    extract_all(settings, source, TODAY, "mended")
    load(settings, source, TODAY, "mended")
    assert pipeline.check_source(settings, SOURCE, TODAY, "mended").passed


def test_the_numbers_of_a_run_are_recorded_for_the_next(published: Day) -> None:
    with reading(published.settings.warehouse) as connection:
        rows = connection.execute(
            "select as_of_date, observed::decimal(18, 2) from quality.check_results"
            " where suite = 'raw.erp.loads' and \"check\" = 'new_receipts_are_as_many_as_usual'"
            f" and as_of_date >= date '{YESTERDAY}' - 1 order by 1"
        ).fetchall()
    assert [day for day, _ in rows] == [YESTERDAY - timedelta(days=1), YESTERDAY, TODAY]
    assert [value for _, value in rows] == [1, 38, 35]


def assert_stopped(day: Day, fault: Record) -> None:
    result = day.result(fault["check"])
    assert not result.success and result.severity == fault["severity"] == "critical"
    assert_found(result, fault)
    with pytest.raises(CheckFailedError):
        day.report_of(fault["check"]).raise_for_critical()
    assert_mail(day, fault)


def assert_found(result: CheckResult, fault: Record) -> None:
    """The planted row is among those that the check shows."""
    assert "could not" not in result.observed, result.observed
    if "finds" in fault:
        shown = json.dumps([dict(row) for row in result.examples])
        assert fault["finds"] in shown, shown


def assert_mail(day: Day, fault: Record) -> None:
    """The mail about it says what the failure means, and whether the day is published; info is not mailed."""
    incident = incident_of_report(
        day.settings, day.report_of(fault["check"]), dag="publish_receivables", task="check_marts"
    )
    if fault["severity"] == "info":
        assert incident is None
        return
    assert incident is not None
    text = " ".join(render([incident]).text.split())
    assert fault["mail"] in text
    assert ("are not published" in text) == (fault["severity"] == "critical")
