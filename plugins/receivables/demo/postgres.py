"""The demo company's ERP in PostgreSQL: the tables of its SQLite file, with the types an ERP would have.

`python -m receivables.demo.postgres --database postgresql://erp@host:5432/erp` makes the demo company when
there is none and copies it; the password is in the environment, as ERP_OWNER_PASSWORD. Needs the extra
`postgres`.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from receivables.demo.company import advance, create, current_day
from receivables.errors import PermanentError, ReceivablesError, TransientError
from receivables.settings import Settings

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812

BATCH_ROWS = 10_000

_MOMENTS = frozenset({"created_at", "updated_at", "posted_at", "sent_at"})
_AMOUNTS = frozenset({"credit_limit", "balance"})
_RATES = frozenset({"fx_rate", "rate"})
# What the text format of COPY reads as something else than itself.
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def copy_demo(erp: Path, database: str, *, password: str | None = None) -> dict[str, int]:
    """Replace the ERP's tables in PostgreSQL by those of the SQLite file `erp`; returns the rows per table.

    All in one transaction: who reads meanwhile sees the ERP as it was, or as it is. Rows keep their
    `updated_at`, so a reader of what changed gets what changed.

    Args:
        erp: the demo company's SQLite file.
        database: a PostgreSQL address, `postgresql://user@host:port/database`.
        password: of that user; without it, libpq's own ways (PGPASSWORD, a password file).

    Raises:
        TransientError: the server cannot be reached.
        PermanentError: it refuses the user, or a table; or the driver is not installed.
    """
    try:
        import psycopg2
    except ImportError as error:
        raise PermanentError(
            "the demo ERP in PostgreSQL",
            cause="psycopg2 is not installed",
            next_step="install the extra: uv sync --extra postgres",
        ) from error
    try:
        with (
            closing(sqlite3.connect(erp)) as source,
            closing(_connected(database, password)) as target,
            target,  # one transaction
        ):
            return {table: _copy_table(source, target, table) for table in _tables(source)}
    except psycopg2.OperationalError as error:
        raise TransientError(
            "the demo ERP in PostgreSQL",
            cause=str(error).strip(),
            next_step="check that the server runs, the address and ERP_OWNER_PASSWORD",
        ) from None
    except psycopg2.Error as error:
        raise PermanentError(
            "the demo ERP in PostgreSQL",
            cause=str(error).strip(),
            next_step="give the user a database in which it may create tables",
        ) from error


def column_type(name: str, kind: str) -> str:
    """The PostgreSQL type of a column of the demo ERP; SQLite holds everything but integers as text."""
    if kind.lower() == "integer":
        return "integer"
    if name in _MOMENTS:
        return "timestamp(0)"  # UTC
    if name.endswith(("_date", "_on")) or name == "valid_from":
        return "date"
    if name in _RATES:
        return "numeric(18, 8)"
    if name == "discount_percent":
        return "numeric(5, 2)"
    if name.endswith("amount") or name in _AMOUNTS:
        return "numeric(18, 2)"
    return "text"


def _connected(database: str, password: str | None) -> Connection:
    import psycopg2

    given = {} if password is None else {"password": password}
    return psycopg2.connect(database, connect_timeout=10, **given)


def _tables(source: sqlite3.Connection) -> list[str]:
    query = "select name from sqlite_master where type = 'table' and name <> 'demo_meta' order by name"
    return [name for (name,) in source.execute(query)]


def _copy_table(source: sqlite3.Connection, target: Connection, table: str) -> int:
    described = source.execute(f"pragma table_info({_known(table)})").fetchall()
    columns = ", ".join(
        f"{_known(name)} {column_type(name, kind)}{' not null' if required else ''}"
        for _, name, kind, required, _, _ in described
    )
    keys = [name for _, name, _, _, _, position in sorted(described, key=lambda row: row[5]) if position]
    with target.cursor() as cursor:
        cursor.execute(f"drop table if exists {table}")
        cursor.execute(f"create table {table} ({columns}, primary key ({', '.join(keys)}))")
        for lines in _lines(source, table):
            cursor.copy_expert(f"copy {table} from stdin", io.StringIO(lines))
        cursor.execute(f"create index on {table} (updated_at)")
        cursor.execute(f"select count(*) from {table}")  # noqa: S608 a name of the demo's own schema
        return int(cursor.fetchone()[0])


def _lines(source: sqlite3.Connection, table: str) -> Iterator[str]:
    rows = source.execute(f"select * from {table}")  # noqa: S608 a name of the demo's own schema
    while batch := rows.fetchmany(BATCH_ROWS):
        yield "".join("\t".join(map(_field, row)) + "\n" for row in batch)


def _field(value: object) -> str:
    return r"\N" if value is None else str(value).translate(_ESCAPES)


def _known(name: str) -> str:
    """A name of the demo's schema; one that would need quotes is none."""
    if not re.fullmatch(r"[a-z_]+", name):
        raise PermanentError(
            f"the demo ERP's {name!r}", cause="is no name of its schema", next_step="make the demo anew"
        )
    return name


def main() -> int:
    arguments = _parser().parse_args()
    try:
        _make(arguments)
        rows = copy_demo(arguments.path, arguments.database, password=os.environ.get("ERP_OWNER_PASSWORD"))
    except ReceivablesError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(
        f"{sum(rows.values()):,} rows in {len(rows)} tables; the company stands at the end of"
        f" {current_day(arguments.path)}\n"
    )
    return 0


def _make(arguments: argparse.Namespace) -> None:
    if not arguments.path.exists():
        create(arguments.path, seed=arguments.seed, invoices=arguments.invoices, days=arguments.days)
    if arguments.to is not None and arguments.to > current_day(arguments.path):
        advance(arguments.path, arguments.to)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m receivables.demo.postgres", description=__doc__)
    parser.add_argument("--database", required=True, metavar="URL", help="postgresql://user@host:port/name")
    parser.add_argument(
        "--path", type=Path, default=Settings.load().demo_erp, help="the SQLite file; made when missing"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--invoices", type=int, default=6_000, help="invoices written in --days days")
    parser.add_argument("--days", type=int, default=730)
    parser.add_argument(
        "--to", type=date.fromisoformat, default=None, metavar="DAY", help="move the company forward to DAY"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
