"""Rows into the tables of a real server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from tests.servers import MariaDb, Postgres


def fill_mysql(
    server: MariaDb, database: str, statements: Iterable[str], rows: Mapping[str, list[dict[str, Any]]]
) -> None:
    """Create the database and its tables, and insert the rows."""
    server.execute(f"create database {database} character set utf8mb4 collate utf8mb4_unicode_ci")
    with closing(server.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("set session sql_mode = 'ANSI_QUOTES'")
        for statement in statements:
            cursor.execute(statement)
        connection.begin()
        for table, lines in rows.items():
            for names, values in _alike(lines):
                marks = ", ".join(["%s"] * len(names))
                listed = ", ".join(f'"{name}"' for name in names)
                cursor.executemany(f'insert into "{table}" ({listed}) values ({marks})', values)
        connection.commit()


def fill_postgres(
    server: Postgres, database: str, statements: Iterable[str], rows: Mapping[str, list[dict[str, Any]]]
) -> None:
    """Create the database and its tables, and insert the rows."""
    import psycopg2
    from psycopg2.extras import execute_values

    server.execute(f"create database {database}")
    with closing(psycopg2.connect(server.url(database))) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        for table, lines in rows.items():
            for names, values in _alike(lines):
                listed = ", ".join(f'"{name}"' for name in names)
                execute_values(cursor, f'insert into "{table}" ({listed}) values %s', values, page_size=1000)
        connection.commit()


def _alike(lines: list[dict[str, Any]]) -> Iterable[tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
    """Rows with the same columns together."""
    groups: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for line in lines:
        groups.setdefault(tuple(line), []).append(tuple(line.values()))
    yield from groups.items()
