"""The golden scenarios: facts of a tiny company, and what its open items must be on given days.

One YAML file per scenario; `says` is the rule it shows, `sources` where its numbers were published.
Every id is prefixed with the scenario's name, so that all scenarios can share one warehouse.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from receivables.entities import ENTITIES
from tests.oracle.book import Book, Config, Row, buckets
from tests.oracle.calendars import Calendar

FOLDER = Path(__file__).parent
RUN_DAY = date(2026, 1, 31)
REPORTING_CURRENCY = "EUR"
SOURCE_CURRENCY = "EUR"  # what the shared source takes for rows that name no currency

_ID_COLUMNS = {"customer_id", "invoice_id", "credit_memo_id", "receipt_id", "adjustment_id", "application_id"}
_RECORDED_BY = {
    "invoices": "invoice_date",
    "credit_memos": "credit_memo_date",
    "receipts": "receipt_date",
    "adjustments": "adjustment_date",
    "applications": "applied_on",
}
_OWNERLESS = {"instalments", "applications", "exchange_rates", "gl_balances"}


@dataclass(frozen=True)
class ExpectedItem:
    """One open item; its converted amounts where the rule is about them."""

    document: str
    instalment: int
    amount: Decimal
    days: int
    bucket: str
    company_amount: Decimal | None = None
    group_amount: Decimal | None = None
    shows: int = 5  # how many of the fields the scenario states


@dataclass(frozen=True)
class Expected:
    """What one question about one day must answer."""

    as_of: date
    known_at: date
    basis: str
    view: str
    aging_day: date | None  # counts the age to another day than the balance day
    items: tuple[ExpectedItem, ...]
    totals: dict[str, Decimal]
    buckets: dict[str, dict[str, Decimal]]
    others: dict[str, Any]  # credits, customers, company_total: where the scenario states them


@dataclass(frozen=True)
class Scenario:
    """A company of a few documents."""

    name: str
    says: str
    book: Book
    expected: tuple[Expected, ...]
    reconciliation: tuple[dict[str, str], ...]  # rows of ar_reconciliation
    realised_exchange: dict[str, Decimal]  # per application
    revaluation: dict[str, Decimal]  # sums of ar_open_items
    metrics: tuple[dict[str, str], ...]  # rows of the metric marts and of the roll-forward


def load_scenarios(folder: str) -> list[Scenario]:
    """Every scenario of a folder of `tests/golden/`."""
    return [load_scenario(path) for path in sorted((FOLDER / folder).glob("*.yml"))]


def load_scenario(path: Path) -> Scenario:
    # Everything is read as text: a float would lose the cents that the scenario is about.
    return scenario_of(path.stem, yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader))


def scenario_of(name: str, data: dict[str, Any]) -> Scenario:
    """A scenario from what its file says; every value is text."""
    overdue = tuple(int(edge) for edge in data.get("aging_buckets", (30, 60, 90, 120)))
    forward = tuple(int(edge) for edge in data.get("forward_buckets", ()))
    config = Config(
        companies={name: data["currency"]},
        default_company=name,
        default_currency=data["currency"],
        reporting_currency=REPORTING_CURRENCY,
        allocation_policy=data.get("allocation", "fifo"),
        buckets=buckets(overdue, forward),
        calendar=Calendar(
            data.get("fiscal_calendar", "calendar"), int(data.get("fiscal_year_start_month", 1))
        ),
        day_count=data.get("day_count", "calendar"),
    )
    return Scenario(
        name=name,
        says=data["says"],
        book=_book(config, data),
        expected=tuple(_expected(name, one) for one in data.get("expected", ())),
        reconciliation=tuple(data.get("reconciliation", ())),
        realised_exchange={
            f"{name}.{one}": Decimal(text) for one, text in data.get("realised_exchange", {}).items()
        },
        revaluation={name: Decimal(text) for name, text in data.get("revaluation", {}).items()},
        metrics=tuple(data.get("metrics", ())),
    )


def _book(config: Config, data: dict[str, Any]) -> Book:
    name = config.default_company
    book = Book(config, RUN_DAY)
    recorded: dict[str, date] = {}
    facts = data["facts"]
    delivered = [(entity, row) for entity in facts for row in facts[entity]]
    # A schedule is recorded with its invoice, so invoices come first.
    for entity, given in sorted(delivered, key=lambda pair: pair[0] == "instalments"):
        row = _row(config, entity, given)
        if entity == "invoices":
            recorded[row["invoice_id"]] = row[_RECORDED_BY[entity]]
        known = _known_on(entity, given, row, recorded)
        book.add(entity, row, known)
        if entity not in _OWNERLESS and entity != "customers":
            _add_customer(book, row["customer_id"], name)
    for change in data.get("changes", ()):
        entity, day = change["entity"], date.fromisoformat(change["on"])
        key = _key(name, change["key"])
        if change.get("removed") == "true":
            book.remove(entity, key, day)
        else:
            before = book.chains[entity][key][-1].row
            book.add(entity, {**before, **_typed(name, entity, change["set"])}, day)
            if "customer_id" in change["set"]:
                _add_customer(book, f"{name}.{change['set']['customer_id']}", name)
    return book


def _known_on(entity: str, given: dict[str, str], row: Row, recorded: dict[str, date]) -> date:
    if "known" in given:
        return date.fromisoformat(given["known"])
    if entity in _RECORDED_BY:
        return row[_RECORDED_BY[entity]]
    if entity == "instalments":
        return recorded[row["invoice_id"]]
    return row.get("rate_date") or row.get("balance_date") or date(2015, 1, 1)


def _add_customer(book: Book, customer_id: str, company: str) -> None:
    if (customer_id,) not in book.entity("customers"):
        row = {"customer_id": customer_id, "customer_name": customer_id, "company_id": company}
        book.add("customers", row, date(2015, 1, 1))


def _row(config: Config, entity: str, given: dict[str, str]) -> Row:
    name = config.default_company
    row = _typed(name, entity, {column: text for column, text in given.items() if column != "known"})
    if entity not in _OWNERLESS:
        row.setdefault("customer_id", f"{name}.C1")
        row.setdefault("company_id", name)
        if config.default_currency != SOURCE_CURRENCY:
            row.setdefault("currency_code", config.default_currency)
    if entity == "gl_balances":
        row.setdefault("company_id", name)
        row.setdefault("currency_code", config.default_currency)
    return row


def _typed(name: str, entity: str, given: dict[str, str]) -> Row:
    row: Row = {}
    for column, text in given.items():
        kind = ENTITIES[entity].column(column).type
        if text == "null":
            row[column] = None
        elif column in _ID_COLUMNS or column == "credit_id":
            row[column] = f"{name}.{text}"
        elif kind == "date":
            row[column] = date.fromisoformat(text)
        elif kind == "timestamp":
            row[column] = datetime.fromisoformat(text)
        elif kind in ("amount", "rate"):
            row[column] = Decimal(text)
        elif kind == "integer":
            row[column] = int(text)
        else:
            row[column] = text
    return row


def _key(name: str, text: str) -> tuple[Any, ...]:
    first, *rest = text.split("|")
    return (f"{name}.{first}", *(int(part) for part in rest))


def _expected(name: str, data: dict[str, Any]) -> Expected:
    others: dict[str, Any] = {}
    if "company_total" in data:
        others["company_total"] = _amount(data["company_total"])
    if "credits" in data:
        others["credits"] = {currency: Decimal(text) for currency, text in data["credits"].items()}
    if "customers" in data:
        others["customers"] = {f"{name}.{one}": Decimal(text) for one, text in data["customers"].items()}
    return Expected(
        as_of=date.fromisoformat(data["as_of"]),
        known_at=date.fromisoformat(data["known_at"]) if "known_at" in data else RUN_DAY,
        basis=data.get("basis", "due_date"),
        view=data.get("view", "known"),
        aging_day=date.fromisoformat(data["aging_day"]) if "aging_day" in data else None,
        items=tuple(_expected_item(name, one) for one in data["items"]),
        totals={currency: Decimal(text) for currency, text in data["totals"].items()},
        buckets={
            currency: {bucket: Decimal(text) for bucket, text in cells.items()}
            for currency, cells in data["buckets"].items()
        },
        others=others,
    )


def _expected_item(name: str, fields: list[str]) -> ExpectedItem:
    document, instalment, amount, days, bucket, *converted = fields
    return ExpectedItem(
        f"{name}.{document}",
        int(instalment),
        Decimal(amount),
        int(days),
        bucket,
        *(_amount(text) for text in converted),
        shows=len(fields),
    )


def _amount(text: str) -> Decimal | None:
    return None if text == "null" else Decimal(text)
