"""Real data, loaded by YAML mapping only: the marts equal figures that others computed."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest

from receivables.extract import extract_all
from receivables.load import load
from receivables.settings import Settings
from receivables.sources import get_source
from receivables.transform import transform
from receivables.warehouse import reading
from tests.close.reference import BUCKETS, Books, Month, cents, mean, ratio, weighted
from tests.conftest import PROJECT, SHARED

DATA_SETS = {"ibm": "IBM", "classicmodels": "CM", "wwi2019": "WWI"}
# The reference rounds its ratios to four decimals.
ROUNDED = Fraction(51, 1_000_000)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("reference"),  # one worker builds each data set once
    pytest.mark.skipif(
        not (SHARED / "data").is_dir(),
        reason=f"the reference data is not at {SHARED}; set RECEIVABLES_SHARED to its folder",
    ),
]


@dataclass(frozen=True)
class Built:
    """A data set, and the marts that were built from it on the last day of its reference."""

    company_id: str
    books: Books
    connection: duckdb.DuckDBPyConnection

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        result = self.connection.execute(sql, parameters or None)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def monthly(self, mart: str) -> dict[Month, dict[str, Any]]:
        """The mart's rows at company scope, by month."""
        sql = f"select * from marts.{mart} where company_id = ?"
        if mart != "ar_roll_forward":
            sql += " and scope_type = 'company'"
        return {Month.of(row["month_end_date"]): row for row in self.rows(sql, self.company_id)}


