"""All rows that broke a rule are counted by company, not only the five that are shown."""

from __future__ import annotations

from pathlib import Path

import duckdb
import great_expectations.expectations as gxe
import pytest
from great_expectations.expectations.expectation import Expectation

from receivables.alerts import FailedCheck
from receivables.checks import CheckResult, data_docs, runner
from receivables.checks.suites import Suite, no_rows, rule
from receivables.warehouse import reading

SUITE = "select * from items"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Nine items below zero or without a due date, seven of them one company's."""
    path = tmp_path / "items.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            """
            create table items as
            select
                'i' || range as item_id, if(range < 7, 'HD-CN', 'HD-EU') as company_id,
                if(range < 9, -1, 1) as amount, if(range < 9, null, date '2026-03-31') as due_date
            from range(12)
            """
        )
    return path


def failed(database: Path, expectation: Expectation, *, key: tuple[str, ...] = ("item_id",)) -> CheckResult:
    checked = rule("r", expectation, says="It is so.", severity="critical", note="It matters.", owner="AR")
    with reading(database) as connection:
        suite = Suite("items", SUITE, (checked,), key=key)
        context = data_docs.context(database.parent / "data_docs")
        [result] = runner.evaluate(context, connection, database, [suite], run="r1")
    assert not result.success
    return result


@pytest.mark.parametrize(
    "expectation",
    [
        no_rows("select company_id, amount from {batch} where amount < 0"),
        no_rows("select item_id, amount from {batch} where amount < 0"),
        gxe.ExpectColumnValuesToNotBeNull(column="due_date"),
        gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=0),
    ],
    ids=["named by the rows", "found by the key", "a column that is null", "a column out of range"],
)
def test_every_failed_row_counts_for_its_company(database: Path, expectation: Expectation) -> None:
    result = failed(database, expectation)
    assert (result.rows_failed, len(result.examples)) == (9, 5)
    assert result.companies == {"HD-CN": 7, "HD-EU": 2}
    assert FailedCheck.of(result).companies == ("HD-CN", "HD-EU")


@pytest.mark.parametrize(
    ("change", "expectation"),
    [
        (
            "update items set company_id = null where item_id = 'i3'",
            no_rows("select company_id, amount from {batch} where amount < 0"),
        ),
        (
            "update items set company_id = null where item_id = 'i3'",
            gxe.ExpectColumnValuesToNotBeNull(column="due_date"),
        ),
        ("alter table items drop column company_id", no_rows("select item_id from {batch} where amount < 0")),
        ("select 1", no_rows("select amount from {batch} where amount < 0")),
    ],
    ids=[
        "a row without one",
        "a value without one",
        "a table without them",
        "rows that cannot be found again",
    ],
)
def test_a_failure_whose_companies_are_not_all_known_is_everybodys(
    database: Path, change: str, expectation: Expectation
) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute(change)
    assert failed(database, expectation).companies == {}


def test_a_key_that_is_there_twice_does_not_count_twice(database: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute("insert into items from items where item_id = 'i0'")
    found = failed(database, no_rows("select item_id from {batch} where amount < 0 group by all"))
    assert found.companies == {"HD-CN": 7, "HD-EU": 2}
