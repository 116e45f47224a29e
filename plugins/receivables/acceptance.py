"""A person lets one failed check of one run pass; the record of it is published with the marts.

An acceptance never widens: it is about one check (`suite.check`) and one run. The next run is judged anew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import duckdb

from receivables.errors import PermanentError
from receivables.settings import Settings
from receivables.warehouse import reading, writing

if TYPE_CHECKING:
    from receivables.checks import CheckReport, CheckResult


@dataclass(frozen=True)
class Acceptance:
    """Who let which failed check of which run pass, and why."""

    run: str
    as_of_date: date
    suite: str
    check: str
    accepted_by: str
    reason: str
    accepted_at: datetime
    observed: str | None = None

    @property
    def name(self) -> str:
        return f"{self.suite}.{self.check}"


def record_acceptances(
    settings: Settings, day: date, run: str, checks: Sequence[str], *, by: str, reason: str
) -> list[str]:
    """Accept failed critical checks of `run`; return their full names, as `suite.check`.

    Args:
        checks: full names, or the name of the check alone where only one suite has a failed check of it.

    Raises:
        PermanentError: no name or reason is given, or `run` has no such failed critical check.
        TransientError: another process is writing to the warehouse.
    """
    who, why = _said("--by", by), _said("--reason", reason)
    with writing(settings.warehouse) as connection:
        failed = failed_critical(connection, run)
        names = [_full_name(check, failed, run) for check in checks]
        connection.execute("begin")
        for name in names:
            suite, _, check = name.rpartition(".")
            connection.execute(
                'delete from quality.acceptances where run = ? and suite = ? and "check" = ?',
                [run, suite, check],
            )
            connection.execute(
                'insert into quality.acceptances (run, as_of_date, suite, "check", observed, accepted_by,'
                " reason, accepted_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
                [run, day, suite, check, failed[name], who, why, datetime.now(UTC).replace(tzinfo=None)],
            )
        connection.execute("commit")
    return names


def accepted_checks(settings: Settings, run: str) -> dict[str, Acceptance]:
    """The acceptances of one run, by `suite.check`."""
    if not settings.warehouse.exists():
        return {}
    with reading(settings.warehouse) as connection:
        try:
            rows = connection.execute(
                'select run, as_of_date, suite, "check", accepted_by, reason, accepted_at, observed'
                " from quality.acceptances where run = ?",
                [run],
            ).fetchall()
        except duckdb.CatalogException:  # a warehouse that an older release made, and nobody wrote to since
            return {}
    found = [Acceptance(*row) for row in rows]
    return {acceptance.name: acceptance for acceptance in found}


def failed_critical(connection: duckdb.DuckDBPyConnection, run: str) -> dict[str, str]:
    """What `run` failed critically, by `suite.check`, with what was observed."""
    return dict(
        connection.execute(
            "select suite || '.' || \"check\", observed from quality.check_results"
            " where run = ? and severity = 'critical' and not success order by 1",
            [run],
        ).fetchall()
    )


def full_name(result: CheckResult) -> str:
    """How a check is named to people: `suite.check`."""
    return f"{result.suite}.{result.check}"


def without_accepted(report: CheckReport, accepted: Collection[str]) -> CheckReport:
    """The report as if the accepted checks had not been asked."""
    kept = tuple(result for result in report.results if result.success or full_name(result) not in accepted)
    return replace(report, results=kept)


def raise_unless_accepted(settings: Settings, report: CheckReport) -> None:
    """Stop the run for every failed critical check that nobody has accepted for it.

    Raises:
        CheckFailedError: names the checks.
    """
    if not report.passed:
        without_accepted(report, accepted_checks(settings, report.run)).raise_for_critical()


def _said(option: str, text: str) -> str:
    flat = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if not re.search(r"\w", flat):
        raise PermanentError(
            f"acceptance without {option}",
            cause="whoever reads the numbers later must see who decided, and why",
            next_step="give --by NAME and --reason TEXT",
        )
    return flat


def _full_name(given: str, failed: Collection[str], run: str) -> str:
    found = [name for name in failed if name == given] or [
        name for name in failed if name.rpartition(".")[2] == given
    ]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(failed) or "none"
    raise PermanentError(
        f"check {given} of run {run}",
        cause=f"fits {len(found)} failed critical checks of that run" if found else "did not fail critically",
        next_step=f"name one of those that did: {listed}",
    )
