"""Whose rows failed: the failed rows of a check by company, so that its mail goes to whom it concerns."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import duckdb
from great_expectations.expectations.expectation import Expectation

from receivables.checks.suites import ExpectNoRows, Rule, Suite

log = logging.getLogger(__name__)

COMPANY = "company_id"
# Great Expectations lists the rows of its own expectations one by one: more than this are everybody's.
LISTED = 100_000


def failed_by_company(
    connection: duckdb.DuckDBPyConnection, batch: Any, suite: Suite, rule: Rule, *, rows_failed: int
) -> dict[str, int]:
    """How many of the rows that broke a rule each company has; asked only after it failed.

    The rows name their company themselves, or by the key of the suite's own rows. Empty where that is not
    known of every row: the table has no company, or a row has none.

    Args:
        batch: the suite's rows as Great Expectations holds them.
    """
    columns = _columns(connection, suite.query)
    if isinstance(rule.expectation, ExpectNoRows):
        counted = _of_query(connection, suite, rule.expectation, columns)
    elif COMPANY in columns and rows_failed <= LISTED:
        counted = _of_column(batch, rule.expectation)
    else:
        counted = {}
    return {} if None in counted else {str(company): rows for company, rows in counted.items()}


def _of_query(
    connection: duckdb.DuckDBPyConnection, suite: Suite, expectation: ExpectNoRows, columns: list[str]
) -> Mapping[str | None, int]:
    found = expectation.unexpected_rows_query.replace("{batch}", f"({suite.query})")
    named = _columns(connection, found)
    if COMPANY not in named:
        if COMPANY not in columns or not suite.key or not set(suite.key) <= set(named):
            return {}
        keys = ", ".join(f'"{column}"' for column in suite.key)
        batch = f"select distinct {keys}, {COMPANY} from ({suite.query}) as batch"  # noqa: S608
        found = f"select {COMPANY} from ({found}) as found left join ({batch}) as batch using ({keys})"  # noqa: S608
    rows = connection.execute(f"select {COMPANY}, count(*) from ({found}) as found group by all").fetchall()  # noqa: S608
    return dict(rows)


def _of_column(batch: Any, expectation: Expectation) -> Mapping[str | None, int]:
    outcome = batch.validate(
        expectation,
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [COMPANY]},
    )
    rows = (outcome.result or {}).get("unexpected_index_list") or []
    return Counter(row.get(COMPANY) for row in rows)


def _columns(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return [str(name) for name, *_ in connection.execute(f"describe {query}").fetchall()]
