"""The company in the tables of each system, and in canonical files."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

from tests.extracts.one_company import Books, Document, left

Row = Mapping[str, object]
Tables = dict[str, list[Row]]


def write(folder: Path, tables: Tables) -> None:
    """One CSV per table; a table without rows has the columns that it was given as a single empty row."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, columns)
            writer.writeheader()
            writer.writerows(row for row in rows if any(value is not None for value in row.values()))


def noon(day: date) -> str:
    return f"{day.isoformat()} 12:00:00"


def canonical(books: Books, company: str) -> Tables:
    """The canonical entities, every id beginning with the company."""

    def named(number: int) -> str:
        return f"{company}.{number}"

    def document(one: Document, **other: object) -> Row:
        return {
            "customer_id": named(one.customer), "company_id": company, "amount": one.amount,
            "currency_code": one.currency, "exchange_rate": one.rate, "created_at": noon(one.day), **other,
        }  # fmt: skip

    def named_credit(kind: str, number: int, is_named: bool) -> Row:
        return {"credit_type": kind, "credit_id": named(number)} if is_named else {}

    return {
        "customers": [
            {"customer_id": named(one), "customer_name": f"Customer {one}", "company_id": company}
            for one in books.customers
        ],
        "invoices": [
            document(one, invoice_id=named(one.number), invoice_date=one.day, due_date=one.due)
            for one in books.invoices.values()
        ],
        "credit_memos": [
            document(one, credit_memo_id=named(one.number), credit_memo_date=one.day)
            for one in books.memos.values()
        ],
        "receipts": [
            document(one, receipt_id=named(one.number), receipt_date=one.day)
            for one in books.receipts.values()
        ],
        "applications": [
            {
                "application_id": f"{named(one.credit)}>{one.invoice}", "credit_type": one.kind,
                "credit_id": named(one.credit), "invoice_id": named(one.invoice), "amount": one.amount,
                "applied_on": one.day, "created_at": noon(one.day),
            }
            for one in books.applications
        ],
        "instalments": [
            {
                "invoice_id": named(invoice), "instalment_number": number, "due_date": due, "amount": amount,
                "created_at": noon(books.invoices[invoice].day),
            }
            for invoice, plan in books.plans.items()
            for number, (due, amount) in enumerate(plan, 1)
        ],
        "adjustments": [
            *(
                document(
                    books.memos[one.memo], adjustment_id=named(one.number), adjustment_type="refund",
                    adjustment_date=one.day, **named_credit("credit_memo", one.memo, one.names_memo),
                )
                for one in books.refunds
            ),
            *(
                document(
                    books.receipts[one.receipt], adjustment_id=named(one.number), adjustment_type="refund",
                    adjustment_date=one.day, amount=one.amount,
                    **named_credit("receipt", one.receipt, one.names_receipt),
                )
                for one in books.repayments
            ),
            *(
                document(
                    books.invoices[one.invoice], adjustment_id=named(one.number),
                    adjustment_type="write_off", adjustment_date=one.day, amount=one.amount,
                    invoice_id=named(one.invoice),
                )
                for one in books.write_offs
            ),
        ],
    }  # fmt: skip


def quickbooks(books: Books) -> Tables:
    """A credit memo is applied, and paid back, by a payment of 0 with a line on each side."""
    rest = left(books)

    def document(one: Document) -> Row:
        return {
            "id": one.number, "customer_id": one.customer, "transaction_date": one.day,
            "due_date": one.due, "total_amount": one.amount, "currency_id": one.currency,
            "exchange_rate": one.rate, "created_at": noon(one.day), "_fivetran_deleted": "FALSE",
            "balance": rest[one.number],
        }  # fmt: skip

    payments = [{**document(one), "unapplied_amount": rest[one.number]} for one in books.receipts.values()]
    lines: list[Row] = []
    for position, one in enumerate(books.applications):
        if one.kind == "receipt":
            lines.append({"payment_id": one.credit, "amount": one.amount, "invoice_id": one.invoice})
            continue
        payment = 500_000 + position
        payments.append(
            {
                **document(books.memos[one.credit]),
                "id": payment,
                "total_amount": 0,
                "unapplied_amount": 0,
                "transaction_date": one.day,
            }
        )
        lines.append({"payment_id": payment, "amount": one.amount, "invoice_id": one.invoice})
        lines.append({"payment_id": payment, "amount": one.amount, "credit_memo_id": one.credit})
    for refund in books.refunds:
        memo = books.memos[refund.memo]
        payments.append(
            {
                **document(memo),
                "id": 800_000 + refund.number,
                "total_amount": 0,
                "unapplied_amount": 0,
                "transaction_date": refund.day,
            }
        )
        for side in ({"check_id": refund.number}, {"credit_memo_id": refund.memo}):
            lines.append({"payment_id": 800_000 + refund.number, "amount": memo.amount, **side})
    return {
        "customer": [
            {"id": one, "display_name": f"Customer {one}", "active": "TRUE"} for one in books.customers
        ],
        "invoice": [document(one) for one in books.invoices.values()],
        "credit_memo": [document(one) for one in books.memos.values()],
        "payment": payments,
        "payment_line": lines,
    }


