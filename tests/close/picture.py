"""What a warehouse says of one company, without its name and with days counted back from the run.

Two companies that are the same but for their name, or for the years they live in, have the same picture.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from tests.close.compare import METRICS, Sheet
from tests.close.harness import own_id
from tests.oracle.book import Book, Row

Picture = dict[tuple[Any, ...], Any]

_UNNAMED = {
    "company_id",
    "scope_id",
    "scope_type",
    "month_end_date",
    "customer_id",
    "currency_code",
    "as_of_date",
}
_TABLES = {
    "ar_roll_forward": ("month_end_date", "currency_code"),
    "ar_aging_daily": ("as_of_date", "currency_code", "aging_bucket"),
    "ar_aging_snapshots": ("as_of_date", "customer_id", "currency_code", "aging_bucket"),
}


def picture(book: Book, sheet: Sheet) -> Picture:
    """Items and cells per question, the ageing, the roll-forward and every metric."""
    name = book.config.default_company
    nameless = _nameless(name, book.run_day)
    found: Picture = {}
    for number, question in enumerate(sheet.questions):
        for one in sheet.items[question].get(name, ()):
            key = (
                "item",
                number,
                nameless(one.document),
                one.instalment,
                nameless(one.customer),
                one.currency,
            )
            found[(*key, "open_amount")] = one.amount
            found[(*key, "company_amount")] = one.company_amount
            found[(*key, "age")] = (one.days, one.bucket)
        for cell, row in sheet.aging[question].get(name, {}).items():
            key = ("cell", number, *(nameless(part) for part in cell))
            found.update({(*key, column): row[column] for column in ("open_amount", "item_count")})
    for table, keys in _TABLES.items():
        for row in sheet.tables[table].get(name, []):
            key = (table, *(nameless(row[column]) for column in keys))
            found.update(_measures(key, row))
    for mart in METRICS:
        for key, row in sheet.metrics[mart].get(name, {}).items():
            found.update(_measures((mart, *(nameless(part) for part in key)), row))
    return {key: value for key, value in found.items() if not _is_nothing(value)}


def _measures(key: tuple[Any, ...], row: Row) -> Picture:
    return {(*key, column): value for column, value in row.items() if column not in _UNNAMED}


def _is_nothing(value: Any) -> bool:
    """Zero says the same as no row: the daily series begins with the oldest company of the warehouse."""
    return value is None or (isinstance(value, Decimal | int) and value == 0)


def _nameless(name: str, run_day: date) -> Callable[[Any], Any]:
    def nameless(value: Any) -> Any:
        if isinstance(value, date):
            return (run_day - value).days
        if isinstance(value, str):
            return own_id(value).removeprefix(name)
        return value

    return nameless


def changes(before: Picture, after: Picture) -> dict[tuple[Any, ...], tuple[Any, Any]]:
    """Every key whose value is another, with both values."""
    return {
        key: (before.get(key), after.get(key))
        for key in {**before, **after}
        if not _is_same(before.get(key), after.get(key))
    }


def _is_same(before: Any, after: Any) -> bool:
    if isinstance(before, float) and isinstance(after, float):
        return abs(before - after) <= 1e-9 * max(1.0, abs(before))
    return bool(before == after)
