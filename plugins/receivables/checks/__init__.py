"""The rule book of `expectations/`, run with Great Expectations on a read-only DuckDB file.

Importing this package is cheap; Great Expectations (seconds of import) is loaded by the first check.
"""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path
from types import ModuleType

from receivables.checks.report import CheckReport, CheckResult, record_results, write_results
from receivables.settings import Settings

__all__ = [
    "CheckReport",
    "CheckResult",
    "check_marts",
    "check_raw",
    "count_rules",
    "record_results",
    "write_results",
]


def check_raw(settings: Settings, source: str, day: date, run: str) -> CheckReport:
    """Did the loads of `run` arrive whole and sane? Reads the warehouse, writes only Data Docs.

    Raises:
        TransientError: another process holds the warehouse.
        ConfigError: a file of `expectations/` cannot be loaded.
    """
    return _runner().check_raw(settings, source, day, run)


def check_marts(settings: Settings, database: Path, day: date, run: str) -> CheckReport:
    """Is the candidate version in the file `database` fit to be published as the state of `day`?

    Reads the candidate and the version that is published now, writes only Data Docs.

    Raises:
        ConfigError: a file of `expectations/` cannot be loaded.
    """
    return _runner().check_marts(settings, database, day, run)


def count_rules(settings: Settings) -> int:
    """The number of rules of the installation, with the company's own.

    Raises:
        ConfigError: a file of `expectations/` is wrong; it names the file, the line and the fix.
    """
    return int(_runner().count_rules(settings))


def _runner() -> ModuleType:
    # Great Expectations reports each of its own functions at INFO while it is imported.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    from receivables.checks import runner

    return runner
