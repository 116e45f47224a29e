"""Publishing: the checked marts become a new immutable version, and readers move to it in one step.

    published/.candidates/<version>/     being built and checked; nobody reads it
    published/versions/<version>/        receivables.duckdb, receivables_restricted.duckdb, manifest.json
    published/current -> versions/…      flipped by an atomic rename of the link
    published/rollbacks.json             who sent readers back to an earlier version, when and why

A reader sees a whole version or the one before it. A kill at any point leaves the old version current;
the next run of the same step starts over from what is whole. Only what the checks have seen is published:
their verdict lies beside the candidate, and goes when the candidate is built anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import duckdb

from receivables.acceptance import Acceptance, accepted_checks
from receivables.crash import crash_point
from receivables.errors import CheckFailedError, PermanentError, TransientError
from receivables.settings import Settings
from receivables.transform import (
    Progress,
    built_day,
    ensure_manifest,
    personal_columns,
    project_fingerprint,
)
from receivables.warehouse import reading

log = logging.getLogger(__name__)

# Clients from DuckDB 1.2 on can read it; newer formats bring nothing that these tables need.
STORAGE_VERSION = "v1.2.0"

# Without personal data for everybody on the machine; with it for the owner's group only.
PUBLIC = "receivables.duckdb"
RESTRICTED = "receivables_restricted.duckdb"
FILE_MODES = {PUBLIC: 0o444, RESTRICTED: 0o440}

# What a reason quotes of a row that was refused: `amount: '…' is not a number` says what is wrong without it.
# A quotation that does not end where it seems to (rows refused before quotes in it were replaced) goes whole.
WITHOUT_QUOTATIONS = r"""
    case when contains(regexp_replace(reason, '\x27[^\x27]*\x27', '', 'g'), chr(39))
        then regexp_replace(reason, '\x27.*\x27', chr(39) || '…' || chr(39), 's')
        else regexp_replace(reason, '\x27[^\x27]*\x27', chr(39) || '…' || chr(39), 'g') end
