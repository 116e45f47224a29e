"""MariaDB and MySQL to Arrow: a server-side cursor, so that memory does not grow with the table.

The server sends every value as text; Arrow turns a column at a time into its type, which keeps decimals
exact. What the server holds and no calendar knows (0000-00-00) is null.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pymysql
from pymysql.constants import FIELD_TYPE
from pymysql.cursors import SSCursor

# Rows per fetch: small enough to bound memory, large enough for Arrow.
FETCH_ROWS = 10_000
# Standard quotes; dates as they are; and what a TIMESTAMP holds in UTC.
_SESSION = (
    "set session sql_mode = 'ANSI_QUOTES', time_zone = '+00:00'",
    "set session transaction read only",
)
_INTEGERS = {FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.YEAR}
_DATES = {FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE}
# A day or month of zero, or a year of zero: MySQL's "no date".
_NO_DATE = r"^0000|-00"
_MOST_DIGITS = 38


@dataclass(frozen=True)
class MysqlServer:
    """Where a server is and how to log in."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    socket: str | None = None
    ssl_ca: str | None = None


class MysqlConnection:
    """A read-only connection with the few calls that the SQL connector makes of ADBC's."""

    def __init__(self, server: MysqlServer) -> None:
        self._server = server
        self._connection = self._connected()

    def _connected(self) -> Any:
        server = self._server
        connection = pymysql.connect(
            host=server.host,
            port=server.port,
            database=server.database,
            user=server.user,
            password=server.password,
            unix_socket=server.socket,
            ssl_ca=server.ssl_ca,
            charset="utf8mb4",
            conv={},
            autocommit=True,
            connect_timeout=10,
            read_timeout=600,
        )
        with connection.cursor() as cursor:
            for statement in _SESSION:
                cursor.execute(statement)
        return connection

    def cursor(self) -> MysqlCursor:
        """A cursor; one at a time."""
        if not self._connection.open:
            self._connection = self._connected()
        return MysqlCursor(self._connection)

    def close(self) -> None:
        if self._connection.open:
            # Not `close`: it would first read what is left of a result.
            self._connection._force_close()

    def __enter__(self) -> MysqlConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MysqlCursor:
    """Runs one statement and streams its rows."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursor: Any = SSCursor(connection)
        self._is_read = True

    def execute(self, statement: str) -> None:
        self._is_read = False
        self._cursor.execute(statement)

    def fetchall(self) -> list[tuple[Any, ...]]:
        rows = list(self._cursor.fetchall())
        self._is_read = True
        return rows

    def fetch_record_batch(self) -> MysqlBatches:
        """The rows as record batches, read as they are asked for."""
        fields = self._cursor._result.fields
        schema = pa.schema([pa.field(one.name, column_type(one)) for one in fields])
        return MysqlBatches(schema, self._batches(schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        while rows := self._cursor.fetchmany(FETCH_ROWS):
            columns = [_column(values, kind.type) for values, kind in zip(zip(*rows, strict=True), schema)]  # noqa: B905
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
        self._is_read = True

    def __enter__(self) -> MysqlCursor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_read:
            self._cursor.close()
        else:
            # Closing the cursor, or letting go of its result, would read the rest that nobody wants.
            if self._cursor._result is not None:
                self._cursor._result.unbuffered_active = False
            self._connection._force_close()


@dataclass(frozen=True)
class MysqlBatches:
    """Record batches and their schema, as ADBC's reader has them."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.batches


def column_type(described: Any) -> pa.DataType:
    """The Arrow type of a column as the server describes it; what has no exact one stays text."""
    code = described.type_code
    if code in _INTEGERS or code == FIELD_TYPE.BIT:
        return pa.int64()
    if code == FIELD_TYPE.LONGLONG:
        return pa.decimal128(20, 0)  # holds unsigned ones too
    if code in (FIELD_TYPE.NEWDECIMAL, FIELD_TYPE.DECIMAL):
        # The length counts the sign and the point.
        digits = described.length - (1 if described.scale else 0)
        fits = digits <= _MOST_DIGITS and described.scale <= digits
        return pa.decimal128(max(digits, 1), described.scale) if fits else pa.string()
    if code in _DATES:
        return pa.date32()
    if code == FIELD_TYPE.DATETIME:
        return pa.timestamp("us")
    if code == FIELD_TYPE.TIMESTAMP:
        return pa.timestamp("us", "UTC")
    return pa.string()


def _column(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    """One column of the server's texts as Arrow's type."""
    if any(isinstance(value, bytes) for value in values):
        if pa.types.is_integer(kind):  # BIT
            return pa.array([None if value is None else int.from_bytes(value) for value in values], kind)
        return pa.array([_readable(value) for value in values], pa.string())
    texts = pa.array(values, pa.string())
    if pa.types.is_string(kind):
        return texts
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        is_none = pc.match_substring_regex(texts, _NO_DATE)
        texts = pc.if_else(is_none, pa.scalar(None, pa.string()), texts)
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            return texts.cast(pa.timestamp("us")).cast(kind)
    return texts.cast(kind)


def _readable(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
