"""Runs the suites of `expectations/` in one Great Expectations context on one read-only DuckDB file."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

# Nothing about a finance system leaves the machine by default. Read at import by Great Expectations.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

import duckdb
import great_expectations as gx
from great_expectations.core.run_identifier import RunIdentifier
from sqlalchemy.dialects import registry

from receivables.checks import data_docs
from receivables.checks.report import CheckReport, CheckResult
from receivables.checks.suites import EXAMPLES, MartsScope, RawScope, Rule, Suite
from receivables.errors import ConfigError
from receivables.settings import Settings
from receivables.warehouse import reading

logger = logging.getLogger(__name__)

# Also an entry point of the package; said here too, so that a checkout on PYTHONPATH works uninstalled.
registry.register("duckdb.readonly", "receivables.checks.dialect", "ReadOnlyDuckDB")


def check_raw(settings: Settings, source: str, day: date, run: str) -> CheckReport:
    with reading(settings.warehouse) as connection:
        scope = RawScope(source=source, day=day, run=run, loaded=_loaded(connection, source, run))
        suites = load_suites(settings.root / "expectations", "raw", scope)
        return _run(
            settings, connection, settings.warehouse, suites, stage="raw", source=source, day=day, run=run
        )


def check_marts(settings: Settings, database: Path, day: date, run: str) -> CheckReport:
    scope = MartsScope(day=day, run=run, previous_rows=_published_rows(settings.published_database, day))
    suites = load_suites(settings.root / "expectations", "marts", scope)
    with reading(database) as connection:
        return _run(settings, connection, database, suites, stage="marts", source=None, day=day, run=run)


def load_suites(folder: Path, stage: Literal["raw", "marts"], scope: RawScope | MartsScope) -> list[Suite]:
    """The suites of one stage: every `expectations/<stage>_*.py` has a `suites(scope)`.

    Raises:
        ConfigError: the folder holds no such file, a file cannot be run, or two rules share a name.
    """
    files = sorted(folder.glob(f"{stage}_*.py"))
    if not files:
        raise ConfigError(
            f"expectations {folder}",
            cause=f"no {stage}_*.py there, so nothing would be checked",
            next_step="point RECEIVABLES_ROOT at the checkout, or restore the folder",
        )
    suites: list[Suite] = []
    for file in files:
        suites.extend(_suites_of(file, scope))
    seen: set[tuple[str, str]] = set()
    for suite in suites:
        for rule in suite.rules:
            if (suite.name, rule.name) in seen:
                raise ConfigError(
                    f"expectations {folder}",
                    cause=f"{suite.name} has two rules named {rule.name}",
                    next_step="rename one: results are recorded by suite and name",
                )
            seen.add((suite.name, rule.name))
    return suites


def _suites_of(file: Path, scope: RawScope | MartsScope) -> Iterable[Suite]:
    try:
        return _module(file).suites(scope)
    except Exception as error:  # any mistake in a rule file must name the file, whatever it raised
        raise ConfigError(
            f"expectations {file}",
            cause=f"{type(error).__name__}: {error}",
            next_step="mend the file; expectations/README.md shows how a rule is written",
        ) from error


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"receivables_expectations_{file.stem}", file)
    assert spec is not None and spec.loader is not None, file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _loaded(connection: duckdb.DuckDBPyConnection, source: str, run: str) -> dict[str, tuple[str, ...]]:
    loads: dict[str, tuple[str, ...]] = {}
    for entity, load_id in connection.execute(
        "select entity, load_id from quality.loads where source = ? and run = ? order by started_at",
        [source, run],
    ).fetchall():
        loads[entity] = (*loads.get(entity, ()), load_id)
    return loads


def _published_rows(database: Path, day: date) -> dict[str, int]:
    """Rows per published mart; empty when there is no earlier version to compare with."""
    if not database.exists():
        return {}
    with reading(database) as connection:
        tables = [
            row[0]
            for row in connection.execute(
                "select table_name from duckdb_tables() where schema_name = 'marts' order by 1"
            ).fetchall()
        ]
        if "ar_open_items" not in tables:
            return {}
        newest = connection.execute("select max(as_of_date) from marts.ar_open_items").fetchone()
        if newest is not None and newest[0] is not None and newest[0] > day:
            return {}
        return {
            table: connection.execute(f'select count(*) from marts."{table}"').fetchall()[0][0]
            for table in tables
        }


def _run(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    database: Path,
    suites: list[Suite],
    *,
    stage: Literal["raw", "marts"],
    source: str | None,
    day: date,
    run: str,
) -> CheckReport:
    # `connection` stays open: as long as it does, no other process can take the file for writing.
    checked_at = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    results: list[CheckResult] = []
    readable: list[Suite] = []
    for suite in suites:
        problem = _unreadable(connection, suite.query)
        if problem:
            results.append(_unreadable_result(suite, problem, checked_at))
        else:
            readable.append(suite)
    context = data_docs.context(settings.data_docs)
    datasource = context.data_sources.add_sql(
        "candidate" if stage == "marts" else "warehouse",
        connection_string=f"duckdb+readonly:///{database.resolve()}",
    )
    try:
        identifier = RunIdentifier(run_name=run, run_time=datetime.now(UTC))
        for suite in readable:
            results.extend(_run_suite(context, datasource, suite, identifier, checked_at))
        index, pages = data_docs.build(
            settings.data_docs, context, results, stage=stage, source=source, day=day, run=run
        )
    finally:
        datasource.get_engine().dispose()
        datasource.get_execution_engine().close()
    report = CheckReport(
        run=run,
        day=day,
        stage=stage,
        source=source,
        results=tuple(results),
        data_docs=index,
        pages=pages,
    )
    logger.info("checks on %s of %s: %s; %s", source or "the marts", day, report.summary(), index)
    for failure in report.failed():
        logger.warning(
            "%s: %s.%s: %s Observed %s, expected %s.",
            failure.severity,
            failure.suite,
            failure.check,
            failure.sentence,
            failure.observed,
            failure.expected,
        )
    return report


def _unreadable(connection: duckdb.DuckDBPyConnection, query: str) -> str | None:
    try:
        connection.execute(f"explain {query}")
    except duckdb.Error as error:
        return str(error).splitlines()[0]
    return None


def _unreadable_result(suite: Suite, problem: str, checked_at: datetime) -> CheckResult:
    return CheckResult(
        suite=suite.name,
        check="the_table_can_be_read",
        severity="critical",
        success=False,
        sentence=f"What {suite.name} checks is there, with the columns it reads.",
        observed=problem,
        expected="a table that can be read",
        rows_failed=None,
        examples=(),
        note="Reports that read this table break, or silently show nothing.",
        owner="data engineering",
        checked_at=checked_at,
    )


def _run_suite(
    context: Any, datasource: Any, suite: Suite, identifier: RunIdentifier, checked_at: datetime
) -> list[CheckResult]:
    asset = datasource.add_query_asset(suite.name, suite.query)
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=suite.name,
            data=asset.add_batch_definition_whole_table("all"),
            suite=context.suites.add(
                gx.ExpectationSuite(
                    suite.name,
                    expectations=[rule.expectation for rule in suite.rules],
                    meta=data_docs.SUITE_META,
                )
            ),
        )
    )
    result_format: dict[str, Any] = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}
    if suite.key:
        result_format["unexpected_index_column_names"] = list(suite.key)
    outcome = definition.run(result_format=result_format, run_id=identifier)
    by_name = {result.expectation_config.meta["name"]: result for result in outcome.results}
    return [_result(suite, rule, by_name[rule.name], checked_at) for rule in suite.rules]


def _result(suite: Suite, rule: Rule, outcome: Any, checked_at: datetime) -> CheckResult:
    details: Mapping[str, Any] = outcome.result or {}
    rows_failed = details.get("unexpected_count")
    if "element_count" in details:
        observed = f"{rows_failed or 0} of {details['element_count']} rows"
    elif rows_failed is not None:
        observed = _rows(rows_failed)
    elif "observed_value" in details:
        observed = _text(details["observed_value"]) or "nothing"
    else:
        observed = f"could not be computed: {_exception(outcome)}"
    return CheckResult(
        suite=suite.name,
        check=rule.name,
        severity=rule.severity,
        success=bool(outcome.success),
        sentence=rule.sentence,
        observed=observed,
        expected="no row" if rows_failed is not None else _expected(outcome.expectation_config.kwargs),
        rows_failed=rows_failed,
        examples=() if outcome.success else _examples(details),
        note=rule.note,
        owner=rule.owner,
        checked_at=checked_at,
    )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _expected(arguments: Mapping[str, Any]) -> str:
    low, high = arguments.get("min_value"), arguments.get("max_value")
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"at least {low}"
    if high is not None:
        return f"at most {high}"
    return str(arguments.get("value", "as the rule says"))


def _exception(outcome: Any) -> str:
    """The first message in Great Expectations' exception info, which is keyed by metric or flat."""
    info = outcome.exception_info or {}
    for entry in (info, *(value for value in info.values() if isinstance(value, Mapping))):
        if entry.get("exception_message"):
            return str(entry["exception_message"]).splitlines()[0]
    return "no reason given"


def _examples(details: Mapping[str, Any]) -> tuple[dict[str, str | None], ...]:
    rows = (
        details.get("details", {}).get("unexpected_rows")
        or details.get("partial_unexpected_index_list")
        or details.get("partial_unexpected_list")
        or []
    )
    return tuple(
        {key: _text(value) for key, value in (row if isinstance(row, Mapping) else {"value": row}).items()}
        for row in rows[:EXAMPLES]
    )


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date | datetime):
        return value.isoformat(*([" "] if isinstance(value, datetime) else []))
    return str(value)