def build(folder: Path, name: str, day: date) -> Settings:
    """The data set `name` through extract, load and dbt; nothing of it may be refused."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    shutil.copyfile(PROJECT / "tests" / "data_sources" / f"{name}.yml", sources / f"{name}.yml")
    settings = Settings(
        root=PROJECT,
        home=folder / "home",
        sources_dir=sources,
        config_file=PROJECT / "tests" / "data_company.yml",
    )
    run = f"{day.isoformat()}-reference"
    extract_all(settings, get_source(settings, name), day, run)
    report = load(settings, get_source(settings, name), day, run)
    assert report.refused == 0
    transform(settings, day, run)
    return settings


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Settings]]:
    """Builds a data set once, on the last day of its reference."""
    built: dict[str, Settings] = {}

    def get(name: str) -> Settings:
        if name not in built:
            day = Books(SHARED / "data" / name.removesuffix("_original")).month_ends[-1]
            built[name] = build(tmp_path_factory.mktemp(name), name, day)
        return built[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECEIVABLES_SHARED", str(SHARED))
        yield get


@pytest.fixture(params=DATA_SETS)
def data(request: pytest.FixtureRequest, warehouse: Callable[[str], Settings]) -> Iterator[Built]:
    with reading(warehouse(request.param).warehouse) as connection:
        yield Built(DATA_SETS[request.param], Books(SHARED / "data" / request.param), connection)


def agree(given: float | None, expected: Fraction | None, *, within: Fraction | None = None) -> bool:
    """Equal up to the arithmetic of doubles, or to `within`."""
    if given is None or expected is None:
        return given is None and expected is None
    tolerance = within if within is not None else Fraction(1, 10**9) * max(1, abs(expected))
    return abs(Fraction(given) - expected) <= tolerance


# --- balances, to the cent ---


def test_debit_items_equal_the_open_invoices_of_every_month_end(data: Built) -> None:
    """Total and every bucket. The reference holds open invoices only; credits stand apart in the marts."""
    for day in data.books.month_ends:
        found: Counter[str] = Counter()
        for row in data.rows(
            "select aging_bucket, debit_amount from marts.ar_aging_daily"
            " where company_id = ? and as_of_date = ?",
            data.company_id,
            day,
        ):
            found[BUCKETS[row["aging_bucket"]]] += cents(row["debit_amount"])
        expected = {name: data.books.reference_of(day, name) for name in set(BUCKETS.values())}
        assert found == expected, day
        assert sum(found.values()) == data.books.open_invoices(day), day


def test_open_invoices_and_customers_are_counted_alike(data: Built) -> None:
    """By bucket, with the disputed part and the five largest customers."""
    for day in data.books.month_ends:
        reference = data.books.reference["asof"][day.isoformat()]
        items = data.rows(
            """
            select items.customer_id, items.open_amount, buckets.aging_bucket, documents.is_disputed
            from marts.fct_open_item_history as items
            inner join marts.dim_aging_buckets as buckets
                on cast(?1 as date) - items.due_date >= coalesce(buckets.min_days, -100000)
                and cast(?1 as date) - items.due_date <= coalesce(buckets.max_days, 100000)
            inner join marts.fct_documents as documents
                on items.document_id = documents.document_id
            where items.valid_from <= ?1 and items.valid_to > ?1 and not items.is_credit
            """,
            day,
        )
        counts = Counter(BUCKETS[item["aging_bucket"]] for item in items)
        assert {name: counts[name] for name in set(BUCKETS.values())} == reference["bucket_counts"], day
        assert len(items) == reference["open_invoices"], day
        by_customer: Counter[str] = Counter()
        for item in items:
            by_customer[item["customer_id"].partition(":")[2]] += cents(item["open_amount"])
        assert len(by_customer) == reference["open_customers"], day
        disputed = sum(cents(item["open_amount"]) for item in items if item["is_disputed"])
        assert disputed == cents(reference["disputed_open"]), day
        assert [amount for _, amount in by_customer.most_common(5)] == [
            cents(amount) for _, amount in reference["top5"]
        ], day
        assert all(by_customer[customer] == cents(amount) for customer, amount in reference["top5"]), day
        counted = data.rows(
            "select sum(item_count) as items from marts.ar_aging_daily"
            " where company_id = ? and as_of_date = ?",
            data.company_id,
            day,
        )
        assert counted[0]["items"] == len(items) + len(data.books.credits(day)), day


def test_credits_are_the_unapplied_cash_and_what_waits_for_its_invoice(data: Built) -> None:
    """Cash that the source applied before the invoice's date is the customer's money until that date."""
    for day in data.books.month_ends:
        reference = cents(data.books.reference["asof"][day.isoformat()]["unapplied_cash"])
        assert data.books.unapplied(day) == reference, day
        found = data.rows(
            "select sum(credit_amount) as credits, sum(open_amount) as total from marts.ar_aging_daily"
            " where company_id = ? and as_of_date = ?",
            data.company_id,
            day,
        )[0]
        assert cents(found["credits"]) == -(reference + data.books.prepaid(day)), day
        assert cents(found["total"]) == data.books.receivable(day), day


def test_the_snapshots_by_customer_have_the_same_totals(data: Built) -> None:
    found = data.rows(
        "select as_of_date, sum(debit_amount) as debits, sum(open_amount) as total"
        " from marts.ar_aging_snapshots where snapshot_type = 'month_end' group by as_of_date"
    )
    by_day = {row["as_of_date"]: (cents(row["debits"]), cents(row["total"])) for row in found}
    books = data.books
    assert by_day == {
        day: (books.open_invoices(day), books.receivable(day))
        for day in books.month_ends
        if books.open_invoices(day) or books.credits(day)
    }


# --- flows, to the cent ---


def test_what_was_billed_collected_and_received_equals_the_reference(data: Built) -> None:
    sales, collected = data.monthly("ar_dso"), data.monthly("ar_collection_effectiveness")
    rolled = data.monthly("ar_roll_forward")
    assert list(data.books.months) == sorted(sales, key=lambda month: month.end)
    for month, row in data.books.months.items():
        assert cents(sales[month]["net_sales_amount"]) == cents(row["billed"]), month
        assert cents(collected[month]["collected_amount"]) == cents(row["collections"]), month
        assert cents(rolled[month]["receipts_amount"]) == cents(row["receipts"]), month
        assert cents(rolled[month]["invoices_amount"]) == cents(row["billed"]), month
        assert rolled[month]["difference_amount"] == 0, month


# --- metrics ---


def test_the_rows_are_read_as_the_reference_read_them(data: Built) -> None:
    """By the reference's definitions the rows give the reference: all else is a matter of definition."""
    books = data.books
    settled = books.settled(effective=False)
    for month, row in books.months.items():
        end, begin = cents(row["ar_end"]), cents(row["ar_begin"])
        billed, current = cents(row["billed"]), cents(row["ar_end_current"])
        paid = settled[month]
        by_definition = {
            "dso_simple": ratio(end * month.days, billed),
            "dso_90": ratio(end * 90, books.billed(_days_before(month.end, 89), month.end)),
            "dso_countback": books.countback(month, end, through_empty_months=True),
            "bpdso": ratio(current * month.days, billed),
            "turnover": ratio(2 * billed, begin + end),
            "cei": ratio(100 * (begin + billed - end), begin + billed - current),
            "adp_simple": mean(one.days_to_pay for one in paid),
            "adp_weighted": weighted((one.invoice.amount, one.days_to_pay) for one in paid),
            "avg_days_late_signed": mean(one.days_late for one in paid),
            "late_share": mean(int(one.days_late > 0) for one in paid),
        }
        for name, value in by_definition.items():
            assert agree(row[name], value, within=ROUNDED), (month, name, row[name], value)
        assert row["n_settled"] == len(paid), month


