"""Runs the suites of `expectations/` in one Great Expectations context on one read-only DuckDB file."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
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
from receivables.checks.companies import failed_by_company
from receivables.checks.custom import load_custom
from receivables.checks.history import expected, learn
from receivables.checks.report import CheckReport, CheckResult
from receivables.checks.suites import (
    EXAMPLES,
    CanonicalScope,
    ExpectNoRows,
    ExpectUsual,
    Extract,
    MartsScope,
    RawScope,
    Rule,
    Scope,
    Suite,
    as_text,
    bound,
)
from receivables.entities import ENTITIES
from receivables.errors import ConfigError
from receivables.publish import PUBLIC, current_version
from receivables.settings import Settings
from receivables.sources import load_sources
from receivables.sources.config import RefusedLimit
from receivables.warehouse import reading

logger = logging.getLogger(__name__)

# Any day, where rules are only counted.
FIRST_DAY = date(2000, 1, 1)

# They judge rows; the others judge the table as a whole.
ROW_BY_ROW = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation, ExpectNoRows)

# Also an entry point of the package; said here too, so that a checkout on PYTHONPATH works uninstalled.
registry.register("duckdb.readonly", "receivables.checks.dialect", "ReadOnlyDuckDB")


def check_raw(settings: Settings, source: str, day: date, run: str) -> CheckReport:
    with reading(settings.warehouse) as connection:
        scope = raw_scope(settings, connection, source=source, day=day, run=run)
        suites = load_suites(_folder(settings), "raw", scope)
        checks = _Checks(settings, day=day, run=run, stage="raw", source=source)
        checks.run(connection, settings.warehouse, suites)
    return checks.report()


def check_marts(settings: Settings, database: Path, day: date, run: str) -> CheckReport:
    checks = _Checks(settings, day=day, run=run, stage="marts", source=None)
    # A version can also be checked by itself, where the database that it was made from is not.
    if settings.warehouse.exists():
        with reading(settings.warehouse) as connection:
            canonical = canonical_scope(settings, connection, day=day, run=run)
            suites = load_suites(_folder(settings), "canonical", canonical)
            checks.run(connection, settings.warehouse, suites)
    with reading(database) as connection:
        marts = marts_scope(settings, connection, day=day, run=run)
        checks.run(connection, database, load_suites(_folder(settings), "marts", marts))
    return checks.report()


def _folder(settings: Settings) -> Path:
    return settings.root / "expectations"


def raw_scope(
    settings: Settings, connection: duckdb.DuckDBPyConnection, *, source: str, day: date, run: str
) -> RawScope:
    """What `run` loaded of `source`, what its extracts say they hold, and what was never passed before."""
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
            before = landing.earlier_manifest(settings, source=source, entity=entity, run=run)
            extracts[entity] = Extract(
                rows=manifest.rows + manifest.refused_rows,
                checksum=manifest.checksum,
                is_distinct=manifest.distinct,
                columns=_source_types(manifest),
                columns_before=_source_types(before) if before else {},
            )
    return RawScope(
        day=day,
        run=run,
        source=source,
        loaded=loaded,
        pending=_pending(connection, source, run=run),
        currencies=_currencies(connection, source, day),
        extracts=extracts,
        refused_limit=_refused_limit(settings, source),
        history=learn(connection, day, suites=f"raw.{source}."),
    )


def _source_types(manifest: landing.Manifest) -> dict[str, str]:
    """Column and type; '' for a column whose type the source does not say (null: no row had a value)."""
    types = {name: kind for name, kind in manifest.source_types.items() if kind not in ("null", "string")}
    return {name: types.get(name, "") for name in manifest.source_columns}


def _refused_limit(settings: Settings, source: str) -> RefusedLimit:
    known = load_sources(settings) if settings.sources_dir.is_dir() else {}
    return known[source].refused_limit if source in known else RefusedLimit()


def _pending(connection: duckdb.DuckDBPyConnection, source: str, *, run: str) -> dict[str, tuple[str, ...]]:
    """The loads of other runs since the last run whose raw checks were passed, or that was published."""
    rows = connection.execute(
        """
        with

        runs as (

            select run, max(started_at) as loaded_at from quality.loads
            where source = $source and run <> $run and status = 'loaded'
            group by run

        ),

        passed as (

            select max(loaded_at) as loaded_at from runs
            where run in (
                select run from quality.runs
                where status = 'done' and step in ('publish', 'check_raw_' || $source)
            )

        )

        select loads.entity, loads.load_id from quality.loads as loads
        inner join runs on runs.run = loads.run
        where loads.source = $source
            and runs.loaded_at > coalesce((select loaded_at from passed), timestamp '0001-01-01')
        order by loads.started_at
        """,
        {"source": source, "run": run},
    ).fetchall()
    pending: dict[str, tuple[str, ...]] = {}
    for entity, load_id in rows:
        pending[entity] = (*pending.get(entity, ()), load_id)
    return pending


def _currencies(connection: duckdb.DuckDBPyConnection, source: str, day: date) -> dict[str, tuple[str, ...]]:
    """The currencies of the control totals of the last weeks, by entity."""
    rows = connection.execute(
        """
        select entity, list(distinct currency_code order by currency_code) from (
            select entity, unnest(json_keys(control_totals)) as currency_code from quality.loads
            where source = ? and as_of_date <= ? and as_of_date > ? and control_totals is not null
        ) as totals
        where regexp_full_match(currency_code, '[A-Z]{3}')
        group by entity
        """,
        [source, day, day - timedelta(days=100)],
    ).fetchall()
    return {entity: tuple(currencies) for entity, currencies in rows}


def canonical_scope(
    settings: Settings, connection: duckdb.DuckDBPyConnection, *, day: date, run: str
) -> CanonicalScope:
    """The slice since the published version, and the entities of which there is anything."""
    current = current_version(settings)
    since = None
    if current is not None:
        since = min(current.as_of_date, day - timedelta(days=1))
    there = {
        name
        for (name,) in connection.execute(
            "select table_name from information_schema.tables where table_schema = 'raw'"
        ).fetchall()
    }
    entities = frozenset(
        name
        for name in ENTITIES
        if name in there and connection.execute(f"select 1 from raw.{name} limit 1").fetchone()  # noqa: S608
    )
    return CanonicalScope(day=day, run=run, since=since, entities=entities)


def marts_scope(
    settings: Settings, connection: duckdb.DuckDBPyConnection, *, day: date, run: str
) -> MartsScope:
    """The day, the companies, and the row counts of the published version when it is not of a later day."""
    scope = MartsScope(
        day=day,
        run=run,
        companies=_companies(connection),
        history=learn(connection, day, suites="marts.business"),
    )
    current = current_version(settings)
    if current is None or current.as_of_date > day:
        return scope
    facts = json.loads((current.path / "manifest.json").read_text(encoding="utf-8"))
    tables = facts["files"][PUBLIC]["tables"]
    rows = {
        name.removeprefix("marts."): table["rows"]
        for name, table in tables.items()
        if name.startswith("marts.")
    }
    return replace(scope, previous_rows=rows)


def _companies(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    try:
        rows = connection.execute("select distinct company_id from marts.dim_companies order by 1").fetchall()
    except duckdb.Error:
        return ()  # the suites that read the table say that it is not there
    return tuple(str(company) for (company,) in rows)


Stage = Literal["raw", "canonical", "marts"]


def load_suites(folder: Path, stage: Stage, scope: Scope) -> list[Suite]:
    """The suites of one stage, from every `expectations/<stage>_*.py`, and the company's own.

    Raises:
        ConfigError: the folder holds no such file, a file cannot be run, two rules share a name, or a file of
            `custom/` is wrong.
    """
    files = sorted(folder.glob(f"{stage}_*.py"))
    if not files:
        raise ConfigError(
            f"expectations {folder}",
            cause=f"no {stage}_*.py there, so nothing would be checked",
            next_step="point RECEIVABLES_ROOT at the checkout, or restore the folder",
        )
    custom = load_custom(folder)
    suites = _own_suites(files, replace(scope, limits=custom.limits))
    if not custom.files:
        return suites
    every = _own_suites(files, replace(_with_every_entity(scope), limits=custom.limits))
    known = {f"{suite.name}.{entry.name}" for suite in (*every, *suites) for entry in suite.rules}
    stages = [f"raw.{scope.source}"] if isinstance(scope, RawScope) else [stage]
    return custom.apply(suites, stages=stages, known=known)


def count_rules(settings: Settings) -> int:
    """The number of rules when every source brings everything; reads `custom/` as the checks do.

    Raises:
        ConfigError: a file of `expectations/` is wrong, or of `custom/` names a source that is not there.
    """
    folder = _folder(settings)
    sources = list(load_sources(settings))
    load_custom(folder).check_sources(sources)
    scopes: list[tuple[Stage, Scope]] = [
        ("canonical", CanonicalScope(day=FIRST_DAY, run="")),
        ("marts", MartsScope(day=FIRST_DAY, run="")),
    ]
    scopes += [("raw", RawScope(day=FIRST_DAY, run="", source=source)) for source in sources]
    return sum(
        len(suite.rules)
        for stage, scope in scopes
        for suite in load_suites(folder, stage, _with_every_entity(scope))
    )


def _with_every_entity(scope: Scope) -> Scope:
    """The scope of a day on which everything arrived: a setting for another day is not a wrong one."""
    if isinstance(scope, RawScope):
        return replace(scope, loaded=dict.fromkeys(ENTITIES, ("",)))
    if isinstance(scope, CanonicalScope):
        return replace(scope, entities=frozenset(ENTITIES))
    return scope


def _own_suites(files: list[Path], scope: Scope) -> list[Suite]:
    suites: list[Suite] = []
    for file in files:
        suites.extend(_suites_of(file, scope))
    seen: set[tuple[str, str]] = set()
    for suite in suites:
        for rule in suite.rules:
            if (suite.name, rule.name) in seen:
                raise ConfigError(
                    f"expectations {files[0].parent}",
                    cause=f"{suite.name} has two rules named {rule.name}",
                    next_step="rename one: results are recorded by suite and name",
                )
            seen.add((suite.name, rule.name))
    return suites


def _suites_of(file: Path, scope: Scope) -> Iterable[Suite]:
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


class _Checks:
    """The checks of one stage of one run, perhaps over several databases, with one set of Data Docs."""

    def __init__(self, settings: Settings, *, day: date, run: str, stage: str, source: str | None) -> None:
        self.settings, self.day, self.run_name = settings, day, run
        self.stage: Literal["raw", "marts"] = "raw" if stage == "raw" else "marts"
        self.source = source
        self.context = data_docs.context(settings.data_docs)
        self.results: list[CheckResult] = []

    def run(self, connection: duckdb.DuckDBPyConnection, database: Path, suites: list[Suite]) -> None:
        self.results += evaluate(self.context, connection, database, suites, run=self.run_name)

    def report(self) -> CheckReport:
        index, pages = data_docs.build(
            self.settings.data_docs,
            self.context,
            self.results,
            stage=self.stage,
            source=self.source,
            day=self.day,
            run=self.run_name,
        )
        report = CheckReport(
            run=self.run_name,
            day=self.day,
            stage=self.stage,
            source=self.source,
            results=tuple(self.results),
            data_docs=index,
            pages=pages,
        )
        logger.info(
            "checks on %s of %s: %s; %s", self.source or "the marts", self.day, report.summary(), index
        )
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
                results.extend(_run_suite(context, datasource, connection, suite, identifier, checked_at))
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
    context: Any,
    datasource: Any,
    connection: duckdb.DuckDBPyConnection,
    suite: Suite,
    identifier: RunIdentifier,
    checked_at: datetime,
) -> list[CheckResult]:
    passed_over = {
        rule.name: reason for rule in suite.rules if (reason := _not_checked(connection, rule)) is not None
    }
    rules = [rule for rule in suite.rules if rule.name not in passed_over]
    rows = datasource.add_query_asset(suite.name, suite.query).add_batch_definition_whole_table("all")
    by_name = _outcomes(context, rows, suite, rules, identifier) if rules else {}
    results = [
        _passed_over(suite, rule, passed_over[rule.name], checked_at)
        if rule.name in passed_over
        else _result(suite, rule, by_name[rule.name], checked_at)
        for rule in suite.rules
    ]
    return [
        replace(
            result,
            companies=failed_by_company(
                connection, rows.get_batch(), suite, rule, rows_failed=result.rows_failed
            ),
        )
        if result.rows_failed and not result.success
        else result
        for rule, result in zip(suite.rules, results, strict=True)
    ]


def _not_checked(connection: duckdb.DuckDBPyConnection, rule: Rule) -> str | None:
    """Why a rule is not checked: switched off, or without the data that it is about."""
    if rule.off is not None:
        return f"switched off: {rule.off}"
    if rule.needs is None:
        return None
    try:
        is_there = connection.execute(f"select 1 from ({rule.needs.query}) as needed limit 1").fetchone()  # noqa: S608
    except duckdb.Error:
        return None  # a table that is gone: let the rule say so
    return None if is_there else f"not applicable: {rule.needs.otherwise}"


def _passed_over(suite: Suite, rule: Rule, reason: str, checked_at: datetime) -> CheckResult:
    return CheckResult(
        suite=suite.name,
        check=rule.name,
        severity=rule.severity,
        success=True,
        sentence=rule.sentence,
        observed=reason,
        expected="nothing",
        rows_failed=None,
        examples=(),
        note=rule.note,
        owner=rule.owner,
        checked_at=checked_at,
    )


def _outcomes(
    context: Any, rows: Any, suite: Suite, rules: list[Rule], identifier: RunIdentifier
) -> dict[str, Any]:
    """What Great Expectations found, by the rule's name."""
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=suite.name,
            data=rows,
            suite=context.suites.add(
                gx.ExpectationSuite(
                    suite.name, expectations=[bound(rule.expectation, suite.query) for rule in rules]
                )
            ),
        )
    )
    result_format: dict[str, Any] = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}
    if suite.key:
        result_format["unexpected_index_column_names"] = list(suite.key)
    outcome = definition.run(result_format=result_format, run_id=identifier)
    return {result.expectation_config.meta["name"]: result for result in outcome.results}


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
    if isinstance(expectation, ExpectUsual):
        return expected(expectation.low, expectation.high, expectation.learnt)
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
