"""Two small companies in order, as rows of source files: what the catalogue's faults are planted into."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import yaml

from receivables.entities import ENTITIES
from receivables.settings import Settings
from tests.conftest import PROJECT

SOURCE = "erp"
FIRST = date(2025, 12, 1)
YESTERDAY = date(2026, 3, 31)
TODAY = date(2026, 4, 1)

Row = dict[str, str]
Rows = dict[str, list[Row]]

CONFIG = {
    "reporting_currency": "EUR",
    "daily_snapshot_days": 10,
    "companies": [
        {"company_id": "ACME", "company_name": "Acme", "currency_code": "EUR"},
        {"company_id": "BETA", "company_name": "Beta", "currency_code": "USD"},
    ],
}


def install(folder: Path, *, limit: Mapping[str, float] | None = None) -> Settings:
    """An installation whose only source is a folder of CSV files with the canonical names."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    settings = Settings(
        root=PROJECT, home=folder / "home", sources_dir=sources, config_file=folder / "receivables.yml"
    )
    settings.config_file.write_text(yaml.safe_dump(CONFIG))
    source = {
        "kind": "files",
        "base": str(folder / "files"),
        "default_company_id": "ACME",
        "default_currency_code": "EUR",
        "entities": {name: {"path": f"{name}.csv"} for name in ENTITIES},
        **({"refused_limit": dict(limit)} if limit else {}),
    }
    (sources / f"{SOURCE}.yml").write_text(yaml.safe_dump(source, sort_keys=False))
    return settings


