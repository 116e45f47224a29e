"""A warehouse after one clean load of every entity, small enough to read."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from receivables.entities import ENTITIES, RAW_META, Column, Entity
from receivables.warehouse import QUALITY_TABLES

SOURCE = "erp"
DAY = date(2024, 3, 29)
RUN = "2024-03-29T010203-abcd"
ROWS = 3

# Dates of one document, in the order in which they happen.
DATES = {
    "due_date": date(2024, 4, 15),
    "promised_date": date(2024, 4, 10),
    "closed_on": date(2024, 3, 20),
}
BEFORE = date(2024, 3, 1)
AMOUNT = Decimal("100.25")
# The warehouse keeps UTC without saying so.
LOADED_AT = datetime(2024, 3, 29, 1, tzinfo=UTC).replace(tzinfo=None)
CHECKSUM = "9d5e"


def build(path: Path) -> Path:
    """A file with ROWS rows in each raw table, all brought by the run RUN, and an earlier load of each."""
    connection = duckdb.connect(str(path))
    connection.execute(QUALITY_TABLES)
    connection.execute(f"create schema raw_{SOURCE}")
    connection.execute("create table settings.sources (source varchar, default_currency_code varchar)")
    connection.execute("insert into settings.sources values (?, 'CNY')", [SOURCE])
    connection.execute(
        "insert into quality.runs (run, as_of_date, step, status) values (?, ?, ?, 'done')",
        ["2024-03-28T010203-abcd", DAY - timedelta(days=1), f"check_raw_{SOURCE}"],
    )
    for entity in ENTITIES.values():
        _create(connection, entity)
        _record_load(connection, entity, run="2024-03-28T010203-abcd", day=DAY - timedelta(days=1), rows=ROWS)
        _record_load(connection, entity, run=RUN, day=DAY, rows=ROWS)
        for number in range(ROWS):
            values = [_value(entity, column, number) for column in entity.columns]
            key = "|".join(str(values[entity.column_names.index(name)]) for name in entity.key)
            meta = [
                key,
                f"hash{number}",
                1,
                False,
                BEFORE,
                DAY,
                load_id(entity.name),
                LOADED_AT,
            ]
            marks = ", ".join("?" for _ in (*values, *meta))
            connection.execute(f"insert into raw_{SOURCE}.{entity.name} values ({marks})", [*values, *meta])
    connection.close()
    return path


def load_id(entity: str, run: str = RUN) -> str:
    return f"{run}-{entity}"


def _create(connection: duckdb.DuckDBPyConnection, entity: Entity) -> None:
    columns = [f"{column.name} {column.duckdb_type}" for column in entity.columns]
    columns += [f"{name} {kind}" for name, kind in RAW_META]
    connection.execute(f"create table raw_{SOURCE}.{entity.name} ({', '.join(columns)})")


def _record_load(
    connection: duckdb.DuckDBPyConnection, entity: Entity, *, run: str, day: date, rows: int
) -> None:
    at = LOADED_AT.replace(day=day.day)
    connection.execute(
        "insert into quality.loads values (?, ?, ?, ?, ?, 'full', ?, ?, 0, 0, 0, 0, ?, null, null, '1', ?,"
        " ?, ?, 'loaded', null)",
        [
            *(SOURCE, entity.name, run, load_id(entity.name, run), day, rows, rows),
            *(json.dumps(_totals(entity)), CHECKSUM, at, at),
        ],
    )


def _totals(entity: Entity) -> dict[str, str]:
    if not any(column.type == "amount" for column in entity.columns):
        return {}
    return {"CNY": str(sum((AMOUNT + number for number in range(ROWS)), Decimal(0)))}


def _value(entity: Entity, column: Column, number: int) -> Any:
    if column.values:
        return column.values[0]
    match column.type:
        case "date":
            return DATES.get(column.name, BEFORE) + timedelta(days=number)
        case "timestamp":
            return LOADED_AT
        case "amount":
            return AMOUNT + number if column.name != "tax_amount" else Decimal("10.25")
        case "rate":
            return Decimal("1.5")
        case "integer":
            return number + 1
        case "boolean":
            return True
    if column.name in ("from_currency", "to_currency"):
        return {"from_currency": "USD", "to_currency": "CNY"}[column.name]
    return "CNY" if column.name == "currency_code" else f"{column.name}-{number}"
