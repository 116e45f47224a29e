"""Runs the suites of `expectations/` in one Great Expectations context on one read-only DuckDB file."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

# Nothing about a finance system leaves the machine by default. Read at import by Great Expectations.
os.environ["GX_ANALYTICS_ENABLED"] = "false"
import duckdb
import great_expectations as gx
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context import EphemeralDataContext
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    Expectation,
    MulticolumnMapExpectation,
)
from sqlalchemy.dialects import registry

from receivables import landing
from receivables.checks import data_docs
from receivables.checks.report import CheckReport, CheckResult
from receivables.checks.suites import (
    EXAMPLES,
    ExpectNoRows,
    Extract,
    MartsScope,
    RawScope,
    Rule,
    Suite,
    as_text,
    bound,
)
from receivables.errors import ConfigError
from receivables.publish import PUBLIC, current_version
from receivables.settings import Settings
from receivables.warehouse import reading

logger = logging.getLogger(__name__)

# They judge rows; the others judge the table as a whole.
ROW_BY_ROW = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation, ExpectNoRows)

# Also an entry point of the package; said here too, so that a checkout on PYTHONPATH works uninstalled.
registry.register("duckdb.readonly", "receivables.checks.dialect", "ReadOnlyDuckDB")


def check_raw(settings: Settings, source: str, day: date, run: str) -> CheckReport:
    with reading(settings.warehouse) as connection:
        scope = raw_scope(settings, connection, source=source, day=day, run=run)
        suites = load_suites(settings.root / "expectations", "raw", scope)
        return _run(
            settings, connection, settings.warehouse, suites, stage="raw", source=source, day=day, run=run
        )


def check_marts(settings: Settings, database: Path, day: date, run: str) -> CheckReport:
    suites = load_suites(settings.root / "expectations", "marts", marts_scope(settings, day=day, run=run))
    with reading(database) as connection:
        return _run(settings, connection, database, suites, stage="marts", source=None, day=day, run=run)


def raw_scope(
    settings: Settings, connection: duckdb.DuckDBPyConnection, *, source: str, day: date, run: str
) -> RawScope:
    """What `run` loaded of `source`, and what its extracts say they hold."""
    loaded: dict[str, tuple[str, ...]] = {}
    for entity, load_id in connection.execute(
        "select entity, load_id from quality.loads where source = ? and run = ? order by started_at",
        [source, run],
    ).fetchall():
        loaded[entity] = (*loaded.get(entity, ()), load_id)
    extracts = {}
    for entity in loaded:
        folder = landing.extract_folder(settings, source=source, entity=entity, run=run)
        manifest = landing.read_manifest(folder)
        if manifest is not None:
            extracts[entity] = Extract(
                rows=manifest.rows + manifest.refused_rows,
                checksum=manifest.checksum,
                is_distinct=manifest.distinct,
            )
    return RawScope(source=source, day=day, run=run, loaded=loaded, extracts=extracts)


def marts_scope(settings: Settings, *, day: date, run: str) -> MartsScope:
    """The day, and the row counts of the published version when it is not of a later day."""
    current = current_version(settings)
    if current is None or current.as_of_date > day:
        return MartsScope(day=day, run=run)
    facts = json.loads((current.path / "manifest.json").read_text(encoding="utf-8"))
    tables = facts["files"][PUBLIC]["tables"]
    rows = {
        name.removeprefix("marts."): table["rows"]
        for name, table in tables.items()
        if name.startswith("marts.")
    }
    return MartsScope(day=day, run=run, previous_rows=rows)


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
    context = data_docs.context(settings.data_docs)
    results = evaluate(context, connection, database, suites, run=run)
    index, pages = data_docs.build(
        settings.data_docs, context, results, stage=stage, source=source, day=day, run=run
    )
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


def evaluate(
    context: EphemeralDataContext,
    connection: duckdb.DuckDBPyConnection,
    database: Path,
    suites: Iterable[Suite],
    *,
    run: str,
) -> list[CheckResult]:
    """The results of `suites` on the file `database`, in the order of the rules.

    `connection` is an open reading connection to the same file: as long as it is open, no other process can
    take the file for writing between two suites.
    """
    checked_at = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    identifier = RunIdentifier(run_name=run, run_time=datetime.now(UTC))
    datasource = context.data_sources.add_sql(
        database.stem, connection_string=f"duckdb+readonly:///{database.resolve()}"
    )
    results: list[CheckResult] = []
    try:
        for suite in suites:
            problem = _unreadable(connection, suite.query)
            if problem:
                results.append(_unreadable_result(suite, problem, checked_at))
            else:
                results.extend(_run_suite(context, datasource, suite, identifier, checked_at))
    finally:
        # Great Expectations opens one engine to try the connection and one to work; both hold the file.
        datasource.get_engine().dispose()
        datasource.get_execution_engine().close()
    return results


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
                    expectations=[bound(rule.expectation, suite.query) for rule in suite.rules],
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
    if "element_count" in details:
        rows_failed = details["unexpected_count"]
        observed = f"{rows_failed} of {details['element_count']} rows"
    elif isinstance(rule.expectation, ExpectNoRows) and details:
        rows_failed = details["observed_value"]
        observed = _rows(rows_failed)
    elif "observed_value" in details:
        rows_failed = None
        observed = as_text(details["observed_value"]) or "nothing"
    else:
        rows_failed = None
        observed = f"could not be computed: {_exception(outcome)}"
    return CheckResult(
        suite=suite.name,
        check=rule.name,
        severity=rule.severity,
        success=bool(outcome.success),
        sentence=rule.sentence,
        observed=observed,
        expected=_expected(rule.expectation, outcome.expectation_config.kwargs),
        rows_failed=rows_failed,
        examples=() if outcome.success else _examples(details),
        note=rule.note,
        owner=rule.owner,
        checked_at=checked_at,
    )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _expected(expectation: Expectation, arguments: Mapping[str, Any]) -> str:
    if isinstance(expectation, ROW_BY_ROW):
        return "no row"
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
    found = details.get("details", {})
    if "columns" in found:
        return tuple(dict(zip(found["columns"], row, strict=True)) for row in found["unexpected_rows"])
    rows = details.get("partial_unexpected_index_list") or details.get("partial_unexpected_list") or []
    return tuple(
        {key: as_text(value) for key, value in (row if isinstance(row, Mapping) else {"value": row}).items()}
        for row in rows[:EXAMPLES]
    )