def test_the_dso_family_equals_the_reference_on_the_receivable_with_credits(data: Built) -> None:
    books, marts = data.books, data.monthly("ar_dso")
    for month in books.months:
        row, sales = marts[month], books.billed_in(month)
        receivable, not_due = books.receivable(month.end), books.not_due(month.end)
        signed = ratio(receivable * month.days, sales)
        best = ratio(not_due * month.days, sales)
        in_90_days = books.billed(_days_before(month.end, 89), month.end)
        countback = books.countback(month, receivable, through_empty_months=False) if sales else None
        expected = {
            "dso": None if signed is None else max(signed, Fraction(0)),
            "dso_signed": signed,
            "dso_rolling_90": None
            if signed is None
            else max(Fraction(receivable * 90, in_90_days), Fraction(0)),
            "dso_countback": countback,
            "best_possible_dso": best,
            "average_days_delinquent": None if signed is None or best is None else signed - best,
        }
        for name, value in expected.items():
            assert agree(row[name], value), (month, name, row[name], value)
        assert cents(row["ar_amount"]) == receivable, month
        assert cents(row["not_due_amount"]) == not_due, month
        assert row["flag"] == _dso_flag(sales, receivable, countback), month


def _dso_flag(sales: int, receivable: int, countback: Fraction | None) -> str | None:
    if not sales:
        return "no_sales_in_period"
    if receivable < 0:
        return "credit_balance"
    return "insufficient_history" if countback is None else None


def _days_before(day: date, days: int) -> date:
    return date.fromordinal(day.toordinal() - days)


def test_turnover_and_effectiveness_equal_the_reference_on_the_receivable_with_credits(data: Built) -> None:
    books = data.books
    turnover, effectiveness = data.monthly("ar_turnover"), data.monthly("ar_collection_effectiveness")
    for number, month in enumerate(books.months, start=1):
        begin, end = books.receivable(month.before().end), books.receivable(month.end)
        year_ago, sales = books.receivable(month.before(12).end), books.billed_in(month)
        sales_12 = sum(books.billed_in(month.before(back)) for back in range(12))
        expected = {
            "turnover": _turnover(sales, begin + end),
            "turnover_12m": _turnover(sales_12, year_ago + end) if number >= 12 else None,
        }
        for name, value in expected.items():
            assert agree(turnover[month][name], value), (month, name, turnover[month][name], value)
        cei = ratio(100 * (begin + sales - end), begin + sales - books.not_due(month.end))
        assert agree(effectiveness[month]["cei"], cei), (month, effectiveness[month]["cei"], cei)


def _turnover(sales: int, twice_the_mean: int) -> Fraction | None:
    if sales <= 0:
        return Fraction(0)
    return Fraction(2 * sales, twice_the_mean) if twice_the_mean > 0 else None


def test_days_to_pay_equal_the_reference_with_nobody_paid_before_the_invoice(data: Built) -> None:
    """On the ledger's dates a payment that precedes its invoice takes 0 days; weights: cash of the month."""
    books, marts = data.books, data.monthly("ar_payment_behaviour")
    settled = books.settled(effective=True)
    for month in books.months:
        row, paid, applied = marts[month], settled[month], books.applied_in(month)
        expected = {
            "days_to_pay": mean(one.days_to_pay for one in paid),
            "days_late": mean(one.days_late for one in paid),
            "late_share": mean(int(one.days_late > 0) for one in paid),
            "days_to_pay_weighted": weighted(
                (one.amount, (one.effective - one.invoice.dated).days) for one in applied
            ),
            "days_late_weighted": weighted(
                (one.amount, (one.effective - one.invoice.due).days) for one in applied
            ),
        }
        for name, value in expected.items():
            assert agree(row[name], value), (month, name, row[name], value)
        assert row["settled_invoice_count"] == len(paid), month


