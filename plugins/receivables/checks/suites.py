"""How a suite in `expectations/` is written: rules, each with a severity, a note and an owner."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar

import great_expectations.expectations as gxe
from great_expectations.compatibility import pydantic
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.render import LegacyDiagnosticRendererType, RenderedTableContent
from great_expectations.render.renderer.renderer import renderer

from receivables.checks.report import Severity

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


def bound(expectation: Expectation, batch: str) -> Expectation:
    """The expectation with `{batch}` filled in, counting what it finds and returning a few of the rows.

    Great Expectations' own substitution adds an alias, or none, depending on whether the text holds a join.
    """
    if not isinstance(expectation, ExpectNoRows):
        return expectation
    found = expectation.unexpected_rows_query.replace("{batch}", f"({batch})")
    counted = f"select *, count(*) over () as {_COUNT}"
    query = f"{counted} from (\n{found}\n) as found limit {EXAMPLES}"
    # It still formats the text: every brace left is SQL.
    return expectation.copy(update={"unexpected_rows_query": query.replace("{", "{{").replace("}", "}}")})


@dataclass(frozen=True)
class Rule:
    """One expectation and what people need to know about it."""

    name: str
    sentence: str
    severity: Severity
    note: str
    owner: str
    expectation: Expectation


def rule(
    name: str,
    expectation: Expectation,
    *,
    says: str,
    severity: Severity,
    note: str,
    owner: str,
) -> Rule:
    """A rule of a suite.

    Args:
        name: unique in its suite, snake case, the rule in few words (`an_item_appears_once`).
        expectation: any Great Expectations expectation, or `no_rows(sql)`.
        says: the rule as one sentence, true when the check passes.
        severity: critical stops the publication, warning mails, info is recorded.
        note: what a failure means for finance: which figure is wrong, in which direction.
        owner: who mends it.
    """
    described = expectation.copy(
        update={
            "severity": FailureSeverity(severity),
            "notes": note,
            "meta": {"name": name, "owner": owner},
            # Data Docs show nothing else of a rule, and put it into the page as it is.
            "description": html.escape(f"{says}\n{severity} · {name} · {owner}\nIf it fails: {note}"),
        }
    )
    return Rule(name, says, severity, note, owner, described)


@dataclass(frozen=True)
class Suite:
    """Rules on one query. `key` names the columns that identify a row in examples."""

    name: str
    query: str
    rules: tuple[Rule, ...]
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extract:
    """What the manifest of an extract says. `is_distinct`: equal rows are one row on purpose."""

    rows: int
    checksum: str
    is_distinct: bool = False


@dataclass(frozen=True)
class RawScope:
    """What a raw suite may depend on: the loads of one run of one source.

    `loaded` holds the entities of which this run brought rows, with the ids of their loads; `extracts` their
    manifests, as far as the landing folder still has them.
    """

    source: str
    day: date
    run: str
    loaded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extracts: Mapping[str, Extract] = field(default_factory=dict)


@dataclass(frozen=True)
class MartsScope:
    """What a marts suite may depend on: the day, and how many rows the published version holds per table.

    `previous_rows` is empty when nothing is published yet, or when the published version is of a later day
    than the candidate: a past day has no reason to be larger than its future.
    """

    day: date
    run: str
    previous_rows: Mapping[str, int] = field(default_factory=dict)
