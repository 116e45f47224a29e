"""DuckDB for Great Expectations: read-only, and without transactions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb_engine

from receivables.warehouse import open_database


class ReadOnlyDuckDB(duckdb_engine.Dialect):
    """`duckdb+readonly:////path/to/file.duckdb`.

    Great Expectations fetches a result after it handed the connection back. SQLAlchemy rolls back on
    return, which empties a DuckDB result ("list index out of range"). Nothing is written here, so there
    is nothing to commit or to roll back.
    """

    driver = "readonly"
    supports_statement_cache = False

    def connect(self, *_args: Any, **parameters: Any) -> duckdb_engine.ConnectionWrapper:
        # Same settings as every other connection of this process: DuckDB refuses a second connection
        # to one file with another configuration, and duckdb-engine's own connect adds a user agent.
        return duckdb_engine.ConnectionWrapper(open_database(Path(parameters["database"]), read_only=True))

    def do_begin(self, _connection: Any) -> None:
        """Autocommit: see the class."""

    def do_commit(self, _connection: Any) -> None:
        """Autocommit: see the class."""

    def do_rollback(self, _connection: Any) -> None:
        """Autocommit: see the class."""
