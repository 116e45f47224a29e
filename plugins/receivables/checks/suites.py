"""How a suite in `expectations/` is written: rules, each with a severity, a note and an owner."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Optional

import great_expectations.expectations as gxe
from great_expectations.compatibility import pydantic
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.render import LegacyDiagnosticRendererType, RenderedTableContent
from great_expectations.render.renderer.renderer import renderer

from receivables.checks.history import Band, History
from receivables.checks.report import Severity
from receivables.sources.config import RefusedLimit

EXAMPLES = 5
_COUNT = "_rows_failed"


class ExpectNoRows(gxe.UnexpectedRowsExpectation):
    """The query finds the rows that break the rule; it must find none.

    Great Expectations' own version runs the query twice, prints when the query names other tables than its
    batch, and drops the rows from the result. This one runs once and keeps the count and five rows.
    """

    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.table",)

    @pydantic.validator("unexpected_rows_query")
    def _validate_query(cls, query: str) -> str:  # noqa: N805 - pydantic calls it with the class
        return query.strip()

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        rows = [dict(row) for row in metrics["unexpected_rows_query.table"]]
        count = rows[0][_COUNT] if rows else 0
        columns = [column for column in (rows[0] if rows else ()) if column != _COUNT]
        # As text and in lists: Great Expectations would make floats of the amounts and sort the columns.
        examples = [[as_text(row[column]) for column in columns] for row in rows]
        details = {"columns": columns, "unexpected_rows": examples}
        return {"success": count == 0, "result": {"observed_value": count, "details": details}}

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.UNEXPECTED_TABLE)
    def _diagnostic_unexpected_table_renderer(
        cls,
        configuration: Any = None,
        result: Any = None,
        runtime_configuration: dict[str, Any] | None = None,
    ) -> list[RenderedTableContent] | None:
        """The rows that broke the rule, under the rule in Data Docs."""
        details = (result.result or {}).get("details", {}) if result else {}
        if not details.get("unexpected_rows"):
            return None
        return [
            RenderedTableContent(
                content_block_type="table",
                header_row=details["columns"],
                table=[
                    ["null" if value is None else value for value in row]
                    for row in details["unexpected_rows"]
                ],
                styling={"body": {"classes": ["table-bordered", "table-sm", "mt-3"]}},
            )
        ]


class ExpectUsual(gxe.UnexpectedRowsExpectation):
    """The query measures one number; it must lie within what former runs measured.

    `low` and `high` are decimals as text, so that amounts stay exact; without them, there is not enough
    history, and every number passes. The number is recorded either way: it is the history of later runs.
    """

    low: Optional[str] = None  # noqa: UP045 - pydantic 1 reads the annotation
    high: Optional[str] = None  # noqa: UP045
    learnt: str = ""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.table",)

    @pydantic.validator("unexpected_rows_query")
    def _validate_query(cls, query: str) -> str:  # noqa: N805 - pydantic calls it with the class
        return query.strip()

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        rows = metrics["unexpected_rows_query.table"]
        value = Decimal(str(next(iter(dict(rows[0]).values()), None) or 0)) if rows else Decimal(0)
        is_usual = self.low is None or self.high is None or Decimal(self.low) <= value <= Decimal(self.high)
        return {"success": is_usual, "result": {"observed_value": format(value, "f")}}


def as_text(value: Any) -> str | None:
    """A value of an example row: exact, and readable by people and by JSON."""
    if value is None:
        return None
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value)


def no_rows(query: str) -> ExpectNoRows:
    """An expectation that `query`, one select, finds nothing; `{batch}` in it is the suite's own query."""
    return ExpectNoRows(unexpected_rows_query=query)


def usual(query: str, band: Band) -> ExpectUsual:
    """An expectation that the one number of `query` lies in `band`; `{batch}` as in `no_rows`."""
    low, high = (None if edge is None else format(edge, "f") for edge in (band.low, band.high))
    return ExpectUsual(unexpected_rows_query=query, low=low, high=high, learnt=band.learnt)


def bound(expectation: Expectation, batch: str) -> Expectation:
    """The expectation with `{batch}` filled in, counting what it finds and returning a few of the rows.

    Great Expectations' own substitution adds an alias, or none, depending on whether the text holds a join.
    """
    if not isinstance(expectation, ExpectNoRows | ExpectUsual):
        return expectation
    query = expectation.unexpected_rows_query.replace("{batch}", f"({batch})")
    if isinstance(expectation, ExpectNoRows):
        counted = f"select *, count(*) over () as {_COUNT}"
        query = f"{counted} from (\n{query}\n) as found limit {EXAMPLES}"
    # It still formats the text: every brace left is SQL.
    return expectation.copy(update={"unexpected_rows_query": query.replace("{", "{{").replace("}", "}}")})


