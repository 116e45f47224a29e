"""Databases as a source: PostgreSQL and SQLite through ADBC, MariaDB and MySQL.

A further engine is a further `_Dialect`: how to connect, how to name a moment, what its errors mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import adbc_driver_sqlite.dbapi
import pyarrow as pa
import pymysql

from receivables.entities import ENTITIES
from receivables.errors import PermanentError, ReceivablesError, TransientError
from receivables.settings import Settings
from receivables.sources import mysql
from receivables.sources.address import MYSQL, POSTGRESQL, Address, server_address
from receivables.sources.base import BATCH_ROWS, SourceBatch, Window
from receivables.sources.config import SqlSource, expand
from receivables.sources.mapping import ColumnPlan, identifier
from receivables.yamlfile import did_you_mean

_DRIVER_ERRORS = (adbc_driver_manager.Error, pymysql.err.Error)
_PG_MOMENT = "%Y-%m-%d %H:%M:%S.%f"


@dataclass(frozen=True)
class _Dialect:
    """What differs between the engines."""

    name: str
    connect: Callable[[], Any]
    tables_query: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    address: str = ""


class SqlConnector:
    """Reads tables and queries of one database."""

    def __init__(self, source: SqlSource, settings: Settings) -> None:
        self.source = source
        self._dialect = _dialect(source, settings)
        self._schemas: dict[str, pa.Schema] = {}
        with self._errors(None):
            self._connection = self._dialect.connect()

    def close(self) -> None:
        self._connection.close()

    def describe(self, entity: str) -> tuple[str, ...]:
        """The columns of the entity's table or query."""
        return tuple(self._schema(entity).names)

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """Rows in the window when the entity is incremental, else all."""
        config = self.source.entities[entity]
        condition = self._in_window(entity, window) if config.mode == "incremental" else ""
        yield from self._stream(entity, self._plan(entity).used_columns(self.describe(entity)), condition)

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """The keys of all rows that are there."""
        yield from self._stream(entity, self._plan(entity).key_columns(self.describe(entity)), "")

    # --- queries ---

    def _plan(self, entity: str) -> ColumnPlan:
        return ColumnPlan(self.source, ENTITIES[entity], cursor=self.source.entities[entity].cursor)

    def _relation(self, entity: str) -> str:
        config = self.source.entities[entity]
        if config.query is not None:
            return f"({config.query.strip().rstrip(';')}\n) as q"
        return ".".join(identifier(part) for part in (config.table or "").split("."))

    def _origin(self, entity: str) -> str:
        return self.source.entities[entity].table or f"query of {entity}"

    def _schema(self, entity: str) -> pa.Schema:
        if entity not in self._schemas:
            with self._errors(entity), self._connection.cursor() as cursor:
                cursor.execute(f"select * from {self._relation(entity)} limit 0")  # noqa: S608
                self._schemas[entity] = cursor.fetch_record_batch().schema
        return self._schemas[entity]

    def _stream(self, entity: str, columns: tuple[str, ...], condition: str) -> Iterator[SourceBatch]:
        chosen = ", ".join(self._selected(entity, column) for column in columns)
        statement = f"select {chosen} from {self._relation(entity)}{condition}"  # noqa: S608
        first = 1
        with self._errors(entity), self._connection.cursor() as cursor:
            cursor.execute(statement)
            for table in rebatch(cursor.fetch_record_batch()):
                yield SourceBatch(table, self._origin(entity), range(first, first + table.num_rows))
                first += table.num_rows

    def _selected(self, entity: str, column: str) -> str:
        """A column as it is read: as text where the driver would guess its type, or has none for it."""
        quoted = identifier(column)
        kind = self._schema(entity).field(column).type
        if self._dialect.name == "sqlite":
            return f"cast({quoted} as text) as {quoted}"
        if self._dialect.name == "mysql":
            return quoted
        if _pg_type(self._schema(entity), column) == "money":
            return f"{quoted}::numeric as {quoted}"  # it would come as a count of cents
        if pa.types.is_binary(kind) or pa.types.is_nested(kind) or _is_exotic(self._schema(entity), column):
            return f"{quoted}::text as {quoted}"
        return quoted

    def _in_window(self, entity: str, window: Window) -> str:
        cursor = self.source.entities[entity].cursor or ""
        if cursor not in self.describe(entity):
            raise PermanentError(
                f"source {self.source.name}, {entity}",
                cause=f"the cursor column '{cursor}' is missing{did_you_mean(cursor, self.describe(entity))}."
                f" The columns there are: {', '.join(self.describe(entity))}",
                next_step=f"correct entities.{entity}.cursor in {self.source.file.name}",
            )
        quoted = identifier(cursor)
        before = f"{self._moment(entity, cursor, left=True)} < {self._moment(entity, cursor, at=window.end)}"
        if window.start is None:
            # The first load takes rows that never changed since the cursor column was added.
            return f" where {before} or {quoted} is null"
        since = (
            f"{self._moment(entity, cursor, left=True)} >= {self._moment(entity, cursor, at=window.start)}"
        )
        return f" where {since} and {before}"

    def _moment(self, entity: str, cursor: str, *, at: datetime | None = None, left: bool = False) -> str:
        """SQL: the cursor column, or a moment as that column writes it."""
        kind = self._schema(entity).field(cursor).type
        zone = ZoneInfo(self._cursor_zone(entity, cursor))
        if self._dialect.name == "sqlite":
            # datetime() understands 'T', 'Z', fractions and offsets, which plain text order does not.
            return (
                f"datetime({identifier(cursor)})"
                if left
                else f"'{_utc_or_local(at, zone):%Y-%m-%d %H:%M:%S}'"
            )
        if left:
            return identifier(cursor)
        moment = _utc_or_local(at, zone)
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            in_utc = f"{(at or moment).astimezone(UTC):{_PG_MOMENT}}"
            # The session of MySQL is in UTC, and its literals take no offset.
            return f"timestamp '{in_utc}'" if self._dialect.name == "mysql" else f"timestamptz '{in_utc}+00'"
        if pa.types.is_date(kind):
            return f"date '{moment:%Y-%m-%d}'"
        if pa.types.is_timestamp(kind):
            return f"timestamp '{moment:{_PG_MOMENT}}'"
        raise PermanentError(
            f"source {self.source.name}, {entity}",
            cause=f"the cursor column '{cursor}' is {kind}, not a date or timestamp",
            next_step="name a column of that kind, convert it in a `query`, or use `mode: full`",
        )

    def _cursor_zone(self, entity: str, cursor: str) -> str:
        for mapping in self.source.entities[entity].columns.values():
            if mapping.from_ == cursor and mapping.timezone:
                return mapping.timezone
        return self.source.timezone

    # --- errors ---

    @contextmanager
    def _errors(self, entity: str | None) -> Iterator[None]:
        """Turn driver errors into ours: classified, with the next step, and without secrets."""
        try:
            yield
        except (*_DRIVER_ERRORS, pa.ArrowException, OSError) as error:
            # Rows arrive as a stream: what fails on the way comes as Arrow's own error.
            # `from None`: the driver's own message may repeat the address with its password.
            raise self._classified(entity, self._redacted(str(error))) from None

    def _redacted(self, text: str) -> str:
        for secret in self._dialect.secrets:
            for form in {secret, quote(secret, safe="")}:
                text = text.replace(form, "***")
        return text

    def _classified(self, entity: str | None, text: str) -> ReceivablesError:
        what = (
            f"source {self.source.name}" + (f", {entity}" if entity else "") + f" ({self._dialect.address})"
        )
        short, lowered = _gist(text), text.lower()
        if entity and any(mark in lowered for mark in _MISSING):
            return self._no_such_thing(entity, what, short)
        for marks, make, cause, next_step in _ERRORS:
            if any(mark in lowered for mark in marks):
                return make(what, cause=f"{cause} ({short})", next_step=next_step)
        return PermanentError(
            what, cause=short, next_step="correct the query, or ask the database's administrator"
        )

    def _no_such_thing(self, entity: str, what: str, short: str) -> PermanentError:
        config = self.source.entities[entity]
        cause = short
        if config.table:
            names = self._tables()
            bare = config.table.split(".")[-1]
            hint = did_you_mean(bare, names)
            cause = f"there is no table '{config.table}'{hint}; there are {', '.join(names) or 'none'}"
        setting = "table" if config.table else "query"
        return PermanentError(
            what,
            cause=cause,
            next_step=f"correct entities.{entity}.{setting} in {self.source.file.name},"
            " or let the database user see it",
        )

    def _tables(self) -> list[str]:
        try:
            with self._dialect.connect() as connection, connection.cursor() as cursor:
                cursor.execute(self._dialect.tables_query)
                return [row[0] for row in cursor.fetchall()]
        except _DRIVER_ERRORS:
            return []


