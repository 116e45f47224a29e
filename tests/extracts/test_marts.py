"""Every system's extract and every service ends in the same marts as canonical files that say the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from receivables.warehouse import reading
from tests.extracts import sap_company
from tests.extracts.as_tables import SYSTEMS
from tests.extracts.warehouse import DAY, FAULT, REFERENCE, WRONG, Built, build

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("extracts")]

# These keep a payment as one document per invoice that it paid, and each document is booked in whole cents:
# a payment of several invoices can leave other cents in the months' receipts, and as many in their rounding.
PAYS_INVOICE_BY_INVOICE = frozenset({"sap", "xero"})
DAYS = tuple(date(2025, 1, 15) + timedelta(days=17 * step) for step in range(24))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("extracts"))


@pytest.fixture
def marts(built: Built) -> Iterator[duckdb.DuckDBPyConnection]:
    with reading(built.settings.warehouse) as connection:
        yield connection


def table(marts: duckdb.DuckDBPyConnection, sql: str, *given: object) -> list[tuple[Any, ...]]:
    return marts.execute(sql, list(given)).fetchall()


# --- one company in every system ---


@pytest.mark.parametrize("system", REFERENCE)
def test_the_ageing_of_24_days_is_that_of_the_canonical_files(
    marts: duckdb.DuckDBPyConnection, system: str
) -> None:
    sql = """
        select as_of_date, currency_code, aging_bucket, open_amount, company_amount, debit_amount,
            credit_amount, item_count
        from marts.ar_aging_daily
        where company_id = ? and list_contains(?, as_of_date)
        order by all
    """
    expected = table(marts, sql, REFERENCE[system], list(DAYS))
    assert len({row[0] for row in expected}) == 24
    assert table(marts, sql, system.upper(), list(DAYS)) == expected


@pytest.mark.parametrize("system", REFERENCE)
def test_each_customer_owes_the_same_at_every_month_end(
    marts: duckdb.DuckDBPyConnection, system: str
) -> None:
    sql = """
        select
            as_of_date, right(regexp_replace(customer_id, '[^0-9]', '', 'g'), 3) as customer, currency_code,
            aging_bucket, open_amount, company_amount
        from marts.ar_aging_snapshots
        where company_id = ? and snapshot_type = 'month_end'
        order by all
    """
    expected = table(marts, sql, REFERENCE[system])
    assert len(expected) > 500
    assert table(marts, sql, system.upper()) == expected


@pytest.mark.parametrize("mart", ["ar_dso", "ar_turnover", "ar_collection_effectiveness", "ar_roll_forward"])
@pytest.mark.parametrize("system", REFERENCE)
def test_the_key_figures_are_those_of_the_canonical_files(
    marts: duckdb.DuckDBPyConnection, system: str, mart: str
) -> None:
    scope = "" if mart == "ar_roll_forward" else "and scope_type = 'company'"
    hidden, shown = ("company_id", "") if mart == "ar_roll_forward" else ("company_id, scope_id", "")
    if mart == "ar_roll_forward" and system in PAYS_INVOICE_BY_INVOICE:
        hidden += ", company_receipts_amount, company_rounding_amount"
        shown = ", company_receipts_amount - company_rounding_amount as company_receipts_to_the_cent"
    sql = f"select * exclude ({hidden}) {shown} from marts.{mart} where company_id = ? {scope} order by all"
    expected = table(marts, sql, REFERENCE[system])
    assert len(expected) >= 13
    assert table(marts, sql, system.upper()) == expected


# Whose own figure of what is open is read, and by how much it may differ: where an invoice in euros has a
# plan, its instalments are items, each in whole cents, and the figure rounds the invoice.
STATED = {"zoho_books": 0, "fxiaoke_orders": 1, "fxiaoke_notes": 0, "kingdee": 1}


@pytest.mark.parametrize(("system", "cents_for_each_plan"), STATED.items())
def test_the_ledger_is_what_the_service_itself_says_is_open(
    built: Built, marts: duckdb.DuckDBPyConnection, system: str, cents_for_each_plan: int
) -> None:
    found = table(
        marts,
        "select as_of_date, items_amount, difference_amount from marts.ar_reconciliation"
        " where company_id = ? and gl_amount is not null",
        system.upper(),
    )
    (planned,) = table(
        marts,
        "select count(distinct document_id) from marts.ar_open_items"
        " where company_id = ? and currency_code = 'EUR' and instalment_number = 2",
        system.upper(),
    )
    assert len(found) == 1
    day, items, difference = found[0]
    assert day == DAY
    assert items > 1_000_000
    assert abs(difference) <= Decimal("0.01") * cents_for_each_plan * planned[0]


def test_nothing_of_the_company_is_refused(built: Built) -> None:
    assert {name: report.refused for name, report in built.loads.items() if report.refused} == {}


# --- what the system itself says is open ---


def own_figure(marts: duckdb.DuckDBPyConnection, company: str) -> tuple[Any, ...]:
    sql = "select gl_amount, items_amount, difference_amount, status from marts.ar_reconciliation"
    (row,) = table(marts, f"{sql} where company_id = ? and as_of_date = ?", company, DAY)
    return row


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_ledger_is_what_the_system_itself_says_is_open(
    marts: duckdb.DuckDBPyConnection, system: str
) -> None:
    says, items, difference, _ = own_figure(marts, system.upper())
    assert says > 100_000
    # Systems round once per document in the company's currency; SAP books each line by itself.
    assert abs(difference) <= (Decimal("1.00") if system == "sap" else Decimal("0.00")), (says, items)


@pytest.mark.parametrize("system", WRONG)
def test_what_the_system_says_otherwise_is_a_difference(
    marts: duckdb.DuckDBPyConnection, system: str
) -> None:
    _, _, difference, status = own_figure(marts, f"{system}_wrong".upper())
    assert (round(difference), status) == (FAULT, "different")


# --- SAP: its own rule ---


def test_the_balance_is_what_saps_rule_gives_on_every_day(
    built: Built, marts: duckdb.DuckDBPyConnection
) -> None:
    """Σ over BSID ∪ BSAD, posted by the day and not cleared by it, per customer and currency."""
    day = sap_company.FIRST
    while day <= sap_company.LAST:
        found = {
            (customer.rsplit(":", 1)[-1], currency): amount
            for customer, currency, amount in table(
                marts,
                """
                select customer_id, currency_code, sum(open_amount)
                from marts.fct_open_item_history
                where company_id = 'ALL' and valid_from <= ?1 and valid_to > ?1
                group by all having sum(open_amount) <> 0
                """,
                day,
            )
        }
        assert found == sap_company.balances(built.sap, day), day
        day += timedelta(days=1)


def test_cash_is_what_came_in(built: Built, marts: duckdb.DuckDBPyConnection) -> None:
    """A residual item and a discount are no cash, a down payment is, and so was a bounced payment."""
    expected: dict[str, Decimal] = {}
    for line in built.sap.lines:
        if line["BSCHL"] == "15" or (line["BSCHL"], line["UMSKZ"]) == ("19", "A"):
            shift = 2 - sap_company.DECIMALS[line["WAERS"]]
            moved = [
                one["WRBTR"]
                for one in built.sap.lines
                if (one["BELNR"], one["BSCHL"]) == (line["BELNR"], "06")
            ]
            cash = Decimal(line["WRBTR"]) - Decimal(line["WSKTO"]) - sum(map(Decimal, moved))
            expected[line["WAERS"]] = expected.get(line["WAERS"], Decimal(0)) + cash.scaleb(shift)
    found = table(
        marts,
        "select currency_code, sum(amount) from marts.fct_documents where company_id = 'ALL'"
        " and document_type = 'receipt' group by all",
    )
    assert dict(found) == expected


def test_reversals_are_voids_and_write_offs_are_no_cash(
    built: Built, marts: duckdb.DuckDBPyConnection
) -> None:
    found = dict(
        table(
            marts,
            "select case when status = 'voided' then status else document_type end, count(*)"
            " from marts.fct_documents"
            " where company_id = 'ALL' and (status = 'voided' or document_type = 'write_off') group by all",
        )
    )
    assert found == {
        "voided": sum(header["XREVERSAL"] == "1" for header in built.sap.headers.values()),
        "write_off": sum(line["RSTGR"] == "099" for line in built.sap.lines),
    }


# --- the vendors' own rows ---


def owed(marts: duckdb.DuckDBPyConnection, company: str) -> dict[str, Decimal]:
    return dict(
        table(
            marts,
            "select currency_code, sum(open_amount) from marts.ar_open_items"
            " where company_id = ? group by all",
            company,
        )
    )


def added(numbers: str) -> Decimal:
    return sum(map(Decimal, numbers.split(" + ")), Decimal(0))


def test_the_quickbooks_rows_add_up_by_hand(marts: duckdb.DuckDBPyConnection) -> None:
    """Five invoices, one paid; eleven payments and twelve credit memos whose invoices are not in the rows."""
    invoices = Decimal("565214.00") + Decimal("62507.50") + Decimal("1015.05") + Decimal("504.00")
    payments = added(
        "403.25 + 2500 + 29398 + 25379 + 2250 + 37784 + 15702.37 + 19960 + 8324.10 + 11000 + 12853"
    )
    memos = added(
        "89051 + 56181 + 47580 + 98033 + 67480 + 80865 + 3591 + 60522 + 17649 + 16638 + 84675 + 175"
    )
    assert owed(marts, "QUICKBOOKS_SEEDS") == {"USD": invoices - payments - memos}


def test_the_xero_rows_add_up_by_hand(built: Built, marts: duckdb.DuckDBPyConnection) -> None:
    """What Xero says is due of its thirteen open sales invoices; nothing else is."""
    found = owed(marts, "XERO_SEEDS")
    assert sum(found.values()) == Decimal("42841.00")


def test_the_stripe_rows_add_up_by_hand(marts: duckdb.DuckDBPyConnection) -> None:
    """1000 cents paid, 1000 cents open; charges without an invoice are no receivables."""
    assert owed(marts, "STRIPE_SEEDS") == {"USD": Decimal("10.00")}


def test_purchases_in_the_netsuite_rows_are_no_receivables(
    built: Built, marts: duckdb.DuckDBPyConnection
) -> None:
    assert owed(marts, "NETSUITE_SEEDS") == {}
    assert {one.entity: one.new for one in built.loads["netsuite_seeds"].entities}["customers"] == 5


def test_deleted_invoices_of_sage_intacct_are_not_owed(marts: duckdb.DuckDBPyConnection) -> None:
    assert owed(marts, "SAGE_INTACCT_SEEDS") == {}
    assert owed(marts, "SAGE_UNDELETED") == {
        "USD": Decimal("20399.09") + 7797 + Decimal("4598.40") + 645 + Decimal("14476.80") + 3912 + 2880
        + Decimal("8769.60") + 50
    }  # fmt: skip


# --- the bank ---


def test_what_came_in_is_recorded_proposed_to_review_or_unmatched(
    marts: duckdb.DuckDBPyConnection,
) -> None:
    found = table(
        marts,
        "select remittance, status, confidence from marts.ar_bank_receipts order by transaction_id",
    )
    assert [(text.split(" ")[0], status, confidence) for text, status, confidence in found] == [
        ("PAYMENT", "proposed", Decimal("0.97")),
        ("part", "to_review", Decimal("0.80")),
        (found[2][0].split(" ")[0], "proposed", Decimal("0.95")),
        ("thank", "unmatched", None),
        ("as", "recorded", None),
    ]
    assert table(marts, "select status, difference_amount from marts.ar_bank_statements") == [("complete", 0)]


def test_the_banks_money_is_in_no_balance(marts: duckdb.DuckDBPyConnection) -> None:
    assert table(marts, "select count(*) from marts.fct_documents where source_name = 'bank'") == [(0,)]


def test_the_business_day_is_after_all_rows(marts: duckdb.DuckDBPyConnection) -> None:
    assert table(marts, "select max(as_of_date) from marts.ar_aging_daily") == [(DAY,)]