def xero(books: Books) -> Tables:
    """A payment belongs to one invoice; what is too much is an overpayment. Rates are the other way round."""
    rest = left(books)

    def foreign(rate: Decimal | None) -> str:
        return "1" if rate is None else f"{1 / rate:.10f}"

    def document(one: Document, **other: object) -> Row:
        return {
            "contact_id": one.customer, "date": one.day, "due_date": one.due, "total": one.amount,
            "currency_code": one.currency, "currency_rate": foreign(one.rate),
            "updated_date_utc": f"{noon(one.day)}.083 UTC", **other,
        }  # fmt: skip

    return {
        "contact": [{"contact_id": one, "name": f"Customer {one}"} for one in books.customers],
        "invoice": [
            document(
                one, invoice_id=one.number, type="ACCREC", status="AUTHORISED", amount_due=rest[one.number]
            )
            for one in books.invoices.values()
        ],
        "credit_note": [
            document(
                one, credit_note_id=one.number, type="ACCRECCREDIT", status="AUTHORISED",
                remaining_credit=rest[one.number],
            )
            for one in books.memos.values()
        ],
        "credit_note_allocation": [
            {"credit_note_id": one.credit, "invoice_id": one.invoice, "amount": one.amount, "date": one.day}
            for one in books.applications
            if one.kind == "credit_memo"
        ],
        "payment": [
            {
                "payment_id": f"P{position}", "invoice_id": one.invoice, "date": one.day,
                "amount": one.amount,
                "currency_rate": foreign(books.receipts[one.credit].rate), "payment_type": "ACCRECPAYMENT",
                "status": "AUTHORISED", "updated_date_utc": noon(one.day),
            }
            for position, one in enumerate(books.applications)
            if one.kind == "receipt"
        ]
        + [
            {
                "payment_id": f"R{one.number}", "credit_note_id": one.memo, "date": one.day,
                "amount": books.memos[one.memo].amount, "payment_type": "ARCREDITPAYMENT",
                "currency_rate": foreign(books.memos[one.memo].rate), "status": "AUTHORISED",
                "updated_date_utc": noon(one.day),
            }
            for one in books.refunds
        ],
        "overpayment": [
            document(
                one, overpayment_id=one.number, total=books.unapplied(one.number), type="RECEIVE-OVERPAYMENT",
                remaining_credit=rest[one.number],
            )
            for one in books.receipts.values()
            if books.unapplied(one.number)
        ],
    }  # fmt: skip


def netsuite(books: Books) -> Tables:
    """Everything is a transaction; a link leads from the invoice to what settles it."""
    rest = left(books)

    def transaction(one: Document, kind: str) -> Row:
        return {
            "id": one.number, "type": kind, "trandate": f"{one.day} 0:00:00", "duedate": one.due,
            "entity": one.customer, "currency": 1 if one.rate is None else 2, "exchangerate": one.rate or 1,
            "foreigntotal": one.amount if kind == "CustInvc" else -one.amount, "posting": "T", "voided": "F",
            "createddate": noon(one.day), "_fivetran_active": "TRUE", "_fivetran_deleted": "FALSE",
            "foreignamountunpaid": rest[one.number] if kind == "CustInvc" else None,
            "foreignpaymentamountunused": None if kind == "CustInvc" else rest[one.number],
        }  # fmt: skip

    refunds = [
        {**transaction(books.memos[one.memo], "CustRfnd"), "id": one.number, "trandate": one.day}
        for one in books.refunds
    ]
    return {
        "customer": [{"id": one, "companyname": f"Customer {one}"} for one in books.customers],
        "currency": [{"id": 1, "symbol": "USD"}, {"id": 2, "symbol": "EUR"}],
        "transaction": [
            *(transaction(one, "CustInvc") for one in books.invoices.values()),
            *(transaction(one, "CustCred") for one in books.memos.values()),
            *(transaction(one, "CustPymt") for one in books.receipts.values()),
            *refunds,
        ],
        "previous_transaction_line_link": [
            {
                "previousdoc": one.invoice,
                "nextdoc": one.credit,
                "foreignamount": one.amount,
                "linktype": "Payment",
            }
            for one in books.applications
        ]
        + [
            {"previousdoc": one.memo, "nextdoc": one.number, "foreignamount": books.memos[one.memo].amount}
            for one in books.refunds
        ],
    }