@dataclass(frozen=True)
class Needs:
    """What a rule cannot do without: it applies when `query` finds a row; `otherwise`: why it does not."""

    query: str
    otherwise: str


@dataclass(frozen=True)
class Rule:
    """One expectation and what people need to know about it. `off`: why it is switched off here."""

    name: str
    sentence: str
    severity: Severity
    note: str
    owner: str
    expectation: Expectation
    needs: Needs | None = None
    off: str | None = None


def rule(
    name: str,
    expectation: Expectation,
    *,
    says: str,
    severity: Severity,
    note: str,
    owner: str,
    needs: Needs | None = None,
) -> Rule:
    """A rule of a suite.

    Args:
        name: unique in its suite, snake case, the rule in few words (`an_item_appears_once`).
        expectation: any Great Expectations expectation, or `no_rows(sql)`.
        says: the rule as one sentence, true when the check passes.
        severity: critical stops the publication, warning mails, info is recorded.
        note: what a failure means for finance: which figure is wrong, in which direction.
        owner: who mends it.
        needs: data that not every company has; without it the rule passes and says why.
    """
    plain = Rule(name, says, severity, note, owner, expectation, needs)
    return replace(plain, expectation=describe(plain))


def describe(rule: Rule) -> Expectation:
    """The rule's expectation with what Data Docs show of the rule."""
    told = f"{rule.sentence}\n{rule.severity} · {rule.name} · {rule.owner}\nIf it fails: {rule.note}"
    return rule.expectation.copy(
        update={
            "severity": FailureSeverity(rule.severity),
            "notes": rule.note,
            "meta": {"name": rule.name, "owner": rule.owner},
            # Data Docs show nothing else of a rule, and put it into the page as it is.
            "description": html.escape(told),
        }
    )


@dataclass(frozen=True)
class Suite:
    """Rules on one query. `key` names the columns that identify a row in examples."""

    name: str
    query: str
    rules: tuple[Rule, ...]
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extract:
    """What the manifest of an extract says. `is_distinct`: equal rows are one row on purpose.

    `columns`: what the source has now; `columns_before`: what its last extract of another run had; types
    where the source has them (a text file has none).
    """

    rows: int
    checksum: str
    is_distinct: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    columns_before: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scope:
    """What every suite may depend on.

    `limits` are the thresholds of `expectations/thresholds.yml` after the company's own; `history` holds what
    former runs measured.
    """

    day: date
    run: str
    limits: Mapping[str, Decimal] = field(default_factory=dict, kw_only=True)
    history: History = field(default_factory=History, kw_only=True)


@dataclass(frozen=True)
class RawScope(Scope):
    """What a raw suite may depend on: the loads of one run of one source.

    `loaded` holds the entities of which this run brought rows, with the ids of their loads; `extracts` their
    manifests, as far as the landing folder still has them. `pending` holds the earlier loads that no passed
    check has covered: a second attempt finds their rows unchanged, and must not pass because of that.
    `currencies`: those that loads of an entity had in the last weeks.
    """

    source: str = field(kw_only=True)
    loaded: Mapping[str, tuple[str, ...]] = field(default_factory=dict, kw_only=True)
    pending: Mapping[str, tuple[str, ...]] = field(default_factory=dict, kw_only=True)
    currencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict, kw_only=True)
    extracts: Mapping[str, Extract] = field(default_factory=dict, kw_only=True)
    refused_limit: RefusedLimit = field(default_factory=RefusedLimit, kw_only=True)


@dataclass(frozen=True)
class CanonicalScope(Scope):
    """What a suite on the canonical entities may depend on: the slice of rows loaded after `since`.

    `since` is None until something is published: everything is new then. `entities` are those of which any
    row was ever loaded.
    """

    since: date | None = field(default=None, kw_only=True)
    entities: frozenset[str] = field(default=frozenset(), kw_only=True)


@dataclass(frozen=True)
class MartsScope(Scope):
    """What a marts suite may depend on: the day, the companies of the candidate, and how many rows the
    published version holds per table.

    `previous_rows` is empty when nothing is published yet, or when the published version is of a later day
    than the candidate: a past day has no reason to be larger than its future.
    """

    previous_rows: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    companies: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def periods(self) -> str:
        """SQL: the last day of every month that is over, in each company's own calendar and for the group."""
        day = f"date '{self.day}'"
        return (
            "(select distinct company_id, period_end_date as month_end_date from marts.dim_fiscal_dates"  # noqa: S608
            f" where period_end_date <= {day}"
            " union select distinct 'group', last_day(date_day) from marts.dim_fiscal_dates"
            f" where last_day(date_day) <= {day})"
        )
