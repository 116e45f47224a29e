"""What is taken back in a system is noticed with the next extract of its tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from receivables.settings import Settings
from tests.extracts import as_tables, one_company
from tests.extracts.as_tables import Tables
from tests.sources.setup import write_source

FIRST, NEXT = date(2026, 2, 28), date(2026, 3, 1)


def unpaid(books: one_company.Books) -> int:
    """An invoice that nothing was set against."""
    return next(number for number in books.invoices if not books.applied(number))


def change(table: str, key: str, number: object, **values: object) -> Callable[[Tables], None]:
    """Change the one row of a table that has this value in this column."""

    def changed(tables: Tables) -> None:
        (row,) = (row for row in tables[table] if row.get(key) == number)
        tables[table] = [{**one, **values} if one is row else one for one in tables[table]]

    return changed


def drop(table: str, key: str, number: object) -> Callable[[Tables], None]:
    def dropped(tables: Tables) -> None:
        assert any(row.get(key) == number for row in tables[table])
        tables[table] = [row for row in tables[table] if row.get(key) != number]

    return dropped


# System -> table and key of invoices, how a void is said; table, a side and the amount of applications.
SAID: dict[str, tuple[str, str, dict[str, object], str, str, str]] = {
    "quickbooks": (
        "invoice", "id", {"total_amount": 0, "balance": 0, "private_note": "Voided"},
        "payment_line", "invoice_id", "amount",
    ),
    "xero": (
        "invoice", "invoice_id", {"status": "VOIDED"}, "credit_note_allocation", "invoice_id", "amount",
    ),
    "netsuite": (
        "transaction", "id", {"voided": "T"}, "previous_transaction_line_link", "linktype", "foreignamount",
    ),
    "stripe": ("invoice", "id", {"status": "void"}, "charge", "invoice_id", "amount"),
    "sage_intacct": (
        "ar_invoice", "recordno", {"state": "Voided"}, "ar_payment_detail", "recordkey", "trx_paymentamount",
    ),
}  # fmt: skip


@pytest.mark.parametrize("system", SAID)
def test_voids_deletions_and_undone_and_edited_applications_are_noticed(home: Settings, system: str) -> None:
    books = one_company.create(80)
    tables = as_tables.SYSTEMS[system](books)
    case = write_source(
        home, f"kind: extracts\nsystem: {system}\nfolder: tables\ndefault_company_id: HD-EU\n", name="x"
    )
    as_tables.write(home.sources_dir / "tables", tables)
    case.run(FIRST)
    table, key, void, links, side, amount = SAID[system]
    voided = unpaid(books)
    deleted = next(number for number in books.invoices if number != voided and not books.applied(number))
    change(table, key, voided, **void)(tables)
    drop(table, key, deleted)(tables)
    undone, edited = [row for row in tables[links] if row.get(side)][:2]
    tables[links] = [
        {**row, amount: type(row[amount])(row[amount]) - 1} if row is edited else row
        for row in tables[links]
        if row is not undone
    ]
    as_tables.write(home.sources_dir / "tables", tables)
    report = {one.entity: (one.changed, one.removed) for one in case.run(NEXT).entities}
    assert report["invoices"] == (1, 1)
    assert report["applications"] == (1, 1)
    states = case.query(
        "select status, _is_removed, cast(_known_on as varchar) from raw_x.invoices"
        " where _version = 2 order by 2"
    )
    assert states == [("void", False, str(NEXT)), ("posted", True, str(NEXT))]
