"""What a set of checks found, and the record of it in `quality.check_results`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import duckdb

from receivables.errors import CheckFailedError
from receivables.warehouse import QUALITY_TABLES, open_database

Severity = Literal["critical", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")


@dataclass(frozen=True)
class CheckResult:
    """One rule on one table.

    `rows_failed` is null where the rule is about the table as a whole. `examples` holds up to five of the
    rows that broke the rule, as text, so that amounts stay exact. `companies` counts all of those rows by
    company; empty where the company of any of them is not known.
    """

    suite: str
    check: str
    severity: Severity
    success: bool
    sentence: str
    observed: str
    expected: str
    rows_failed: int | None
    examples: tuple[Mapping[str, str | None], ...]
    note: str
    owner: str
    checked_at: datetime
    companies: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckReport:
    """All results of one stage of one run. A critical failure decides; everything else informs."""

    run: str
    day: date
    stage: Literal["raw", "marts"]
    source: str | None
    results: tuple[CheckResult, ...]
    data_docs: Path
    pages: Mapping[str, Path] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """False when a critical check failed: nothing may be published then."""
        return not self.failed("critical")

    def failed(self, severity: Severity | None = None) -> tuple[CheckResult, ...]:
        """The failed results, worst first; of one severity when it is named."""
        failures = [
            result for result in self.results if not result.success and severity in (None, result.severity)
        ]
        return tuple(sorted(failures, key=lambda result: SEVERITIES.index(result.severity)))

    def summary(self) -> str:
        """One line for logs and `quality.runs`: `41 checks: 39 passed, 1 critical and 1 warning failed`."""
        counts = [
            f"{len(self.failed(severity))} {severity}" for severity in SEVERITIES if self.failed(severity)
        ]
        passed = sum(result.success for result in self.results)
        tail = f", failed: {', '.join(counts)}" if counts else ""
        return f"{len(self.results)} checks: {passed} passed{tail}"

    def raise_for_critical(self) -> None:
        """Stop the run.

        Raises:
            CheckFailedError: a critical check failed; the message names the first ones and the page.
        """
        critical = self.failed("critical")
        if not critical:
            return
        named = "; ".join(f"{result.suite}.{result.check} ({result.observed})" for result in critical[:3])
        more = f" and {len(critical) - 3} more" if len(critical) > 3 else ""
        raise CheckFailedError(
            f"checks on {self.source or 'the marts'} of {self.day}",
            cause=f"{len(critical)} critical failed: {named}{more}",
            next_step=f"read {self.data_docs}, mend the source or the rule and run the day again;"
            " readers keep the last good version until then",
        )


_TABLE = next(part for part in QUALITY_TABLES.split(";") if "quality.check_results" in part)


def record_results(connection: duckdb.DuckDBPyConnection, report: CheckReport) -> None:
    """Write the results into `quality.check_results`; the same suites of the same run are replaced."""
    connection.execute("create schema if not exists quality")
    connection.execute(_TABLE)
    connection.execute("begin transaction")
    try:
        for suite in dict.fromkeys(result.suite for result in report.results):
            connection.execute(
                "delete from quality.check_results where run = ? and suite = ?", [report.run, suite]
            )
        for result in report.results:
            connection.execute(
                'insert into quality.check_results (run, as_of_date, suite, "check", severity, observed,'
                " expected, success, rows_failed, examples, note, owner, checked_at)"
                " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                _row(report, result),
            )
        connection.execute("commit")
    except duckdb.Error:
        connection.execute("rollback")
        raise


def write_results(database: Path, report: CheckReport) -> None:
    """`record_results` into a file: the warehouse, or a candidate version before it is made read-only."""
    connection = open_database(database, read_only=False)
    try:
        record_results(connection, report)
    finally:
        connection.close()


def _row(report: CheckReport, result: CheckResult) -> list[Any]:
    return [
        report.run,
        report.day,
        result.suite,
        result.check,
        result.severity,
        result.observed,
        result.expected,
        result.success,
        result.rows_failed,
        json.dumps([dict(example) for example in result.examples], ensure_ascii=False),
        result.note,
        result.owner,
        result.checked_at,
    ]
