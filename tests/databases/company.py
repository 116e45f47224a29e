"""The demo company's tables as rows by name, to be written down once more as another system keeps them."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_MOMENTS = frozenset({"created_at", "updated_at", "posted_at", "sent_at"})


@dataclass(frozen=True)
class Company:
    """Every table of the demo ERP, typed: days, moments in UTC, exact amounts."""

    tables: dict[str, list[Row]]

    def __getitem__(self, table: str) -> list[Row]:
        return self.tables[table]

    def settlements_by(self, column: str) -> dict[str, list[Row]]:
        """The settlements of each credit, or of each invoice."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self["settlement"]:
            found[row[column]].append(row)
        return found

    def by_number(self, table: str, column: str) -> dict[str, Row]:
        return {row[column]: row for row in self[table]}


def read_company(erp: Path) -> Company:
    """The demo company of a SQLite file."""
    with closing(sqlite3.connect(erp)) as connection:
        connection.row_factory = sqlite3.Row
        names = [
            name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
        ]
        return Company(
            {
                name: [
                    {column: _typed(column, row[column]) for column in row.keys()}  # noqa: SIM118 sqlite3.Row
                    for row in connection.execute(f"select * from {name}")
                ]
                for name in names
                if name != "demo_meta"
            }
        )


def _typed(column: str, value: Any) -> Any:
    if value is None or isinstance(value, int):
        return value
    if column in _MOMENTS:
        return datetime.fromisoformat(value)
    if column.endswith(("_date", "_on")) or column == "valid_from":
        return date.fromisoformat(value)
    if column.endswith("amount") or column in {"fx_rate", "rate", "credit_limit", "balance"} - {"rating"}:
        return Decimal(value)
    return value


def early_discount(invoice: Row) -> tuple[date, Decimal] | None:
    """Until when the terms of an invoice grant a discount, and how much; cents are rounded down."""
    if not invoice["discount_percent"]:
        return None
    amount = invoice["gross_amount"] * Decimal(invoice["discount_percent"]) / 100
    until = invoice["doc_date"] + timedelta(days=invoice["discount_days"])
    return until, amount.quantize(Decimal("0.01"), ROUND_DOWN)


def at_noon(day: date, *, minutes: int = 0) -> datetime:
    """A moment of a day, in UTC."""
    return datetime(day.year, day.month, day.day, 6) + timedelta(minutes=minutes)  # noqa: DTZ001 (UTC)
