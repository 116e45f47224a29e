"""The working database: one writer at a time, and the bookkeeping tables beside the data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from receivables.errors import PermanentError, TransientError

# The record of what was loaded, refused, checked and published. `quality` is published beside the marts.
QUALITY_TABLES = """
create schema if not exists quality;
create schema if not exists settings;
create schema if not exists raw;
create table if not exists quality.loads (
    source varchar not null, entity varchar not null, run varchar not null, load_id varchar not null,
    as_of_date date not null, mode varchar, rows bigint, rows_new bigint, rows_changed bigint,
    rows_unchanged bigint, rows_removed bigint, rows_refused bigint, control_totals varchar,
    window_from timestamp, window_to timestamp, watermark varchar, checksum varchar,
    started_at timestamp, finished_at timestamp, status varchar, message varchar);
create table if not exists quality.quarantined_rows (
    source varchar not null, entity varchar not null, key varchar, reason varchar not null, payload varchar,
    loaded_at timestamp, load_id varchar, location varchar, first_seen_on date, last_seen_on date,
    is_resolved boolean);
create table if not exists quality.check_results (
    run varchar not null, as_of_date date, suite varchar not null, "check" varchar not null,
    severity varchar not null, observed varchar, expected varchar, success boolean not null,
    rows_failed bigint, examples varchar, note varchar, owner varchar, checked_at timestamp);
create table if not exists quality.runs (
    run varchar not null, as_of_date date, step varchar not null, status varchar not null, message varchar,
    version varchar, started_at timestamp, finished_at timestamp);
create table if not exists quality.acceptances (
    run varchar not null, as_of_date date, suite varchar not null, "check" varchar not null,
    observed varchar, accepted_by varchar not null, reason varchar not null, accepted_at timestamp);
create table if not exists quality.rollbacks (
    rolled_back_at timestamp not null, from_version varchar not null, to_version varchar not null,
    rolled_back_by varchar not null, reason varchar not null);
create table if not exists quality.service_levels (
    as_of_date date not null, service_level varchar not null, due_at timestamp not null, reached_at timestamp,
    is_met boolean);
-- Each check by business day, as its last run of that day saw it, and for how many days that has been so.
create or replace view quality.check_trend as
with days as (
    select as_of_date, suite, "check", severity, success, observed, expected, rows_failed, run, checked_at
    from quality.check_results
    qualify row_number() over (
        partition by as_of_date, suite, "check" order by checked_at desc, run desc) = 1
),
stretches as (
    select
        *,
        row_number() over (partition by suite, "check" order by as_of_date)
            - row_number() over (partition by suite, "check", success order by as_of_date) as stretch
    from days
)
select
    as_of_date, suite, "check", severity, success, observed, expected, rows_failed,
    row_number() over (partition by suite, "check", success, stretch order by as_of_date) as days_in_a_row,
    min(as_of_date) over (partition by suite, "check", success, stretch) as since_date,
    run, checked_at
from stretches;
"""


def _is_locked(error: Exception) -> bool:
    return "lock" in str(error).lower()


def open_database(path: Path, *, read_only: bool, wait_seconds: float = 60) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file; wait for another process to let go of it.

    Raises:
        TransientError: another process still holds the file after `wait_seconds`.
        PermanentError: the file or its folder cannot be opened (rights, not a database).
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            connection = duckdb.connect(str(path), read_only=read_only)
        except (duckdb.Error, OSError) as error:
            if _is_locked(error):
                if time.monotonic() < deadline:
                    time.sleep(0.25)
                    continue
                raise TransientError(
                    f"warehouse {path}",
                    cause="another process is writing to it",
                    next_step="wait for the other run to end, or stop it, then start this one again",
                ) from error
            raise PermanentError(
                f"warehouse {path}",
                cause=f"cannot be opened ({error})",
                next_step="give this user read and write rights on the file and its folder, or set"
                " RECEIVABLES_HOME to a folder it may write to",
            ) from error
        connection.execute("set enable_progress_bar = false")  # DuckDB 2.0 prints it even into a pipe
        connection.execute("set timezone = 'UTC'")
        return connection


@contextmanager
def writing(path: Path, *, wait_seconds: float = 60) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse, opened for writing, with its bookkeeping tables in place."""
    connection = open_database(path, read_only=False, wait_seconds=wait_seconds)
    try:
        connection.execute(QUALITY_TABLES)
        yield connection
    finally:
        connection.close()


@contextmanager
def reading(path: Path, *, wait_seconds: float = 60) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB file, opened read-only."""
    connection = open_database(path, read_only=True, wait_seconds=wait_seconds)
    try:
        yield connection
    finally:
        connection.close()


def has_table(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    """Whether there is a table, or a view, of this name."""
    query = "select 1 from information_schema.tables where table_schema = ? and table_name = ?"
    return connection.execute(query, [schema, table]).fetchone() is not None