def _gist(text: str) -> str:
    """The sentence of a driver's message that says what is wrong."""
    if of_mysql := re.match(r"\((\d+), [\"'](.*)[\"']\)$", text, re.DOTALL):
        return " ".join(of_mysql[2].split()).rstrip(".")
    said = re.search(r"(?:ERROR|FATAL):\s+(.+)", text)
    line = (
        said[1]
        if said
        else re.sub(r"^([A-Z_]+: |\[\w+\] |Failed to \w+( query)?: )+", "", text.splitlines()[0])
    )
    return " ".join(line.split()).rstrip(".")


_MISSING = ("no such table", "no such column", "42p01", "42703", "3f000", "(1146,", "(1054,")

# What the engines say, what it means, whether a retry may help, and what to do.
_ERRORS: tuple[tuple[tuple[str, ...], type[ReceivablesError], str, str], ...] = (
    (
        ("password authentication failed", "no password supplied", "authentication failed", "(1045,"),
        PermanentError,
        "the server refuses the user or the password",
        "check user and password in the environment or the Airflow connection, and pg_hba.conf on the server",
    ),
    (
        ("permission denied", "(1142,", "(1044,"),
        PermanentError,
        "the database user may not read this",
        "grant it: `grant select on <table> to <user>`",
    ),
    (
        ('database "', "(1049,"),
        PermanentError,
        "there is no such database on the server",
        "correct `database` in the connection",
    ),
    (
        ("file is not a database",),
        PermanentError,
        "the file is not a SQLite database",
        "correct connection.sqlite",
    ),
    (
        ("unable to open database", "failed to open"),
        PermanentError,
        "the SQLite file cannot be opened",
        "check that this user may read the file and its folder",
    ),
    (
        ("could not translate host name", "name or service not known"),
        TransientError,
        "the host's name is not known",
        "check `host` in the connection, and that the network is up",
    ),
    (
        (
            "connection refused", "could not connect", "timeout", "timed out", "server closed the connection",
            "starting up", "shutting down", "too many clients", "too many connections", "no route to host",
            "(2003,", "(2006,", "(2013,", "(1040,",
            "connection to server", "terminating connection", "database is locked", "database is busy",
        ),
        TransientError,
        "the server does not answer",
        "check that it runs and that host and port are right; the run tries again by itself",
    ),
)  # fmt: skip