def stripe(books: Books) -> Tables:
    """Cents; a charge for each payment of an invoice; credit notes before the payment name their invoice."""
    rest = left(books)

    def cents(amount: Decimal) -> int:
        return int(amount * 100)

    billed = {one.credit: one.invoice for one in books.applications if one.kind == "credit_memo"}
    # A credit note needs an invoice; one that is kept as credit is a later one of any invoice.
    by_customer = {one.customer: one.number for one in books.invoices.values()}
    paid: dict[int, Decimal] = defaultdict(Decimal)
    for one in books.applications:
        if one.kind == "receipt":
            paid[one.invoice] += one.amount
    return {
        "customer": [{"id": one, "name": f"Customer {one}"} for one in books.customers],
        "invoice": [
            {
                "id": one.number, "customer_id": one.customer, "currency": "usd", "total": cents(one.amount),
                "status": "open", "created": noon(one.day), "due_date": noon(one.due or one.day),
                "amount_paid": cents(paid[one.number]), "amount_remaining": cents(rest[one.number]),
            }
            for one in books.invoices.values()
        ],
        "charge": [
            {
                "id": one.credit, "amount": cents(one.amount), "currency": "usd", "status": "succeeded",
                "created": noon(one.day), "invoice_id": one.invoice, "paid": "TRUE", "captured": "TRUE",
            }
            for one in books.applications
            if one.kind == "receipt"
        ],
        "credit_note": [
            {
                "id": one.number, "invoice_id": billed.get(one.number, by_customer[one.customer]),
                "total": cents(one.amount), "currency": "usd", "created": noon(one.day), "status": "issued",
                "type": "pre_payment" if one.number in billed else "post_payment",
            }
            for one in books.memos.values()
        ],
    }  # fmt: skip


def sage_intacct(books: Books) -> Tables:
    """Credit memos are adjustments below zero; a payment detail joins an invoice and what settles it."""
    rest = left(books)

    def bill(one: Document) -> Row:
        return {
            "recordno": one.number, "customerid": one.customer, "totalentered": one.amount, "state": "Posted",
            "currency": one.currency, "whencreated": one.day, "whenposted": one.day, "whendue": one.due,
            "auwhencreated": noon(one.day), "_fivetran_deleted": "FALSE", "totaldue": rest[one.number],
        }  # fmt: skip

    def item(one: Document) -> Row:
        return {
            "recordkey": one.number, "currency": one.currency, "basecurr": "USD",
            "exchange_rate": one.rate or 1,
        }  # fmt: skip

    return {
        "customer": [{"customerid": one, "name": f"Customer {one}"} for one in books.customers],
        "ar_invoice": [bill(one) for one in books.invoices.values()],
        "ar_invoice_item": [item(one) for one in books.invoices.values()],
        "ar_adjustment": [
            {**bill(one), "totalentered": -one.amount, "totaldue": -rest[one.number]}
            for one in books.memos.values()
        ],
        "ar_adjustment_item": [item(one) for one in books.memos.values()],
        "ar_payment": [
            {
                "recordno": one.number, "customerid": one.customer, "receiptdate": one.day,
                "trx_paymentamount": one.amount, "currency": one.currency, "exchange_rate": one.rate,
                "state": "Complete", "auwhencreated": noon(one.day),
            }
            for one in books.receipts.values()
        ],
        "ar_payment_detail": [
            {
                "recordkey": one.invoice, "trx_paymentamount": one.amount, "paymentdate": one.day,
                "paymentkey": one.credit if one.kind == "receipt" else 0,
                "adjustmentkey": one.credit if one.kind == "credit_memo" else "",
            }
            for one in books.applications
        ],
    }  # fmt: skip