"""
# A refused row is kept as it came, and may hold an address or a name, also in the wrong column: everybody
# sees its key and what is wrong with it only.
PERSONAL_QUALITY = {"quality.quarantined_rows": {"payload": "null::varchar", "reason": WITHOUT_QUOTATIONS}}

KEEP_VERSIONS = 2
MINIMUM_AGE = timedelta(days=1)

# What the checks said about a candidate.
VERDICT = "checks.json"
# A candidate that was refused waits over a long weekend for somebody to look at it.
KEEP_HELD_BACK = 3
HELD_BACK_AGE = timedelta(days=7)

_SAFE_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class Version:
    """One published version, as its manifest describes it."""

    path: Path
    as_of_date: date
    run: str
    published_at: datetime

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def database(self) -> Path:
        return self.path / PUBLIC


@dataclass(frozen=True)
class Publication:
    """What `publish` did.

    A version of an older business day, and one that readers were sent back from, is stored and does not
    become current.
    """

    version: Version
    is_current: bool
    removed: tuple[str, ...] = ()
    accepted: tuple[Acceptance, ...] = ()


@dataclass(frozen=True)
class HeldBack:
    """A candidate that waits for somebody: its critical checks failed, and are not all accepted."""

    as_of_date: date
    run: str
    checked_at: datetime
    critical: tuple[str, ...]


@dataclass(frozen=True)
class Rollback:
    """Readers were sent back from one version to another."""

    at: datetime
    from_version: str
    to_version: str
    by: str
    reason: str


def version_name(day: date, run: str) -> str:
    """The folder name of a version.

    Raises:
        PermanentError: `run` cannot be part of a path.
    """
    if not _SAFE_RUN.fullmatch(run):
        raise PermanentError(
            f"run {run!r}",
            cause="its name cannot be part of a path",
            next_step="use letters, digits, '.', '_', '+' and '-'",
        )
    return f"{day.isoformat()}-{run}"


def candidate_database(settings: Settings, day: date, run: str) -> Path:
    """Where the version that the checks look at lies before it is published."""
    return _candidates(settings) / version_name(day, run) / PUBLIC


def current_version(settings: Settings) -> Version | None:
    """The version that readers see; None before the first publication."""
    link = settings.published / "current"
    return _read_version(link.resolve()) if link.is_symlink() else None


def stored_versions(settings: Settings) -> list[Version]:
    """Every stored version, the last published one first."""
    folder = settings.published / "versions"
    found = [_read_version(path) for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(found, key=lambda version: version.published_at, reverse=True)


def build_candidate(settings: Settings, day: date, run: str, *, progress: Progress | None = None) -> Path:
    """Copy marts and quality out of the working database into a hidden folder; return the public file.

    A candidate that an earlier attempt of this run left behind is replaced.

    Raises:
        PermanentError: the marts in the working database were built for another day, or failed.
        TransientError: another process is writing to the warehouse.
    """
    _assert_built_for(settings, day)
    folder = _candidates(settings) / version_name(day, run)
    with _only_publisher(settings):
        _remove_leftovers(settings)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    manifest = ensure_manifest(settings)
    marts, personal = _mart_tables(manifest), personal_columns(manifest)
    functions = sorted((settings.dbt_project / "functions").glob("*.sql"))
    with reading(settings.warehouse) as connection:
        source = _catalog(connection)
        tables = [*marts, *_quality_tables(connection)]
        _assert_tables_exist(connection, tables)
        for position, name in enumerate(FILE_MODES):
            hidden = personal if name == PUBLIC else {}
            masked = PERSONAL_QUALITY if name == PUBLIC else {}
            with _target(connection, folder / name):
                for number, table in enumerate(tables):
                    _copy_table(
                        connection,
                        table,
                        source=source,
                        hidden=hidden.get(table, frozenset()),
                        masked=masked.get(table, {}),
                    )
                    if progress:
                        progress(table, position * len(tables) + number + 1, 2 * len(tables))
                add_functions(connection, functions)
            crash_point(f"publish.copied.{position}")
    log.info("candidate of %s (run %s): %d tables", day, run, len(tables))
    return folder / PUBLIC


def publish(
    settings: Settings,
    day: date,
    run: str,
    *,
    keep: int = KEEP_VERSIONS,
    minimum_age: timedelta = MINIMUM_AGE,
) -> Publication:
    """Make the candidate of `run` a version, and the current one unless a newer business day is current.

    Repeating it after a crash, or after success, ends in the same state.

    Raises:
        CheckFailedError: a critical check failed, and nobody has accepted it for this run.
        PermanentError: there is no candidate, no check has seen it, or it is not whole.
        TransientError: another publication is running.
    """
    name = version_name(day, run)
    final = settings.published / "versions" / name
    accepted = accepted_checks(settings, run)
    with _only_publisher(settings):
        if not final.exists():
            _assert_candidate(settings, name, day)
            _assert_may_be_published(_candidates(settings) / name, day, run, accepted)
            _seal(settings, _candidates(settings) / name, day, run)
            final.parent.mkdir(exist_ok=True)
            (_candidates(settings) / name).rename(final)
            _sync(final.parent)
            crash_point("publish.renamed")
        version = _read_version(final)
        current = current_version(settings)
        is_current = (current is None or day >= current.as_of_date) and name not in _withdrawn(settings)
        if is_current:
            _flip(settings, final)
            crash_point("publish.flipped")
        removed = _prune(settings, keep=keep, minimum_age=minimum_age)
    log.info("published %s (%s)", name, "current" if is_current else "stored, not what readers see")
    return Publication(version, is_current, removed, tuple(accepted.values()))


def record_verdict(
    settings: Settings, day: date, run: str, *, checks: int, critical: Collection[str]
) -> None:
    """Leave beside the candidate what the checks said: how many were asked, which critical ones failed.

    Raises:
        PermanentError: there is no candidate.
    """
    name = version_name(day, run)
    _assert_candidate(settings, name, day)
    facts = {
        "as_of_date": day.isoformat(),
        "run": run,
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "checks": checks,
        "critical": sorted(critical),
    }
    _write_whole(_candidates(settings) / name / VERDICT, facts)


def held_back(settings: Settings) -> list[HeldBack]:
    """The candidates that were refused and are still there, the last checked first."""
    found = [
        HeldBack(
            as_of_date=date.fromisoformat(facts["as_of_date"]),
            run=facts["run"],
            checked_at=datetime.fromisoformat(facts["checked_at"]),
            critical=tuple(facts["critical"]),
        )
        for path in _candidates(settings).glob(f"[0-9]*/{VERDICT}")
        if (facts := json.loads(path.read_text(encoding="utf-8")))["critical"]
    ]
    return sorted(found, key=lambda candidate: candidate.checked_at, reverse=True)


def rollback(settings: Settings, *, by: str, reason: str, to: str | None = None) -> Rollback:
    """Send readers back to an earlier stored version, in one step, and keep a record of it.

    The version they leave does not become current again by a repeated task of its run; a new run of any
    day that is not older than what readers then see is published on top as usual.

    Args:
        to: the name of a stored version, or its business day; default: the one before the current one.

    Raises:
        PermanentError: there is no such version, or its files are not those that were checked.
        TransientError: a publication is running.
    """
    with _only_publisher(settings):
        current = current_version(settings)
        if current is None:
            raise PermanentError(
                "rollback",
                cause="nothing is published",
                next_step="run a day: receivables run --as-of DAY",
            )
        target = _earlier_version(settings, current, to)
        verify(settings, target.name)
        entry = Rollback(datetime.now(UTC), current.name, target.name, by, reason)
        # The record first: a kill in between leaves a note without effect, never an effect without a note.
        _write_whole(
            _rollback_file(settings), [_rollback_facts(each) for each in (*rollbacks(settings), entry)]
        )
        crash_point("rollback.recorded")
        _flip(settings, target.path)
    log.warning("readers were sent back from %s to %s by %s: %s", current.name, target.name, by, reason)
    return entry


def rollbacks(settings: Settings) -> list[Rollback]:
    """Every rollback so far, the oldest first."""
    path = _rollback_file(settings)
    if not path.exists():
        return []
    return [
        Rollback(datetime.fromisoformat(facts.pop("at")), **facts)
        for facts in json.loads(path.read_text(encoding="utf-8"))
    ]


def newest_candidate(settings: Settings, day: date) -> str:
    """The run of the candidate of `day` that was built last.

    Raises:
        PermanentError: there is none.
    """
    prefix = f"{day.isoformat()}-"
    found = [path.parent for path in _candidates(settings).glob(f"{prefix}*/{PUBLIC}")]
    if not found:
        raise PermanentError(
            f"candidate of {day}",
            cause="there is none: it was never built, or it is published already",
            next_step=f"build it: receivables run --as-of {day}, or trigger transform_receivables",
        )
    return max(found, key=lambda path: path.stat().st_mtime).name.removeprefix(prefix)


def verify(settings: Settings, version: str) -> None:
    """Read a stored version as its readers do and compare it with its manifest.

    Raises:
        PermanentError: a file is not the one that was checked.
    """
    folder = settings.published / "versions" / version
    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    found = audit(folder, date.fromisoformat(facts["as_of_date"]))
    for name in FILE_MODES:
        if found[name]["tables"] != facts["files"][name]["tables"]:
            raise PermanentError(
                f"published version {version}",
                cause=f"{name} does not hold the rows that its manifest names",
                next_step=f"restore the file from a backup, or run {facts['as_of_date']} again",
            )


def audit(folder: Path, day: date) -> dict[str, Any]:
    """Open the files of a candidate read-only, as a reader would, and describe them.

    Returns, per file, its tables with row counts and a hash over all rows (order does not matter).

    Raises:
        PermanentError: a table differs between the two files, a function does not answer, or the
            storage format is one that older clients cannot read.
    """
    described: dict[str, Any] = {}
    for name in FILE_MODES:
        with open_published(folder / name) as connection:
            _audit_storage(connection, folder / name)
            _audit_functions(connection, folder / name, day)
            described[name] = {"tables": _describe_tables(connection)}
    rows = [{table: facts["rows"] for table, facts in file["tables"].items()} for file in described.values()]
    if rows[0] != rows[1]:
        differing = sorted(
            table for table in {*rows[0], *rows[1]} if rows[0].get(table) != rows[1].get(table)
        )
        raise _unsound(folder, f"the two files differ in {', '.join(differing)}")
    return described


@contextmanager
def open_published(path: Path, *, memory_limit: str = "2GB") -> Iterator[duckdb.DuckDBPyConnection]:
    """A published file, read-only, that can touch nothing else on the machine whatever SQL it is given."""
    config = {"enable_external_access": "false", "memory_limit": memory_limit}
    connection = duckdb.connect(str(path), read_only=True, config=config)
    try:
        connection.execute("set enable_progress_bar = false")
        connection.execute("set timezone = 'UTC'")
        connection.execute("set lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _candidates(settings: Settings) -> Path:
    return settings.published / ".candidates"


def _assert_candidate(settings: Settings, name: str, day: date) -> None:
    if not (_candidates(settings) / name / PUBLIC).exists():
        raise PermanentError(
            f"candidate {name}",
            cause="does not exist",
            next_step=f"build and check it first: receivables run --as-of {day}",
        )


def _assert_may_be_published(folder: Path, day: date, run: str, accepted: Collection[str]) -> None:
    verdict = folder / VERDICT
    if not verdict.exists():
        raise PermanentError(
            f"candidate {folder.name}",
            cause="no check has seen it",
            next_step=f"check it: clear check_marts, or receivables run --as-of {day} --run {run}",
        )
    refused = [
        name for name in json.loads(verdict.read_text(encoding="utf-8"))["critical"] if name not in accepted
    ]
    if refused:
        raise CheckFailedError(
            f"candidate {folder.name}",
            cause=f"{len(refused)} critical failed: {', '.join(refused)}",
            next_step="mend the cause and run the day again; or let it pass once, on record: receivables"
            f" publish --run {run} --accept CHECK --by NAME --reason TEXT",
        )


def _earlier_version(settings: Settings, current: Version, to: str | None) -> Version:
    others = [version for version in stored_versions(settings) if version.name != current.name]
    if to is not None:
        found = [version for version in others if to in (version.name, version.as_of_date.isoformat())]
    else:
        withdrawn = _withdrawn(settings)
        found = sorted(
            (
                version
                for version in others
                if version.as_of_date <= current.as_of_date
                and version.published_at < current.published_at
                and version.name not in withdrawn
            ),
            key=lambda version: (version.as_of_date, version.published_at),
            reverse=True,
        )
    if found:
        return found[0]
    listed = ", ".join(version.name for version in others) or "none"
    raise PermanentError(
        f"rollback from {current.name}",
        cause=f"no other version {to} is stored" if to else "no earlier version is stored",
        next_step=f"name a stored one with --to: {listed}",
    )


def _withdrawn(settings: Settings) -> set[str]:
    """The versions that readers were sent back from, unless they were sent there again."""
    gone: set[str] = set()
    for entry in rollbacks(settings):
        gone.add(entry.from_version)
        gone.discard(entry.to_version)
    return gone


def _rollback_file(settings: Settings) -> Path:
    return settings.published / "rollbacks.json"


def _rollback_facts(entry: Rollback) -> dict[str, str]:
    return {
        "at": entry.at.isoformat(timespec="seconds"),
        "from_version": entry.from_version,
        "to_version": entry.to_version,
        "by": entry.by,
        "reason": entry.reason,
    }


def _write_whole(path: Path, facts: Any) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def _read_version(path: Path) -> Version:
    facts = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    return Version(
        path=path,
        as_of_date=date.fromisoformat(facts["as_of_date"]),
        run=facts["run"],
        published_at=datetime.fromisoformat(facts["published_at"]),
    )


def _assert_built_for(settings: Settings, day: date) -> None:
    """Two runs may take turns in the working database: never publish one day's marts as another's."""
    built = built_day(settings)
    if built != day.isoformat():
        raise PermanentError(
            f"candidate of {day}",
            cause=f"the marts in the working database are of {built or 'no day yet'}",
            next_step=f"transform {day} again, then publish it: receivables run --as-of {day}",
        )


def _mart_tables(manifest: Path) -> list[str]:
    """The models of schema `marts`: a table that a killed dbt or a deleted model left behind is not one."""
    nodes = json.loads(manifest.read_text(encoding="utf-8"))["nodes"].values()
    return sorted(
        f"{node['schema']}.{node['alias']}"
        for node in nodes
        if node["resource_type"] in {"model", "seed", "snapshot"}
        and node["schema"] == "marts"
        and node["config"]["materialized"] != "ephemeral"
    )


def _quality_tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute(
        "select table_name from information_schema.tables where table_schema = 'quality'"
        " and table_catalog = current_database() and not contains(table_name, '__dbt_') order by 1"
    ).fetchall()
    return [f"quality.{name}" for (name,) in rows]


def _assert_tables_exist(connection: duckdb.DuckDBPyConnection, tables: list[str]) -> None:
    found = connection.execute(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_catalog = current_database()"
    ).fetchall()
    missing = sorted(set(tables) - {name for (name,) in found})
    if missing:
        raise PermanentError(
            "candidate",
            cause=f"the working database has no {', '.join(missing)}",
            next_step="build every model first: receivables run --as-of DAY",
        )


@contextmanager
def _target(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterator[None]:
    """Have unqualified names mean `path`; its catalog gets the name that a reader who opens it will see."""
    source = _catalog(connection)
    connection.execute(
        f"attach '{_escaped(path)}' as {path.stem} (read_write, storage_version '{STORAGE_VERSION}')"
    )
    connection.execute(f"use {path.stem}")
    try:
        yield
    finally:
        connection.execute(f'use "{source}"')
        connection.execute(f"detach {path.stem}")


def _catalog(connection: duckdb.DuckDBPyConnection) -> str:
    row = connection.execute("select current_database()").fetchone()
    return str(row[0]) if row else ""


def _copy_table(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    *,
    source: str,
    hidden: Collection[str] = (),
    masked: Mapping[str, str],
) -> None:
    """Copy rows in their order (readers of recent days then scan the tail), and the comments.

    Args:
        hidden: columns that are left out.
        masked: columns that keep their place, and the SQL of what is in it.
    """
    schema, _, name = table.partition(".")
    connection.execute(f"create schema if not exists {schema}")
    columns = connection.execute(
        "select column_name, comment from duckdb_columns()"
        " where database_name = ? and schema_name = ? and table_name = ? order by column_index",
        [source, schema, name],
    ).fetchall()
    shown = [(column, comment) for column, comment in columns if column not in hidden]
    chosen = [f'{masked[column]} as "{column}"' if column in masked else f'"{column}"' for column, _ in shown]
    origin = f'"{source}".{schema}."{name}"'
    connection.execute(f'create table {schema}."{name}" as select {", ".join(chosen)} from {origin}')  # noqa: S608
    for column, comment in shown:
        if comment:
            text = str(comment).replace("'", "''")
            connection.execute(f'comment on column {schema}."{name}"."{column}" is \'{text}\'')


def add_functions(connection: duckdb.DuckDBPyConnection, files: Iterable[Path]) -> None:
    """Create the functions of the published database; their amounts have the type of the ledger's.

    Raises:
        PermanentError: a function cannot be created; the message names its file.
    """
    found = connection.execute(
        "select data_type from duckdb_columns() where database_name = current_database()"
        " and schema_name = 'marts' and table_name = 'fct_ledger_entries' and column_name = 'amount'"
    ).fetchone()
    amount_type = found[0] if found else "decimal(18, 2)"
    for file in files:
        try:
            connection.execute(re.sub(r"\bas amount_type\b", f"as {amount_type}", file.read_text("utf-8")))
        except duckdb.Error as error:
            raise PermanentError(
                f"function {file.name}",
                cause=f"cannot be created in the published database ({error})",
                next_step=f"correct {file}; it must not read a column of personal data",
            ) from error


def _seal(settings: Settings, folder: Path, day: date, run: str) -> None:
    """Bring the run record up to date, audit, write the manifest, make the files durable and read-only."""
    _refresh_quality(settings, folder)
    crash_point("publish.refreshed")
    facts = {
        "version": folder.name,
        "as_of_date": day.isoformat(),
        "run": run,
        "published_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "made_by": {
            "receivables-warehouse": installed_version("receivables-warehouse"),
            "duckdb": duckdb.__version__,
            "dbt-core": installed_version("dbt-core"),
            "dbt_project_sha256": project_fingerprint(settings),
        },
        "storage_version": STORAGE_VERSION,
        "checks": json.loads((folder / VERDICT).read_text(encoding="utf-8")),
        "files": audit(folder, day),
    }
    crash_point("publish.audited")
    for name, mode in FILE_MODES.items():
        if (folder / f"{name}.wal").exists():
            raise _unsound(folder, f"{name} has a write-ahead log: somebody wrote to it after it was closed")
        facts["files"][name]["bytes"] = (folder / name).stat().st_size
        facts["files"][name]["sha256"] = _sha256(folder / name)
        (folder / name).chmod(mode)
        _sync(folder / name)
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    manifest.chmod(0o444)
    (folder / VERDICT).chmod(0o444)
    _sync(manifest)
    _sync(folder)
    crash_point("publish.sealed")


def _refresh_quality(settings: Settings, folder: Path) -> None:
    """The checks of this very version were recorded after it was built: take the record over once more."""
    with reading(settings.warehouse) as connection:
        source, tables = _catalog(connection), _quality_tables(connection)
        for name in FILE_MODES:
            masked = PERSONAL_QUALITY if name == PUBLIC else {}
            (folder / name).chmod(0o600)  # an attempt that was killed may have sealed it already
            with _target(connection, folder / name):
                connection.execute("begin")
                for table in tables:
                    connection.execute(f"drop table if exists {table}")
                    _copy_table(connection, table, source=source, masked=masked.get(table, {}))
                connection.execute("commit")


def _describe_tables(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    names = connection.execute(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema in ('marts', 'quality') order by 1"
    ).fetchall()
    described = {}
    for (name,) in names:
        query = f"select count(*), coalesce(sum(hash(row)), 0)::varchar from {name} as row"  # noqa: S608
        rows, digest = connection.execute(query).fetchone() or (0, "0")
        described[str(name)] = {"rows": rows, "hash": digest}
    return described


def _audit_storage(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    row = connection.execute(
        "select tags['storage_version'] from duckdb_databases() where database_name = current_database()"
    ).fetchone()
    if not row or not str(row[0]).startswith(STORAGE_VERSION):
        raise _unsound(path, f"its storage version is {row and row[0]}, not {STORAGE_VERSION}")


def _audit_functions(connection: duckdb.DuckDBPyConnection, path: Path, day: date) -> None:
    names = connection.execute(
        "select distinct schema_name || '.' || function_name from duckdb_functions()"
        " where not internal and function_type = 'table_macro'"
    ).fetchall()
    for (name,) in names:
        try:
            connection.execute(f"select count(*) from {name}(date '{day.isoformat()}')")  # noqa: S608
        except duckdb.Error as error:
            raise _unsound(path, f"{name}(date '{day}') does not answer ({error})") from error


def _unsound(path: Path, cause: str) -> PermanentError:
    return PermanentError(
        f"candidate {path}",
        cause=cause,
        next_step="nothing was published; run the day again",
    )


def _flip(settings: Settings, final: Path) -> None:
    link = settings.published / "current"
    if link.is_symlink() and link.readlink() == Path("versions") / final.name:
        return
    temporary = settings.published / ".current.new"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(Path("versions") / final.name)
    crash_point("publish.linked")
    temporary.replace(link)
    _sync(settings.published)


def _prune(settings: Settings, *, keep: int, minimum_age: timedelta) -> tuple[str, ...]:
    """Remove versions that nobody needs: never the current one, never the newest `keep`, never a young one.

    The age gives a reader that has just resolved the link the time to open its file.
    """
    current, now = current_version(settings), datetime.now(UTC)
    removed = []
    for version in stored_versions(settings)[max(keep, 2) :]:
        is_current = current is not None and version.name == current.name
        if not is_current and now - version.published_at >= minimum_age:
            # Out of sight first: a kill in the middle must not leave half a version among the whole ones.
            doomed = _candidates(settings) / f"removed-{version.name}"
            doomed.parent.mkdir(exist_ok=True)
            version.path.rename(doomed)
            removed.append(version.name)
    crash_point("publish.pruned")
    _remove_leftovers(settings)
    return tuple(removed)


def _remove_leftovers(settings: Settings) -> None:
    """Remove what was published, removed or given up; of refused candidates the newest wait longer."""
    now = datetime.now(UTC)
    refused = {version_name(each.as_of_date, each.run): each.checked_at for each in held_back(settings)}
    waiting = {name for name in list(refused)[:KEEP_HELD_BACK] if now - refused[name] < HELD_BACK_AGE}
    for leftover in _candidates(settings).glob("*"):
        age = now.timestamp() - leftover.stat().st_mtime
        is_given_up = leftover.name in refused or age >= MINIMUM_AGE.total_seconds()
        is_published = (settings.published / "versions" / leftover.name).exists()
        if (
            leftover.name.startswith("removed-")
            or is_published
            or (is_given_up and leftover.name not in waiting)
        ):
            shutil.rmtree(leftover)


@contextmanager
def _only_publisher(settings: Settings, wait_seconds: float = 60) -> Iterator[None]:
    settings.published.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_seconds
    with (settings.published / ".lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise TransientError(
                        f"publication in {settings.published}",
                        cause="another process is publishing",
                        next_step="wait for it to end, then try again",
                    ) from error
                time.sleep(0.1)
        yield


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