def write(folder: Path, rows: Mapping[str, Sequence[Row]]) -> None:
    """One CSV per entity; a row may lack columns, and have more."""
    folder.mkdir(parents=True, exist_ok=True)
    for entity, records in rows.items():
        columns = list(dict.fromkeys(name for record in records for name in record))
        with (folder / f"{entity}.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, columns or list(ENTITIES[entity].column_names))
            writer.writeheader()
            writer.writerows(records)


def company(day: date) -> Rows:
    """Everything that the source holds at the end of `day`."""
    rows: Rows = {name: [] for name in ENTITIES}
    _master_data(rows)
    for number in range(72):
        _sale(rows, number, day)
    _credit_control(rows, day)
    _rates(rows, day)
    add_general_ledger(rows, day)
    return rows


def _at(day: date) -> str:
    return f"{day}T09:00:00Z"


def _master_data(rows: Rows) -> None:
    for number in range(12):
        beta = number >= 8
        rows["customers"].append(
            {
                "customer_id": f"C{number:02}",
                "customer_name": f"Customer {number:02}",
                "company_id": "BETA" if beta else "ACME",
                "parent_customer_id": "C00" if number in (1, 2) else "",
                "segment": ("retail", "public")[number % 2],
                "country_code": "DE",
                "currency_code": "USD" if beta else "EUR",
                "payment_terms_days": "30",
                "collector": f"collector {number % 3}",
                "salesperson": f"seller {number % 4}",
                "is_active": "true",
                "created_at": _at(FIRST),
            }
        )
        rows["credit_limits"].append(
            {
                "customer_id": f"C{number:02}",
                "valid_from": str(FIRST),
                "limit_amount": "50000",
                "currency_code": "USD" if beta else "EUR",
                "created_by": "clerk",
                "approved_by": "head of credit",
                "created_at": _at(FIRST),
            }
        )


def _sale(rows: Rows, number: int, today: date) -> None:
    """An invoice and what became of it: most are paid after 35 days, some otherwise, the rest is open."""
    day = FIRST + timedelta(days=number * 121 // 71)
    if day > today:
        return
    customer = number % 12
    beta = customer >= 8
    invoice, amount = f"I{number:03}", Decimal(1000 + 37 * number)
    currency = "EUR" if beta and number % 24 == 11 else "USD" if beta else "EUR"
    common = {
        "customer_id": f"C{customer:02}",
        "company_id": "BETA" if beta else "ACME",
        "currency_code": currency,
        "created_at": _at(day),
    }
    rows["invoices"].append(
        {
            "invoice_id": invoice,
            "invoice_number": f"2026/{number:03}",
            "invoice_date": str(day),
            "posting_date": str(day),
            "due_date": str(day + timedelta(days=30)),
            "document_type": "invoice",
            "amount": str(amount),
            "tax_amount": "100",
            "status": "posted",
            **common,
        }
    )
    if number % 9 == 4:
        for part in (1, 2):
            rows["instalments"].append(
                {
                    "invoice_id": invoice,
                    "instalment_number": str(part),
                    "due_date": str(day + timedelta(days=30 * part)),
                    "amount": str(Decimal(500) if part == 1 else amount - 500),
                    "created_at": _at(day),
                }
            )
    _settlement(rows, number, day, amount, common, today)


def _settlement(
    rows: Rows, number: int, day: date, amount: Decimal, common: Mapping[str, str], today: date
) -> None:
    invoice = f"I{number:03}"
    paid_on = day + timedelta(days=35)
    if number % 9 == 7 and day + timedelta(days=10) <= today:
        rows["credit_memos"].append(
            {
                **common,
                "credit_memo_id": f"M{number:03}",
                "credit_memo_number": f"G{number:03}",
                "credit_memo_date": str(day + timedelta(days=10)),
                "amount": "150",
                "invoice_id": invoice,
                "reason": "price",
                "created_by": "clerk",
                "approved_by": "head of sales",
                "created_at": _at(day + timedelta(days=10)),
            }
        )
    elif number % 18 == 5 and day + timedelta(days=60) <= today:
        rows["adjustments"].append(
            {
                **common,
                "adjustment_id": f"W{number:03}",
                "adjustment_type": "write_off",
                "adjustment_date": str(day + timedelta(days=60)),
                "amount": "100",
                "invoice_id": invoice,
                "reason": "insolvent",
                "created_by": "clerk",
                "approved_by": "head of finance",
                "created_at": _at(day + timedelta(days=60)),
            }
        )
    elif number % 6 != 3 and paid_on <= today:
        discount = Decimal(20) if number % 8 == 0 else Decimal(0)
        rows["receipts"].append(
            {
                **common,
                "receipt_id": f"R{number:03}",
                "receipt_date": str(paid_on),
                "amount": str(amount - discount),
                "bank_reference": f"B{number:03}",
                "status": "posted",
                "created_at": _at(paid_on),
            }
        )
        rows["applications"].append(
            {
                "application_id": f"A{number:03}",
                "credit_type": "receipt",
                "credit_id": f"R{number:03}",
                "invoice_id": invoice,
                "amount": str(amount - discount),
                "discount_amount": str(discount),
                "applied_on": str(paid_on),
                "created_at": _at(paid_on),
            }
        )


def _credit_control(rows: Rows, today: date) -> None:
    open_invoices = [row for row in rows["invoices"] if int(row["invoice_id"][1:]) % 6 == 3][:11]
    for number, invoice in enumerate(open_invoices):
        day = date.fromisoformat(invoice["invoice_date"]) + timedelta(days=20)
        if day > today:
            continue
        customer = invoice["customer_id"]
        rows["collection_events"].append(
            {
                "event_id": f"E{number:02}",
                "customer_id": customer,
                "event_date": str(day),
                "stage": "letter",
                "channel": "post",
                "invoice_id": invoice["invoice_id"],
                "created_at": _at(day),
            }
        )
        rows["promises"].append(
            {
                "promise_id": f"P{number:02}",
                "customer_id": customer,
                "promised_on": str(day),
                "promised_date": str(day + timedelta(days=14)),
                "amount": "500",
                "invoice_id": invoice["invoice_id"],
                "created_at": _at(day),
            }
        )
        rows["disputes"].append(
            {
                "dispute_id": f"D{number:02}",
                "invoice_id": invoice["invoice_id"],
                "opened_on": str(day),
                "closed_on": str(day + timedelta(days=5)) if day + timedelta(days=5) <= today else "",
                "amount": "200",
                "reason": "quality",
                "created_at": _at(day),
            }
        )
    for number in range(10):
        rows["open_orders"].append(
            {
                "order_id": f"O{number:02}",
                "customer_id": f"C{number:02}",
                "order_date": "2026-03-15",
                "open_amount": str(300 + number),
                "currency_code": "EUR",
                "created_at": _at(date(2026, 3, 15)),
            }
        )


def _rates(rows: Rows, today: date) -> None:
    day = FIRST - timedelta(days=10)
    while day <= today:
        rate = Decimal("0.9") + Decimal(day.toordinal() % 7) / 1000
        rows["exchange_rates"].append(
            {
                "rate_date": str(day),
                "from_currency": "USD",
                "to_currency": "EUR",
                "rate": str(rate),
                "rate_type": "spot",
            }
        )
        rows["exchange_rates"].append(
            {
                "rate_date": str(day),
                "from_currency": "EUR",
                "to_currency": "USD",
                "rate": str(round(1 / rate, 6)),
                "rate_type": "spot",
            }
        )
        day += timedelta(days=1)


def add_general_ledger(rows: Rows, today: date) -> None:
    """The control account of ACME, which books in euro only: what was billed less what was settled."""
    dates = {
        "invoices": "invoice_date",
        "receipts": "receipt_date",
        "credit_memos": "credit_memo_date",
        "adjustments": "adjustment_date",
    }
    company_of = {row["invoice_id"]: row["company_id"] for row in rows["invoices"]}
    rows["bank_statements"] = [
        {
            "statement_id": "S1",
            "account": "DE1",
            "statement_date": str(today),
            "company_id": "ACME",
            "currency_code": "EUR",
            "opening_balance_amount": "100.00",
            "transactions_amount": "0.01",
            "closing_balance_amount": "100.01",
            "transaction_count": "1",
        }
    ]
    rows["bank_transactions"] = [
        {
            "transaction_id": "B1",
            "statement_id": "S1",
            "account": "DE1",
            "booking_date": str(today),
            "direction": "credit",
            "amount": "0.01",
            "company_id": "ACME",
            "currency_code": "EUR",
        }
    ]
    rows["gl_balances"] = []
    for offset in range(40, -1, -1):
        day = today - timedelta(days=offset)
        balance = Decimal(0)
        for entity, column in dates.items():
            total = sum(
                Decimal(row["amount"])
                for row in rows[entity]
                if row["company_id"] == "ACME" and row[column] <= str(day)
            )
            balance += total if entity == "invoices" else -total
        balance -= sum(
            Decimal(row["discount_amount"])
            for row in rows["applications"]
            if row["applied_on"] <= str(day) and company_of[row["invoice_id"]] == "ACME"
        )
        rows["gl_balances"].append(
            {
                "company_id": "ACME",
                "balance_date": str(day),
                "balance_amount": str(balance),
                "currency_code": "EUR",
                "account": "1200",
            }
        )
