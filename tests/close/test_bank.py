"""A payment on a bank statement, from the proposal to the books: applied, and never counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

import duckdb
import pytest

from receivables.settings import Settings
from receivables.transform import transform
from receivables.warehouse import reading
from tests.conftest import PROJECT
from tests.sources.setup import Case, write_source

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("close-bank")]
FIRST = date(2026, 3, 10)
APPLIED, RECORDED = FIRST + timedelta(days=1), FIRST + timedelta(days=2)
ERP = """
kind: files
default_company_id: HD-EU
default_currency_code: EUR
entities:
  customers: {path: customers.csv}
  invoices: {path: invoices.csv}
  receipts: {path: receipts.csv, allow_empty: true}
  applications: {path: applications.csv, allow_empty: true}
"""
# One sure match, one that a person should look at, and one that is too much for its invoice.
STATEMENT = """:20:X
:25:DE02120300000000202051
:28C:1
:60F:C260309EUR0,00
:61:2603100310C500,00NTRFNONREF//BANK1
:86:invoice INV-00109 of Muster
:61:2603100310C70,00NTRFNONREF//BANK2
:86:thank you
:61:2603100310C330,00NTRFNONREF//BANK3
:86:166?00GUTSCHRIFT?20SVWZ+INV-00300?32KUNDE GMBH
:62F:C260310EUR900,00
-
"""


def documents(case: Case, *, receipts: str = "", applications: str = "") -> None:
    """What the ERP exports."""
    case.data("customers.csv", "customer_id,customer_name\nC1,Muster AG\nC2,Kunde GmbH\n")
    case.data(
        "invoices.csv",
        "invoice_id,invoice_number,customer_id,invoice_date,due_date,amount\n"
        "1,INV-00109,C1,2026-02-01,2026-03-03,500\n2,INV-00200,C1,2026-02-01,2026-03-03,70\n"
        "3,INV-00300,C2,2026-02-01,2026-03-03,300\n",
    )
    case.data("receipts.csv", f"receipt_id,customer_id,receipt_date,amount\n{receipts}")
    case.data(
        "applications.csv",
        f"application_id,credit_type,credit_id,invoice_id,amount,applied_on\n{applications}",
    )


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Three days: the statement arrives, sure matches are applied, the ERP delivers one of the receipts."""
    folder = tmp_path_factory.mktemp("bank")
    (folder / "sources").mkdir()
    settings = Settings(
        root=PROJECT, home=folder / "home", sources_dir=folder / "sources",
        config_file=PROJECT / "receivables.yml",
    )  # fmt: skip
    erp = write_source(settings, ERP)
    bank = write_source(
        settings,
        "kind: bank_statements\npath: bank\ndefault_company_id: HD-EU\napply_from: 0.90\n",
        name="bank",
    )
    bank.data("bank/1.sta", STATEMENT)
    for day in (FIRST, APPLIED, RECORDED):
        booked = day == RECORDED
        documents(
            erp,
            receipts="R1,C1,2026-03-11,500\n" if booked else "",
            applications="A1,receipt,R1,1,500,2026-03-11\n" if booked else "",
        )
        erp.run(day)
        bank.run(day)
        transform(settings, day, f"{day}-bank")
    with reading(settings.warehouse) as connection:
        yield connection


def balance(warehouse: duckdb.DuckDBPyConnection, day: date, known: date) -> Decimal:
    sql = (
        "select sum(amount) from intermediate.int_ledger_entries where effective_date <= ? and known_on <= ?"
    )
    return warehouse.execute(sql, [day, known]).fetchall()[0][0]


def test_a_proposal_changes_no_balance_before_the_next_load(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert balance(warehouse, FIRST, FIRST) == 870


def test_sure_matches_are_receipts_and_applications_from_the_next_load_on(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    """500 and 330 came in; 70 without a name is left to a person."""
    assert balance(warehouse, APPLIED, APPLIED) == 870 - 500 - 330
    assert balance(warehouse, FIRST, APPLIED) == 870 - 500 - 330, "the money was there when the bank had it"


def test_a_receipt_that_the_books_deliver_takes_the_place_of_the_automatic_one(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    assert balance(warehouse, RECORDED, RECORDED) == 870 - 500 - 330, "cash counts once"
    rows = warehouse.execute(
        "select amount, source_name from marts.fct_documents where document_type = 'receipt' order by all"
    ).fetchall()
    assert rows == [(330, "bank"), (500, "erp")]
    assert balance(warehouse, RECORDED, APPLIED) == 870 - 500 - 330, "what was known then stays"


def test_each_application_says_by_which_rule_and_how_surely(warehouse: duckdb.DuckDBPyConnection) -> None:
    rows = warehouse.execute(
        "select invoice_document_id, amount, match_rule, match_confidence, bank_transaction_id is not null"
        " from marts.fct_applications order by all"
    ).fetchall()
    assert rows == [
        ("erp:invoice:1", 500, None, None, False),
        ("erp:invoice:3", 300, "reference_and_customer", Decimal("0.90"), True),
    ]
    assert warehouse.execute(
        "select amount, status, unmatched_amount, recorded_receipt_id, applied_receipt_id is not null"
        " from marts.ar_bank_receipts order by amount"
    ).fetchall() == [
        (70, "to_review", 0, None, False),
        (330, "applied", 30, None, True),
        (500, "recorded", 0, "erp:receipt:R1", False),
    ]


def test_what_is_too_much_is_a_credit_of_the_customer(warehouse: duckdb.DuckDBPyConnection) -> None:
    rows = warehouse.execute(
        "select customer_id, document_type, open_amount from marts.ar_open_items order by all"
    ).fetchall()
    assert rows == [("erp:C1", "invoice", 70), ("erp:C2", "receipt", -30)]