def rebatch(batches: Any, size: int = BATCH_ROWS) -> Iterator[pa.Table]:
    """Tables of about `size` rows from a stream of smaller batches; larger ones are cut."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= size:
            table = pa.Table.from_batches(waiting)
            whole = rows - rows % size
            for start in range(0, whole, size):
                yield table.slice(start, size)
            rest = table.slice(whole)
            waiting, rows = list(rest.to_batches()), rest.num_rows
    if rows:
        yield pa.Table.from_batches(waiting)


def _pg_type(schema: pa.Schema, column: str) -> str:
    return (schema.field(column).metadata or {}).get(b"POSTGRESQL:type", b"").decode()


def _is_exotic(schema: pa.Schema, column: str) -> bool:
    """Types that Arrow only wraps; numeric is wrapped text already."""
    kind = schema.field(column).type
    return isinstance(kind, pa.BaseExtensionType) and _pg_type(schema, column) != "numeric"


def _utc_or_local(at: datetime | None, zone: ZoneInfo) -> datetime:
    return (at or datetime.max.replace(tzinfo=UTC)).astimezone(zone)


def _dialect(source: SqlSource, settings: Settings) -> _Dialect:
    what = f"source {source.name} ({source.file})"
    connection = source.connection
    if connection.sqlite is not None:
        path = (
            source.file.parent.resolve() / Path(expand(connection.sqlite, settings, what=what)).expanduser()
        )
        if not path.is_file():
            raise PermanentError(
                f"source {source.name}: {path}",
                cause="there is no such SQLite file",
                next_step=f"put it there, or correct connection.sqlite in {source.file.name}",
            )
        uri = f"file:{quote(str(path))}?mode=ro"
        return _Dialect(
            name="sqlite",
            connect=lambda: adbc_driver_sqlite.dbapi.connect(uri, autocommit=True),
            tables_query="select name from sqlite_master where type in ('table', 'view') order by name",
            address=str(path),
        )
    if connection.mysql is not None:
        address = server_address(connection.mysql, settings, engine=MYSQL, what=what)
        return _Dialect(
            name="mysql",
            connect=lambda: mysql.MysqlConnection(_mysql_server(address)),
            tables_query="select table_name from information_schema.tables where table_schema = database()"
            " order by 1",
            secrets=address.secrets,
            address=address.shown,
        )
    if connection.postgresql is None:
        raise TypeError("a connection names one engine")
    address = server_address(connection.postgresql, settings, engine=POSTGRESQL, what=what)
    url = _postgres_url(address)
    return _Dialect(
        name="postgresql",
        connect=lambda: adbc_driver_postgresql.dbapi.connect(url, autocommit=True),
        tables_query="select table_name::text from information_schema.tables where table_schema not in"
        " ('pg_catalog', 'information_schema') order by 1",
        secrets=(*address.secrets, url),
        address=address.shown,
    )


def _postgres_url(address: Address) -> str:
    """The address for libpq; read-only by the server's own word: no query in a file changes the ERP."""
    login = quote(address.user, safe="")
    if address.password:
        login += f":{quote(address.password, safe='')}"
    options = {
        "connect_timeout": "10",
        "options": "-c default_transaction_read_only=on",
        **{name: value for name, value in address.options.items() if name == "sslmode"},
    }
    place = f"{address.host}:{address.port}/{address.database}"
    return f"postgresql://{login}@{place}?{urlencode(options, quote_via=quote)}"


def _mysql_server(address: Address) -> mysql.MysqlServer:
    return mysql.MysqlServer(
        host=address.host,
        port=int(address.port),
        database=address.database,
        user=address.user,
        password=address.password,
        socket=address.options.get("socket"),
        ssl_ca=address.options.get("ssl_ca"),
    )
