"""From the landing folder to raw: the only writer of raw, one transaction per source.

Every statement works on sets. A row is stored only when it is new, changed or gone; a load that runs again
finds everything unchanged and stores nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from receivables import landing
from receivables.company import check_company, load_company_config, write_settings
from receivables.crash import crash_point
from receivables.entities import ENTITIES, RAW_META, Entity
from receivables.errors import PermanentError
from receivables.extract import check_not_emptied, entities_of, held_rows, stored_watermark
from receivables.landing import Manifest
from receivables.settings import Settings
from receivables.sources.config import SourceConfig
from receivables.sources.kinds import load_sources
from receivables.sources.mapping import literal
from receivables.warehouse import writing

_META_NAMES = tuple(name for name, _ in RAW_META)
# Quarantine reasons given here; those of the extract come with the refused rows.
DUPLICATE = "duplicate: the same row stands here twice, the first copy is kept"
SUPERSEDED = "duplicate key: another row with this key has a newer updated_at and is kept"
CONFLICT = (
    "duplicate key: rows with this key differ and none is newer; all are refused, the earlier version stays"
)


@dataclass(frozen=True)
class EntityLoad:
    """What one load did to one entity."""

    entity: str
    mode: str
    rows: int
    new: int
    changed: int
    unchanged: int
    removed: int
    refused: int
    message: str | None


@dataclass(frozen=True)
class LoadReport:
    """What one load of a source did, entity by entity."""

    source: str
    run: str
    as_of_date: date
    entities: tuple[EntityLoad, ...]

    @property
    def refused(self) -> int:
        return sum(entity.refused for entity in self.entities)

    @property
    def rows(self) -> int:
        return sum(entity.rows for entity in self.entities)


def load(settings: Settings, source: SourceConfig, day: date, run: str) -> LoadReport:
    """Load one extract of a source into `raw_<source>`, in one transaction.

    Raises:
        PermanentError: an extract is missing, damaged, or would remove everything; nothing was loaded.
        TransientError: another process writes to the warehouse.
    """
    company = load_company_config(settings)
    check_company(source, company)
    sources = {**load_sources(settings), source.name: source}
    manifests = _whole_extracts(settings, source, day, run)
    with writing(settings.warehouse) as connection:
        connection.execute("begin transaction")
        try:
            write_settings(connection, company, sources)
            create_raw(connection, sources)
            loads = tuple(
                _Load(connection, source, manifest, settings=settings, zones=company.zones).run()
                for manifest in manifests.values()
            )
            crash_point("load.before_commit")
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise
        crash_point("load.after_commit")
    landing.prune(settings, source=source.name)
    return LoadReport(source.name, run, day, loads)


def _whole_extracts(settings: Settings, source: SourceConfig, day: date, run: str) -> dict[str, Manifest]:
    """The manifests of all entities, each verified against its parts."""
    manifests: dict[str, Manifest] = {}
    missing = []
    for entity in entities_of(source):
        folder = landing.extract_folder(settings, source=source.name, entity=entity, run=run)
        manifest = landing.read_manifest(folder)
        if manifest is None:
            missing.append(entity)
            continue
        if manifest.as_of_date != day:
            raise PermanentError(
                f"landing {folder}",
                cause=f"was extracted for {manifest.as_of_date}, not for {day}",
                next_step=f"extract {day} under a run of its own",
            )
        landing.verify(folder, manifest)
        manifests[entity] = manifest
    if missing:
        raise PermanentError(
            f"source {source.name}, run {run}",
            cause=f"there is no whole extract of {', '.join(missing)}",
            next_step="extract again, then load; nothing was loaded",
        )
    return manifests


def create_raw(connection: duckdb.DuckDBPyConnection, sources: Iterable[str]) -> None:
    """Create what is missing: a table of every entity for every source, and the views over all sources."""
    names = sorted(sources)
    for source in names:
        connection.execute(f"create schema if not exists raw_{source}")
        for entity in ENTITIES.values():
            meta = [f"{name} {kind}" for name, kind in RAW_META]
            columns = [f"{column.name} {column.duckdb_type}" for column in entity.columns]
            connection.execute(
                f"create table if not exists raw_{source}.{entity.name} ({', '.join([*columns, *meta])})"
            )
            for column in entity.columns:
                connection.execute(
                    f"alter table raw_{source}.{entity.name} add column if not exists"
                    f" {column.name} {column.duckdb_type}"
                )
    for entity in ENTITIES.values():
        chosen = ", ".join((*entity.column_names, *_META_NAMES))
        selects = [
            f"select '{source}' as _source, {chosen} from raw_{source}.{entity.name}"  # noqa: S608
            for source in names
        ]
        connection.execute(f"create or replace view raw.{entity.name} as {' union all '.join(selects)}")


def row_key_sql(entity: Entity) -> str:
    """SQL: the key columns joined by '|'."""
    return (
        "concat_ws('|', " + ", ".join(f"coalesce(cast({name} as varchar), '')" for name in entity.key) + ")"
    )


def row_hash_sql(entity: Entity) -> str:
    """SQL: md5 of the columns that have a value, so that a new column of the model changes no old row."""
    pairs = ", ".join(f"'{name}=' || cast({name} as varchar)" for name in entity.column_names)
    return f"md5(concat_ws(chr(31), {pairs}))"


class _Load:
    """The load of one entity, inside the source's transaction."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: SourceConfig,
        manifest: Manifest,
        *,
        settings: Settings,
        zones: Mapping[str, str],
    ) -> None:
        self.connection = connection
        self.source = source
        self.manifest = manifest
        self.entity = ENTITIES[manifest.entity]
        self.folder = landing.extract_folder(
            settings, source=source.name, entity=manifest.entity, run=manifest.run
        )
        self.table = f"raw_{source.name}.{self.entity.name}"
        self.load_id = f"{source.name}.{self.entity.name}.{manifest.run}"
        self.started = datetime.now(UTC).replace(tzinfo=None)
        self.zones = {one: zone for one, zone in zones.items() if zone != source.timezone}
        self.loaded_on = self._loaded_on()
        self.reads_all = manifest.mode == "full" or manifest.has_sweep

    def run(self) -> EntityLoad:
        """Compare, store what differs, record it."""
        manifest = self.manifest
        self._compare()
        if manifest.mode == "full":
            check_not_emptied(
                self.source.name,
                self.entity.name,
                rows=manifest.rows + manifest.refused_rows,
                held=held_rows(self.connection, self.source.name, self.entity.name),
                allowed=manifest.allow_empty,
            )
        self._store_changes()
        crash_point(f"load.{self.entity.name}")
        kept = self._tombstone()
        self._quarantine()
        report = self._report(kept)
        self._record(report)
        return report

    # --- statements ---

    def _loaded_on(self) -> date:
        """The business day, but never before what this table knows: what arrives late is known late."""
        row = self.connection.execute(f"select max(_loaded_on) from {self.table}").fetchone()  # noqa: S608
        newest = row[0] if row else None
        return max(self.manifest.as_of_date, newest) if newest else self.manifest.as_of_date

    def _files(self, kind: str) -> str | None:
        paths = [self.folder / part.name for part in self.manifest.parts if part.kind == kind]
        return _path_list(paths) if paths else None

    def _incoming(self) -> str:
        files = self._files("part")
        if files is not None:
            return f"read_parquet({files})"
        columns = ", ".join(f"null::{column.duckdb_type} as {column.name}" for column in self.entity.columns)
        return f"(select {columns}, null::varchar as _file, null::bigint as _row where false)"

    def _refused(self) -> str:
        files = self._files("refused")
        empty = "(select null::varchar as key, '' as reason, '' as payload, '' as location where false)"
        return f"read_parquet({files})" if files else empty

    def _local_day(self, column: str) -> str:
        """SQL: the day of a UTC timestamp where the row's company is, else where the source is."""
        zone = literal(self.source.timezone)
        if self.zones:
            zone = f"coalesce(zones.zone, {zone})"
        return f"cast(timezone({zone}, timezone('UTC', {column})) as date)"

    def _find_zones(self) -> None:
        """Fill `zones`: the rows of companies whose days end elsewhere than the source's.

        A row's company is the one it names, else that of its invoice, of its customer, of the source: as the
        models have it.
        """
        self.connection.execute(
            "create or replace temp table zones (_file varchar, _row bigint, zone varchar)"
        )
        if not self.zones:
            return
        raw, incoming = f"raw_{self.source.name}", self._incoming()
        given = {"company_id", "customer_id", "invoice_id"} & set(self.entity.column_names)
        company, customer, invoice = (
            f"arrived.{name}" if name in given else "null::varchar"
            for name in ("company_id", "customer_id", "invoice_id")
        )
        default = literal(self.source.default_company_id or "") if given else "''"
        self.connection.execute(
            f"""
            insert into zones
            with invoices as (
                select
                    invoice_id, arg_max(customer_id, _version) as customer_id,
                    arg_max(company_id, _version) as company_id
                from {raw}.invoices
                where invoice_id in (select {invoice} from {incoming} as arrived)
                group by invoice_id
            ),
            owned as (
                select
                    arrived._file, arrived._row, coalesce({company}, invoices.company_id) as company_id,
                    coalesce({customer}, invoices.customer_id) as customer_id
                from {incoming} as arrived
                left join invoices on invoices.invoice_id = {invoice}
            ),
            customers as (
                select customer_id, arg_min(company_id, _version) as company_id from {raw}.customers
                where company_id is not null and customer_id in (select customer_id from owned)
                group by customer_id
            ),
            companies as (
                select unnest($companies::varchar[]) as company_id, unnest($zones::varchar[]) as zone
            )
            select owned._file, owned._row, companies.zone
            from owned
            left join customers on customers.customer_id = owned.customer_id
            inner join companies
                on companies.company_id
                = coalesce(owned.company_id, customers.company_id, nullif({default}, ''))
            """,  # noqa: S608 (names of the entity list, quoted literals)
            {"companies": list(self.zones), "zones": list(self.zones.values())},
        )

    def _recorded(self) -> str:
        """SQL: when the source recorded a row, as far as it says."""
        names = [name for name in ("created_at", "updated_at") if name in self.entity.column_names]
        return f"coalesce({', '.join(names)})" if names else "null::timestamp"

    def _compare(self) -> None:
        """Fill `incoming` (every key that arrived), `verdicts` (what to do) and `latest` (what raw holds)."""
        self._find_zones()
        updated = "updated_at" if "updated_at" in self.entity.column_names else "null::timestamp"
        created = "created_at" if "created_at" in self.entity.column_names else "null::timestamp"
        self.connection.execute(
            f"""
            create or replace temp table incoming as
            select
                {row_key_sql(self.entity)} as row_key, {row_hash_sql(self.entity)} as row_hash, _file, _row,
                {updated} as updated_at, {created} as created_at,
                {self._recorded()} as recorded_at, {self._local_day(self._recorded())} as recorded_on,
                {self._local_day(updated)} as updated_on
            from {self._incoming()} as arrived
            left join zones using (_file, _row);

            create or replace temp table repeated as
            with repeats as (
                select * from incoming
                where row_key in (select row_key from incoming group by row_key having count(*) > 1)
            ),
            hashes as (
                select row_key, row_hash, max(updated_at) as updated_at
                from repeats group by row_key, row_hash
            ),
            newest as (
                select
                    row_key, count(*) as contents, arg_max(row_hash, updated_at) as newest_hash,
                    count(*) filter (where updated_at is not distinct from top) as at_top, max(top) as top
                from (select *, max(updated_at) over (partition by row_key) as top from hashes)
                group by row_key
            )
            select
                repeats.row_key, repeats._file, repeats._row,
                case
                    when contents > 1 and (top is null or at_top > 1) then 'conflict'
                    when contents > 1 and row_hash <> newest_hash then 'superseded'
                    when row_number() over (
                        partition by repeats.row_key, row_hash order by repeats._file, repeats._row
                    ) > 1 then 'duplicate'
                    else 'kept'
                end as fate
            from repeats inner join newest on newest.row_key = repeats.row_key;

            create or replace temp table latest as
            select
                _row_key as row_key, max(_version) as version, arg_max(_row_hash, _version) as row_hash,
                arg_max(_is_removed, _version) as is_removed, max(_known_on) as known_on
            from {self.table} group by _row_key;
            """  # noqa: S608 (names from the entity list and a checked source name)
        )

    def _store_changes(self) -> None:
        """Append new and changed rows. What was recorded after the business day waits for its own day."""
        columns = ", ".join(f"incoming_rows.{name}" for name in self.entity.column_names)
        names = ", ".join((*self.entity.column_names, *_META_NAMES))
        self.connection.execute(
            """
            create or replace temp table accepted as
            select incoming.* from incoming
            left join repeated on
                repeated.row_key = incoming.row_key and repeated._file = incoming._file
                and repeated._row = incoming._row
            where coalesce(repeated.fate, 'kept') = 'kept'
                and (incoming.created_at is null or incoming.created_at < $window_to)
            """,
            {"window_to": _naive(self.manifest.window_to)},
        )
        self.connection.execute(
            """
            create or replace temp table stored as
            select
                accepted._file, accepted._row, accepted.row_key, accepted.row_hash, accepted.recorded_at,
                accepted.recorded_on, accepted.updated_at, accepted.updated_on,
                coalesce(latest.version, 0) + 1 as version, latest.known_on as known_before
            from accepted left join latest on latest.row_key = accepted.row_key
            where latest.row_key is null or latest.row_hash <> accepted.row_hash or latest.is_removed
            """
        )
        self.connection.execute(
            f"""
            insert into {self.table} ({names})
            select
                {columns}, stored.row_key, stored.row_hash, stored.version, false,
                -- Inside the window a day is over everywhere: a later one is that of a company whose day was
                -- over before, and from its own next day the row is known.
                case
                    when stored.version = 1 and stored.recorded_at < $window_to then stored.recorded_on
                    when stored.version = 1 then least(coalesce(stored.recorded_on, $loaded_on), $loaded_on)
                    when stored.updated_at < $window_to
                        then greatest($loaded_on, stored.updated_on, stored.known_before)
                    else greatest($loaded_on, stored.known_before)
                end,
                $loaded_on, $load_id, $loaded_at
            from {self._incoming()} as incoming_rows
            inner join stored on stored._file = incoming_rows._file and stored._row = incoming_rows._row
            """,  # noqa: S608
            {
                "loaded_on": self.loaded_on,
                "load_id": self.load_id,
                "loaded_at": self.started,
                "window_to": _naive(self.manifest.window_to),
            },
        )

    def _tombstone(self) -> int:
        """Mark rows that the source no longer holds; return how many were spared for unreadable rows.

        A refused or conflicting row is still in the source. A row that cannot be split into columns has an
        unknown key: any missing key might be its own, so then nothing is removed.
        """
        if not self.reads_all:
            return 0
        keys = self._files("keys")
        present = "select ''"
        if keys:
            present = f"select {row_key_sql(self.entity)} from read_parquet({keys})"  # noqa: S608
        self.connection.execute(
            f"""
            create or replace temp table gone as
            select row_key, version from latest
            where not is_removed
                and row_key not in (select row_key from incoming)
                and row_key not in (select key from {self._refused()} where key is not null)
                and row_key not in ({present})
            """  # noqa: S608
        )
        count = _count(self.connection, "gone")
        if count and self.manifest.unreadable_rows:
            return count
        kept = ", ".join(f"old.{name}" for name in self.entity.column_names)
        self.connection.execute(
            f"""
            insert into {self.table} ({", ".join((*self.entity.column_names, *_META_NAMES))})
            select
                {kept}, old._row_key, old._row_hash, old._version + 1, true,
                greatest($loaded_on, old._known_on), $loaded_on, $load_id, $loaded_at
            from {self.table} as old
            inner join gone on gone.row_key = old._row_key and gone.version = old._version
            """,  # noqa: S608
            {"loaded_on": self.loaded_on, "load_id": self.load_id, "loaded_at": self.started},
        )
        return 0

    def _quarantine(self) -> None:
        """Bring the quarantine up to date: new faults, faults seen again, faults that are gone."""
        payload = f"to_json({{{', '.join(f'{name}: arrived.{name}' for name in self.entity.column_names)}}})"
        said = " ".join(
            f"when '{fate}' then '{reason}'"
            for fate, reason in (("duplicate", DUPLICATE), ("superseded", SUPERSEDED), ("conflict", CONFLICT))
        )
        hidden = "and fate <> 'duplicate'" if self.manifest.distinct else ""
        scope = {"source": self.source.name, "entity": self.entity.name}
        self.connection.execute(
            f"""
            create or replace temp table refused as
            select key, reason, payload, min(location) as location
            from (
                select key, reason, payload, location from {self._refused()}
                union all
                select
                    repeated.row_key, case repeated.fate {said} end, {payload},
                    repeated._file || ':' || repeated._row
                from repeated inner join {self._incoming()} as arrived
                    on arrived._file = repeated._file and arrived._row = repeated._row
                where repeated.fate <> 'kept' {hidden}
            )
            group by key, reason, payload
            """  # noqa: S608
        )
        same = (
            "old.source = $source and old.entity = $entity and old.key is not distinct from new.key"
            " and old.reason = new.reason and old.payload = new.payload"
        )
        self.connection.execute(
            f"""
            update quality.quarantined_rows as old set
                loaded_at = $loaded_at, load_id = $load_id, location = new.location,
                first_seen_on = least(old.first_seen_on, $day),
                last_seen_on = greatest(old.last_seen_on, $day),
                is_resolved = false
            from refused as new where {same}
            """,  # noqa: S608
            {**scope, "loaded_at": self.started, "load_id": self.load_id, "day": self.manifest.as_of_date},
        )
        self.connection.execute(
            f"""
            insert into quality.quarantined_rows
            select
                $source, $entity, new.key, new.reason, new.payload, $loaded_at, $load_id, new.location,
                $day, $day, false
            from refused as new
            where not exists (select 1 from quality.quarantined_rows as old where {same})
            """,  # noqa: S608
            {**scope, "loaded_at": self.started, "load_id": self.load_id, "day": self.manifest.as_of_date},
        )
        # A full extract that no longer shows the fault has it cured; else the key must have arrived in order.
        cured = "true" if self.manifest.mode == "full" else "old.key in (select row_key from accepted)"
        self.connection.execute(
            f"""
            update quality.quarantined_rows as old set is_resolved = true
            where old.source = $source and old.entity = $entity and not old.is_resolved
                and not exists (select 1 from refused as new where {same}) and {cured}
            """,  # noqa: S608
            scope,
        )

    # --- the record ---

    def _report(self, kept: int) -> EntityLoad:
        """Counted from what this run stored, so that a rerun of it reports the same."""
        row = self.connection.execute(
            "select count(*) filter (where _version = 1),"  # noqa: S608
            " count(*) filter (where _version > 1 and not _is_removed),"
            f" count(*) filter (where _is_removed) from {self.table} where _load_id = ?",
            [self.load_id],
        ).fetchone()
        new, changed, removed = row if row else (0, 0, 0)
        # Rows, not entries in quarantine, where copies of one row share one: what arrived must add up.
        quarantined = "fate <> 'kept'" + (" and fate <> 'duplicate'" if self.manifest.distinct else "")
        accepted = _count(self.connection, "accepted")
        refused = self.manifest.refused_rows + _count(self.connection, "repeated", where=quarantined)
        return EntityLoad(
            entity=self.entity.name,
            mode=self.manifest.mode,
            rows=self.manifest.rows + self.manifest.refused_rows,
            new=new,
            changed=changed,
            unchanged=accepted - new - changed,
            removed=removed,
            refused=refused,
            message=self._message(kept),
        )

    def _message(self, kept: int) -> str | None:
        notes = []
        if kept:
            notes.append(
                f"{kept} rows that did not arrive were kept, because {self.manifest.unreadable_rows} rows"
                " could not be read and any of them may be one of these"
            )
        if self.manifest.columns_added:
            notes.append(f"new columns in the source: {', '.join(self.manifest.columns_added)}")
        if self.manifest.columns_gone:
            notes.append(f"columns gone from the source: {', '.join(self.manifest.columns_gone)}")
        later = _count(self.connection, "incoming") - _count(self.connection, "accepted")
        later -= _count(self.connection, "repeated", where="fate <> 'kept'")
        if later:
            notes.append(
                f"{later} rows were recorded after {self.manifest.as_of_date} and wait for their day"
            )
        return "; ".join(notes) or None

    def _record(self, report: EntityLoad) -> None:
        """One row per entity and run; the watermark only ever moves forward, and only with the data."""
        manifest = self.manifest
        reached = [stored_watermark(self.connection, self.source.name, self.entity.name), manifest.watermark]
        watermark = max(filter(None, reached), default=None)
        self.connection.execute(
            "delete from quality.loads where source = ? and entity = ? and run = ?",
            [self.source.name, self.entity.name, manifest.run],
        )
        self.connection.execute(
            f"insert into quality.loads values ({', '.join('?' * 21)})",  # noqa: S608 (only marks)
            [
                self.source.name,
                self.entity.name,
                manifest.run,
                self.load_id,
                manifest.as_of_date,
                manifest.mode,
                report.rows,
                report.new,
                report.changed,
                report.unchanged,
                report.removed,
                report.refused,
                json.dumps(manifest.control_totals),
                _naive(manifest.window_from),
                _naive(manifest.window_to),
                str(_naive(watermark)) if watermark else None,
                manifest.checksum,
                self.started,
                datetime.now(UTC).replace(tzinfo=None),
                "loaded",
                report.message,
            ],
        )


def _naive(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None


def _count(connection: duckdb.DuckDBPyConnection, table: str, *, where: str = "true") -> int:
    row = connection.execute(f"select count(*) from {table} where {where}").fetchone()  # noqa: S608
    return int(row[0]) if row else 0


def _path_list(paths: Iterable[Path]) -> str:
    return "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"