def test_without_credits_every_metric_is_the_reference_itself(
    warehouse: Callable[[str], Settings],
) -> None:
    """`ibm` has no credits, so nothing is worked out here: the published column against the reference's.

    Its last month has no sales, in which the DSO family is null; the reference gives parts of it as 0.
    """
    pairs = {
        "ar_dso": {
            "dso": "dso_simple",
            "dso_rolling_90": "dso_90",
            "dso_countback": "dso_countback",
            "best_possible_dso": "bpdso",
            "average_days_delinquent": "add_dso",
        },
        "ar_turnover": {"turnover": "turnover", "turnover_12m": "turnover_ttm"},
        "ar_collection_effectiveness": {"cei": "cei"},
        "ar_payment_behaviour": {
            "days_to_pay": "adp_simple",
            "days_to_pay_weighted": "adp_weighted",
            "days_late": "avg_days_late_signed",
            "late_share": "late_share",
            "settled_invoice_count": "n_settled",
        },
    }
    books = Books(SHARED / "data" / "ibm")
    assert not any(books.credits(day) for day in books.month_ends)
    with reading(warehouse("ibm").warehouse) as connection:
        data = Built("IBM", books, connection)
        for mart, columns in pairs.items():
            marts = data.monthly(mart)
            for month, row in books.months.items():
                for ours, theirs in columns.items():
                    unknown = row[theirs] is None or (mart == "ar_dso" and not row["billed"])
                    expected = None if unknown else Fraction(str(row[theirs]))
                    given = marts[month][ours]
                    assert agree(given, expected, within=ROUNDED), (month, ours, given, row[theirs])


# --- the same company in another layout ---

# Hashes and names of the source differ by nature.
LEFT_OUT = {"entry_id", "source_name"}


def test_the_file_as_published_gives_the_same_marts_as_the_canonical_files(
    warehouse: Callable[[str], Settings],
) -> None:
    """One wide file with US dates, mapped by YAML, against four canonical files: every row of every mart."""
    with reading(warehouse("ibm").warehouse) as connection:
        canonical = _all_marts(connection, "ibm", _names_of_the_original())
    with reading(warehouse("ibm_original").warehouse) as connection:
        original = _all_marts(connection, "ibm_original", {})
    assert canonical.keys() == original.keys()
    for mart, rows in canonical.items():
        difference = (rows - original[mart]) + (original[mart] - rows)
        assert not difference, (mart, next(iter(difference)))
    assert sum(map(len, canonical.values())) > 10_000


def _names_of_the_original() -> dict[str, str]:
    """The wide file has no ids of payments: its mapping builds them from the invoice number."""
    rows = Books(SHARED / "data" / "ibm").rows("applications")
    return {row["receipt_id"]: f"{row['invoice_id']}-R" for row in rows} | {
        row["application_id"]: f"{row['invoice_id']}-A" for row in rows
    }


def _all_marts(
    connection: duckdb.DuckDBPyConnection, source: str, renamed: dict[str, str]
) -> dict[str, Counter]:
    tables = connection.execute(
        "select table_name from information_schema.tables where table_schema = 'marts' order by table_name"
    ).fetchall()
    return {table: _rows_of(connection, table, source, renamed) for (table,) in tables}


def _rows_of(
    connection: duckdb.DuckDBPyConnection, table: str, source: str, renamed: dict[str, str]
) -> Counter:
    result = connection.execute(f"select * from marts.{table}")
    kept = [n for n, column in enumerate(result.description or ()) if column[0] not in LEFT_OUT]
    words = re.compile("|".join(sorted(renamed))) if renamed else None

    def neutral(value: object) -> object:
        if isinstance(value, float):
            return round(value, 9)
        if not isinstance(value, str):
            return value
        text = value.removeprefix(f"{source}:")
        return words.sub(lambda found: renamed[found[0]], text) if words else text

    return Counter(tuple(neutral(row[n]) for n in kept) for row in result.fetchall())
