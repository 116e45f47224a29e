"""A company changed in one way, and a company written down so that it can be read and built again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from tests.oracle.book import KEYS, Book, Key, Row, Version

Value = Any


def mapped(book: Book, name: str, change: Callable[[str, str, Value], Value]) -> Book:
    """A copy named `name`; `change(entity, column, value)` says what becomes of every value but the rates."""
    (currency,) = book.config.companies.values()
    config = replace(book.config, default_company=name, companies={name: currency})
    copy = Book(config, book.run_day)
    for entity, chains in book.chains.items():
        if entity == "exchange_rates":
            copy.chains[entity] = chains
            continue
        copy.chains[entity] = {}
        for chain in chains.values():
            versions = [replace(one, row=_mapped_row(entity, one.row, change)) for one in chain]
            copy.chains[entity][_key(entity, versions[0].row)] = versions
    return copy


def _mapped_row(entity: str, row: Row, change: Callable[[str, str, Value], Value]) -> Row:
    return {column: change(entity, column, value) for column, value in row.items()}


def _key(entity: str, row: Row) -> Key:
    return tuple(row.get(column) for column in KEYS[entity])


def renamed(book: Book, name: str) -> Book:
    """The same company under another name: every id begins with the name of its company."""
    old = book.config.default_company

    def change(entity: str, column: str, value: Value) -> Value:
        if isinstance(value, str) and (value == old or value.startswith(f"{old}.")):
            return name + value[len(old) :]
        return value

    return mapped(book, name, change)


def without(book: Book, entity: str, key: Key, version: int | None = None) -> Book:
    """The company without one row, or without one later version of it."""
    chains = {name: dict(rows) for name, rows in book.chains.items()}
    if version is None:
        del chains[entity][key]
    else:
        chains[entity][key] = [one for number, one in enumerate(chains[entity][key]) if number != version]
    return Book(book.config, book.run_day, chains)


def smaller(book: Book) -> Iterator[Book]:
    """Every company that has one row, or one later version, less."""
    for entity, chains in book.chains.items():
        if entity in ("exchange_rates", "customers"):
            continue
        for key, chain in chains.items():
            if not _is_needed(book, entity, key):
                yield without(book, entity, key)
            for number in range(1, len(chain)):
                yield without(book, entity, key, number)
    for key, chain in book.entity("customers").items():
        for number in range(1, len(chain)):
            yield without(book, "customers", key, number)


def _is_needed(book: Book, entity: str, key: Key) -> bool:
    """The last invoice stays: a company without any document is no company."""
    return entity == "invoices" and len(book.entity("invoices")) == 1


def dump(book: Book) -> str:
    """The company as text: one line per version, in the order of the ledger's entities."""
    config = book.config
    lines = [
        f"company {config.default_company}: {config.companies}, {config.allocation_policy},"
        f" as of {book.run_day}, reporting in {config.reporting_currency}"
    ]
    for entity, chains in book.chains.items():
        if entity == "exchange_rates":
            continue
        for chain in chains.values():
            lines += [_line(entity, version) for version in chain]
    return "\n".join(lines)


def _line(entity: str, version: Version) -> str:
    if version.removed:
        return f"  {entity} {version.known_on}: removed"
    shown = ", ".join(f"{name}={_short(value)}" for name, value in version.row.items() if value is not None)
    return f"  {entity} {version.known_on}: {shown}"


def _short(value: Value) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def scaled(book: Book, name: str, factor: int) -> Book:
    """The same company with every amount `factor` times as large."""
    amounts = {"amount", "discount_amount"}
    return mapped(
        renamed(book, name),
        name,
        lambda entity, column, value: value * factor if column in amounts and value is not None else value,
    )


def shifted(book: Book, days: int) -> Book:
    """The same company, its rates and its run, some days later."""
    delta = timedelta(days=days)

    def later(value: Value) -> Value:
        return value + delta if isinstance(value, date) else value

    copy = Book(book.config, book.run_day + delta)
    for entity, chains in book.chains.items():
        copy.chains[entity] = {
            tuple(later(part) for part in key): [
                Version(
                    {column: later(value) for column, value in one.row.items()},
                    later(one.known_on),
                    one.removed,
                )
                for one in chain
            ]
            for key, chain in chains.items()
        }
    return copy


def first_versions(book: Book) -> Book:
    """The company as if nothing had ever been changed afterwards."""
    chains = {entity: {key: chain[:1] for key, chain in rows.items()} for entity, rows in book.chains.items()}
    return Book(book.config, book.run_day, chains)


def with_stranger(book: Book, name: str) -> Book:
    """The company with one more customer, who has an invoice, a payment and a credit memo of their own."""
    copy = renamed(book, name)
    day = book.run_day - timedelta(days=100)
    stranger, invoice = f"{name}.STRANGER", f"{name}.STRANGER-I"
    currency = copy.config.default_currency
    common = {"customer_id": stranger, "company_id": name, "currency_code": currency}
    rows: list[tuple[str, Row]] = [
        ("customers", {"customer_id": stranger, "customer_name": stranger, "company_id": name}),
        ("invoices", {**common, "invoice_id": invoice, "invoice_date": day, "amount": Decimal(70)}),
        (
            "receipts",
            {**common, "receipt_id": f"{name}.STRANGER-R", "receipt_date": day, "amount": Decimal(20)},
        ),
        (
            "credit_memos",
            {
                **common,
                "credit_memo_id": f"{name}.STRANGER-C",
                "credit_memo_date": day,
                "amount": Decimal(90),
                "invoice_id": invoice,
            },
        ),
        (
            "applications",
            {
                "application_id": f"{name}.STRANGER-P",
                "credit_type": "receipt",
                "credit_id": f"{name}.STRANGER-R",
                "invoice_id": invoice,
                "amount": Decimal(15),
                "applied_on": day,
            },
        ),
    ]
    for entity, row in rows:
        copy.add(entity, row, day)
    return copy
