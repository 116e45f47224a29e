"""The SQLite file: rows are collected and written in batches, all of one call in one transaction."""

from __future__ import annotations

import sqlite3
from pathlib import Path

SCHEMA_FILE = Path(__file__).with_name("schema.sql")
BATCH_ROWS = 50_000


class Database:
    """Writes rows of the ERP; what was inserted comes before what changes it, whatever the batch."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        tables = [
            name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
        ]
        self._statements = {
            table: f"insert into {table} values ({', '.join('?' * self._width(table))})"  # noqa: S608 own schema
            for table in tables
        }
        self._rows: dict[str, list[tuple[object, ...]]] = {table: [] for table in tables}
        self._updates: list[tuple[str, tuple[object, ...]]] = []
        self._pending = 0

    def _width(self, table: str) -> int:
        return len(self._connection.execute(f"pragma table_info({table})").fetchall())

    def insert(self, table: str, *values: object) -> None:
        """Add a row; the values in the order of the schema."""
        self._rows[table].append(values)
        self._pending += 1

    def update(self, table: str, key: dict[str, object], **changes: object) -> None:
        assignments = ", ".join(f"{name} = ?" for name in changes)
        condition = " and ".join(f"{name} = ?" for name in key)
        statement = f"update {table} set {assignments} where {condition}"  # noqa: S608 names come from this package
        self._updates.append((statement, (*changes.values(), *key.values())))
        self._pending += 1

    def flush_when_full(self) -> None:
        if self._pending >= BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        for table, rows in self._rows.items():
            if rows:
                self._connection.executemany(self._statements[table], rows)
                rows.clear()
        for statement, values in self._updates:
            self._connection.execute(statement, values)
        self._updates.clear()
        self._pending = 0

    def write_meta(self, values: dict[str, str]) -> None:
        self._connection.executemany("insert or replace into demo_meta values (?, ?)", sorted(values.items()))