def sap(books: Books) -> Tables:
    """A line for each amount that a payment sets against an invoice; the last one clears it."""
    lines: list[dict[str, object]] = []

    def line(number: int, one: Document, amount: Decimal, key: str, **other: object) -> dict[str, object]:
        position = sum(1 for given in lines if given["BELNR"] == f"{number:010d}") + 1
        rate = one.rate or Decimal(1)
        days = (one.due - one.day).days if one.due else 0
        return {
            "MANDT": "800", "BUKRS": "1000", "KUNNR": f"{one.customer:010d}", "GJAHR": one.day.year,
            "BELNR": f"{number:010d}", "BUZEI": f"{position:03d}", "BSCHL": key,
            "SHKZG": "S" if key in ("01", "05") else "H", "WRBTR": amount,
            "DMBTR": (amount * rate).quantize(Decimal("0.01")), "WAERS": one.currency,
            "BUDAT": f"{one.day:%Y%m%d}", "BLDAT": f"{one.day:%Y%m%d}", "CPUDT": f"{one.day:%Y%m%d}",
            "ZFBDT": f"{one.day:%Y%m%d}", "ZBD1T": days, "ZBD2T": 0, "ZBD3T": 0, "UMSKZ": "",
            "REBZG": "", "REBZJ": "0000", "REBZZ": "000", "AUGDT": "00000000", "AUGBL": "", **other,
        }  # fmt: skip

    def add(one: dict[str, object]) -> dict[str, object]:
        lines.append(one)
        return one

    bills = {one.number: add(line(one.number, one, one.amount, "01")) for one in books.invoices.values()}
    memos_applied = {one.credit for one in books.applications if one.kind == "credit_memo"}
    refunds = {one.memo: one for one in books.refunds}
    counts: dict[int, int] = defaultdict(int)
    settled: dict[int, list[dict[str, object]]] = defaultdict(list)
    for bill in books.invoices.values():
        for one in books.applied(bill.number):
            credit = books.receipts[one.credit] if one.kind == "receipt" else books.memos[one.credit]
            counts[one.credit] += 1
            given = line(
                one.credit, credit, one.amount, "15" if one.kind == "receipt" else "11",
                BUZEI=f"{counts[one.credit]:03d}", REBZG=bills[bill.number]["BELNR"],
                REBZJ=bill.day.year, REBZZ="001",
            )  # fmt: skip
            settled[bill.number].append(add(given))
        if sum(one.amount for one in books.applied(bill.number)) == bill.amount:
            last = settled[bill.number][-1]
            # What clears the invoice at once needs no reference to it.
            last.update(REBZG="", REBZJ="0000", REBZZ="000")
            for given in (bills[bill.number], *settled[bill.number]):
                given.update(AUGBL=last["BELNR"], AUGDT=last["BUDAT"])
    for receipt in books.receipts.values():
        if rest := books.unapplied(receipt.number):
            counts[receipt.number] += 1
            add(line(receipt.number, receipt, rest, "15", BUZEI=f"{counts[receipt.number]:03d}"))
    for memo in books.memos.values():
        if memo.number in memos_applied:
            continue
        given = add(line(memo.number, memo, memo.amount, "11"))
        if refund := refunds.get(memo.number):
            paid = add(line(refund.number, memo, memo.amount, "05"))
            paid["BUDAT"] = f"{refund.day:%Y%m%d}"
            for both in (given, paid):
                both.update(AUGBL=paid["BELNR"], AUGDT=paid["BUDAT"])
    return {
        "BSID": [one for one in lines if one["AUGDT"] == "00000000"],
        "BSAD": [one for one in lines if one["AUGDT"] != "00000000"],
        "KNA1": [
            {"MANDT": "800", "KUNNR": f"{one:010d}", "NAME1": f"Customer {one}"} for one in books.customers
        ],
        "BKPF": _headers(lines),
        "T001": [{"MANDT": "800", "BUKRS": "1000", "WAERS": "USD"}],
        "TCURX": [{"CURRKEY": "JPY", "CURRDEC": "0"}],
    }


def _headers(lines: Iterable[dict[str, object]]) -> list[Row]:
    headers: dict[object, Row] = {}
    for one in lines:
        ratio = Decimal(str(one["DMBTR"])) / Decimal(str(one["WRBTR"])) if one["WRBTR"] else Decimal(0)
        rate = min(
            (Decimal("1.08500"), Decimal("1.10250"), Decimal("1.04750")), key=lambda known: abs(known - ratio)
        )
        headers[one["BELNR"]] = {
            "MANDT": "800", "BUKRS": "1000", "GJAHR": one["GJAHR"], "BELNR": one["BELNR"],
            "BUDAT": one["BUDAT"],
            "CPUDT": one["CPUDT"], "CPUTM": "120000", "KURSF": rate if one["WAERS"] == "EUR" else "0.00000",
            "HWAER": "USD", "STBLG": "", "STJAH": "0000",
        }  # fmt: skip
    return list(headers.values())


SYSTEMS: dict[str, Callable[[Books], Tables]] = {
    "netsuite": netsuite,
    "quickbooks": quickbooks,
    "sage_intacct": sage_intacct,
    "sap": sap,
    "stripe": stripe,
    "xero": xero,
}
