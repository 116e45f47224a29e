"""The company in each web service: written into a stand-in server, to be read over the loopback interface.

What a service cannot express is named here and nowhere else: `SERVICES` says of each with which books it is
compared, and why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from receivables.sources import http
from receivables.sources.zoho_books import COLUMNS
from tests.extracts.one_company import (
    Application,
    Books,
    Document,
    memos_on_their_own,
    refunds_that_name_nothing,
    without_plans,
    without_write_offs,
)
from tests.sources import test_fxiaoke, test_kingdee, test_yonbip, zoho_fixture
from tests.sources.china import use_clock
from tests.sources.http_fakes import TestClock
from tests.sources.zoho_standin import ORGANIZATION, Zoho
from tests.standins.fxiaoke import Fxiaoke
from tests.standins.kingdee import Kingdee
from tests.standins.yonbip import COLLECTION, RECEIVABLE, REFUND, YonBIP

# Kingdee's numbers of the company's currencies.
KINGDEE_CURRENCIES = {"USD": "PRE007", "EUR": "PRE003"}
BALANCES: dict[str, Any] = {"gl_balances": {}}
SHANGHAI = ZoneInfo("Asia/Shanghai")
Source = dict[str, Any]  # what stands in a source file
Serve = Callable[[Books, pytest.MonkeyPatch], AbstractContextManager[Source]]


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), SHANGHAI)


def rate(one: Document) -> Decimal:
    return one.rate or Decimal(1)


def variables(patch: pytest.MonkeyPatch, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        patch.setenv(name, value)


def applied_by(books: Books, kind: str) -> dict[int, list[Application]]:
    """The applications of each receipt, or of each credit memo."""
    found: dict[int, list[Application]] = defaultdict(list)
    for one in books.applications:
        if one.kind == kind:
            found[one.credit].append(one)
    return found


@contextmanager
def zoho_books(books: Books, patch: pytest.MonkeyPatch) -> Iterator[Source]:
    clock = TestClock()
    patch.setattr(http, "SYSTEM_CLOCK", clock.clock)
    variables(patch, zoho_fixture.VARIABLES)
    zoho = Zoho(clock)
    zoho.calls_per_minute = 1_000_000
    company = zoho.company
    ids: dict[int, str] = {}

    def at(day: date) -> str:
        clock.time = noon(day).astimezone(UTC)
        return day.isoformat()

    def document(one: Document) -> dict[str, str]:
        return {"rate": str(rate(one)), "currency": one.currency}

    at(date(2025, 1, 1))
    for customer in books.customers:
        made = company.contacts.pop(company.contact(f"Customer {customer}"))
        ids[customer] = f"460000000000{customer}"
        company.contacts[ids[customer]] = {**made, "contact_id": ids[customer]}
    for bill in books.invoices.values():
        ids[bill.number] = company.invoice(
            ids[bill.customer], at(bill.day), str(bill.amount), due=str(bill.due), **document(bill)
        )
    for memos, kind, make in (
        (books.memos, "credit_memo", company.credit_note),
        (books.receipts, "receipt", company.payment),
    ):
        applied = applied_by(books, kind)
        for one in memos.values():
            parts = {ids[part.invoice]: str(part.amount) for part in applied[one.number]}
            ids[one.number] = make(ids[one.customer], at(one.day), str(one.amount), parts, **document(one))
    for refund in books.refunds:
        company.refund_credit(ids[refund.memo], at(refund.day), str(books.memos[refund.memo].amount))
    for repayment in books.repayments:
        company.refund_payment(ids[repayment.receipt], at(repayment.day), str(repayment.amount))
    for loss in books.write_offs:
        company.write_off(ids[loss.invoice], at(loss.day))
    clock.time = datetime(2026, 3, 1, 1, tzinfo=UTC)
    with zoho.serving():
        yield {
            "kind": "zoho_books",
            "organization_id": ORGANIZATION,
            "accounts_url": zoho.url,
            "limits": {"calls_per_minute": 1_000_000},
            "entities": {name: {} for name in COLUMNS},
        }


def _fxiaoke(preset: str) -> Serve:
    @contextmanager
    def serve(books: Books, patch: pytest.MonkeyPatch) -> Iterator[Source]:
        variables(patch, test_fxiaoke.VARIABLES)
        with Fxiaoke(multi_currency=True) as server:
            use_clock(patch, server)
            _write_fxiaoke(server, books, has_notes=preset == "ar_module")
            yield {"kind": "fxiaoke", "host": server.url, "preset": preset, "entities": BALANCES}

    return serve


def _write_fxiaoke(server: Fxiaoke, books: Books, *, has_notes: bool) -> None:
    ids: dict[int, str] = {}
    put = server.put

    def document(one: Document) -> dict[str, Any]:
        return {"account_id": ids[one.customer], "mc_currency": one.currency, "mc_exchange_rate": rate(one)}

    for customer in books.customers:
        ids[customer] = put("AccountObj", _id=f"5edd{customer:020d}", name=f"Customer {customer}")
    for bill in books.invoices.values():
        server.now = noon(bill.day)
        if has_notes:
            ids[bill.number] = put(
                "AccountsReceivableNoteObj", price_tax_amount=bill.amount, note_date=bill.day,
                due_date=bill.due, **document(bill),
            )  # fmt: skip
            continue
        ids[bill.number] = order = put(
            "SalesOrderObj", order_amount=bill.amount, order_time=bill.day, **document(bill)
        )
        for due, amount in books.plans.get(bill.number, ((bill.due, bill.amount),)):
            put(
                "PaymentPlanObj", order_id=order, plan_payment_time=due, plan_payment_amount=amount,
                account_id=ids[bill.customer],
            )  # fmt: skip
    applied = applied_by(books, "credit_memo")
    for memo in books.memos.values():
        server.now = noon(memo.day)
        ids[memo.number] = put(
            "ReturnedGoodsInvoiceObj", returned_goods_inv_amount=memo.amount, returned_goods_time=memo.day,
            order_id=next((ids[one.invoice] for one in applied[memo.number]), None), **document(memo),
        )  # fmt: skip
    applied = applied_by(books, "receipt")
    for receipt in books.receipts.values():
        server.now = noon(receipt.day)
        ids[receipt.number] = key = put(
            "PaymentObj", payment_amount=receipt.amount, payment_time=receipt.day, **document(receipt)
        )
        for one in applied[receipt.number]:
            if has_notes:
                put(
                    "MatchNoteDetailObj", payment_id=key, ar_id=ids[one.invoice],
                    this_match_amount=one.amount, match_date=one.day,
                )  # fmt: skip
            else:
                put("OrderPaymentObj", payment_id=key, order_id=ids[one.invoice], payment_amount=one.amount)
    for credit, amount, day in (
        *((books.memos[one.memo], books.memos[one.memo].amount, one.day) for one in books.refunds),
        *((books.receipts[one.receipt], one.amount, one.day) for one in books.repayments),
    ):
        server.now = noon(day)
        put("RefundObj", refunded_amount=amount, refunded_time=day, **document(credit))


@contextmanager
def kingdee(books: Books, patch: pytest.MonkeyPatch) -> Iterator[Source]:
    variables(patch, test_kingdee.VARIABLES)
    with Kingdee() as server:
        use_clock(patch, server)
        _write_kingdee(server, books)
        yield {"kind": "kingdee", "base_url": server.url, "page_rows": 5000, "entities": BALANCES}


def _write_kingdee(server: Kingdee, books: Books) -> None:
    """Every seventh invoice without a plan is another receivable (其他应收单)."""
    ids: dict[int, tuple[str, int]] = {}

    def put(form: str, one: Document, day: date, **fields: Any) -> tuple[str, int]:
        server.now = noon(day).replace(tzinfo=None)
        partner = {"FCONTACTUNITTYPE": "BD_Customer", "FCONTACTUNIT": f"CUST{one.customer}"}
        if form == "AR_receivable":
            partner = {"FCUSTOMERID": f"CUST{one.customer}"}
        common = {"FDATE": day, "FCURRENCYID": KINGDEE_CURRENCIES[one.currency], "FEXCHANGERATE": rate(one)}
        return form, server.put(form, **partner, **common, **fields)

    for customer in books.customers:
        server.put("BD_Customer", FNumber=f"CUST{customer}", FName=f"Customer {customer}", FForbidStatus="A")
    for bill in books.invoices.values():
        plan = books.plans.get(bill.number)
        if plan is None and bill.number % 7 == 0:
            other = {"FENDDATE_H": bill.due, "FAMOUNTFOR": bill.amount}
            ids[bill.number] = put("AR_OtherRecAble", bill, bill.day, **other)
            continue
        lines = [
            {"FENDDATE": due, "FPAYAMOUNTFOR": amount} for due, amount in plan or ((bill.due, bill.amount),)
        ]
        ids[bill.number] = put(
            "AR_receivable", bill, bill.day, FENDDATE_H=bill.due, FALLAMOUNTFOR=bill.amount,
            entries={"FEntityPlan": lines},
        )  # fmt: skip
    for memo in books.memos.values():
        ids[memo.number] = put("AR_receivable", memo, memo.day, FALLAMOUNTFOR=-memo.amount)
    for receipt in books.receipts.values():
        # A receipt in two lines: the amount is their sum.
        cent = Decimal("0.01")
        entries = [{"FRECTOTALAMOUNTFOR": receipt.amount - cent}, {"FRECTOTALAMOUNTFOR": cent}]
        ids[receipt.number] = put(
            "AR_RECEIVEBILL", receipt, receipt.day, entries={"FRECEIVEBILLENTRY": entries}
        )
    for one in books.applications:
        server.now = noon(one.day).replace(tzinfo=None)
        server.match(ids[one.invoice], ids[one.credit], one.amount, one.day)
    for credit, amount, day in (
        *((books.memos[one.memo], books.memos[one.memo].amount, one.day) for one in books.refunds),
        *((books.receipts[one.receipt], one.amount, one.day) for one in books.repayments),
    ):
        paid_back = put("AR_REFUNDBILL", credit, day, FREFUNDAMOUNTFOR=amount)
        server.match(paid_back, ids[credit.number], amount, day)
    for loss in books.write_offs:
        line = {"FLOSSAMOUNTFOR": loss.amount, "FSRCBILLNO": server.number(*ids[loss.invoice])}
        put("AR_BADDebtLoss", books.invoices[loss.invoice], loss.day, entries={"FEntity": [line]})


@contextmanager
def yonbip(books: Books, patch: pytest.MonkeyPatch) -> Iterator[Source]:
    variables(patch, test_yonbip.VARIABLES)
    with YonBIP(with_due_date=True) as server:
        use_clock(patch, server)
        _write_yonbip(server, books)
        yield {"kind": "yonbip", "registry_url": server.url}


def _write_yonbip(server: YonBIP, books: Books) -> None:
    """An invoice has two lines; a verification sets one credit against one debit."""
    ids: dict[int, str] = {}

    def put(path: str, one: Document, day: date, amounts: list[Decimal], *, red: bool = False) -> str:
        server.now = noon(day).replace(tzinfo=None)
        return server.put(
            path, customer=ids[one.customer], day=day, amounts=amounts, currency=one.currency, red=red,
            due=one.due, rate=rate(one),
        )  # fmt: skip

    for customer in books.customers:
        ids[customer] = server.customer(f"Customer {customer}", key=f"1633116225909000{customer}")
    for bill in books.invoices.values():
        first = (bill.amount / 3).quantize(Decimal("0.01"))
        ids[bill.number] = put(RECEIVABLE, bill, bill.day, [first, bill.amount - first])
    for memo in books.memos.values():
        ids[memo.number] = put(RECEIVABLE, memo, memo.day, [memo.amount], red=True)
    for receipt in books.receipts.values():
        ids[receipt.number] = put(COLLECTION, receipt, receipt.day, [receipt.amount])
    for one in books.applications:
        server.now = noon(one.day).replace(tzinfo=None)
        kind, path = ("receipt", COLLECTION) if one.kind == "receipt" else ("red_invoice", RECEIVABLE)
        sides = [
            ("invoice", RECEIVABLE, ids[one.invoice], one.amount),
            (kind, path, ids[one.credit], one.amount),
        ]
        server.verify(sides, one.day)
    for refund in books.refunds:
        memo = books.memos[refund.memo]
        key = put(REFUND, memo, refund.day, [memo.amount])
        credit = ("red_invoice", RECEIVABLE, ids[memo.number], memo.amount)
        server.verify([("refund", REFUND, key, memo.amount), credit], refund.day)
    for repayment in books.repayments:
        key = put(REFUND, books.receipts[repayment.receipt], repayment.day, [repayment.amount])
        credit = ("receipt", COLLECTION, ids[repayment.receipt], repayment.amount)
        server.verify([("refund", REFUND, key, repayment.amount), credit], repayment.day)


def _whole(books: Books) -> Books:
    return books


def _fxiaoke_orders(books: Books) -> Books:
    return refunds_that_name_nothing(without_write_offs(books))


def _fxiaoke_notes(books: Books) -> Books:
    return memos_on_their_own(without_plans(_fxiaoke_orders(books)))


def _yonbip(books: Books) -> Books:
    return without_write_offs(without_plans(books))


@dataclass(frozen=True)
class Service:
    """A service that holds the company: how it is served, what of the books it can say, and why no more."""

    serve: Serve
    says: Callable[[Books], Books] = _whole
    because: str = ""


SERVICES: dict[str, Service] = {
    "zoho_books": Service(zoho_books, without_plans, "an invoice has one due date"),
    "fxiaoke_orders": Service(
        _fxiaoke("orders"),
        _fxiaoke_orders,
        "no object for a debt that was given up; a refund names its customer alone",
    ),
    "fxiaoke_notes": Service(
        _fxiaoke("ar_module"),
        _fxiaoke_notes,
        "as with orders; a note has one due date, and a return names an order, not a note",
    ),
    "kingdee": Service(kingdee),
    "yonbip": Service(
        yonbip, _yonbip, "the list of receivables has no plan, and no list of write-offs is published"
    ),
}
