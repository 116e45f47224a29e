"""From a source system to the landing folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from receivables import landing
from receivables.company import CompanyConfig, check_company, load_company_config
from receivables.crash import crash_point
from receivables.entities import ENTITIES, Entity
from receivables.errors import ConfigError, PermanentError
from receivables.landing import Manifest, PartWriter
from receivables.settings import Settings
from receivables.sources.base import Connector, Window, read_ahead
from receivables.sources.config import EntityConfig, IncrementalEntity, SourceConfig, WindowedEntity
from receivables.sources.kinds import open_connector
from receivables.sources.mapping import EntityMapping
from receivables.sources.plain import PlainMapping
from receivables.warehouse import has_table, reading
from receivables.yamlfile import did_you_mean


@dataclass(frozen=True)
class _Before:
    """What the warehouse holds before the extract; `window` if this very run was loaded before.

    `read_whole_on` is the last business day whose load read everything, not only what had changed.
    """

    watermark: datetime | None = None
    rows: int = 0
    window: Window | None = None
    read_whole_on: date | None = None


def day_end(day: date, timezone: str) -> datetime:
    """The end of a business day in a time zone, in UTC."""
    return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(timezone)).astimezone(UTC)


def extract(settings: Settings, source: SourceConfig, entity: str, day: date, run: str) -> Manifest:
    """Extract one entity of a source for a business day into `landing/<source>/<entity>/<run>/`.

    Rows are typed on the way; what cannot be typed goes to `refused-*.parquet` with its reasons. The manifest
    comes last. An earlier attempt of the same run is replaced.

    Raises:
        ConfigError: the settings are wrong or an environment variable is missing.
        PermanentError: the source cannot be read as described, or holds nothing where it held rows before.
        TransientError: the source's server, or the warehouse, is busy or down.
    """
    company = load_company_config(settings)
    check_company(source, company)
    config = _entity_config(source, entity)
    cursor = config.cursor if isinstance(config, IncrementalEntity) else None
    mode = config.mode
    before = _held_before(settings, source.name, entity, run=run)
    # The same run reads the same window again, although its first load may have moved the watermark.
    window = before.window or _window(config, day, {source.timezone, *company.zones.values()}, before)
    started = datetime.now(UTC)
    folder = landing.extract_folder(settings, source=source.name, entity=entity, run=run)
    windows = _windows(config, window)
    progress = landing.Progress("")
    if len(windows) > 1:
        progress = landing.take_up(folder, _task(source, entity, window))
    else:
        landing.start_folder(folder)
    with (
        open_connector(source, settings) as connector,
        closing(
            PlainMapping(
                source, ENTITIES[entity], minor_units=company.minor_units, zones=company.zones, cursor=cursor
            )
        ) as mapping,
    ):
        columns = connector.describe(entity)
        mapping.check_columns(columns, where="before reading")
        read = _read(connector, mapping, entity, windows, folder=folder, so_far=progress)
        keys: tuple[landing.Part, ...] = ()
        if _needs_sweep(config, window, before):
            keys = _sweep(source, entity, connector=connector, company=company, folder=folder)
    rows, refused = (
        sum(part.rows for part in read.parts if part.kind == kind) for kind in ("part", "refused")
    )
    if mode == "full":
        check_not_emptied(
            source.name, entity, rows=rows + refused, held=before.rows, allowed=config.allow_empty
        )
    crash_point("extract.parts")
    earlier = landing.earlier_manifest(settings, source=source.name, entity=entity, run=run)
    known = earlier.source_columns if earlier else columns
    parts = (*read.parts, *keys)
    manifest = Manifest(
        source=source.name,
        entity=entity,
        run=run,
        as_of_date=day,
        mode=mode,
        rows=rows,
        refused_rows=refused,
        unreadable_rows=read.unreadable_rows,
        control_totals=dict(sorted(read.control_totals.items())),
        window_from=window.start,
        window_to=window.end,
        watermark=read.watermark.replace(tzinfo=UTC) if read.watermark else None,
        allow_empty=config.allow_empty,
        distinct=config.distinct,
        parts=parts,
        source_columns=columns,
        columns_added=tuple(name for name in columns if name not in known),
        columns_gone=tuple(name for name in known if name not in columns),
        checksum=landing.checksum(parts),
        started_at=started,
        finished_at=datetime.now(UTC),
        source_types=read.source_types,
    )
    landing.write_manifest(folder, manifest)
    return manifest


def _read(
    connector: Connector,
    mapping: EntityMapping,
    entity: str,
    windows: Sequence[Window],
    *,
    folder: Path,
    so_far: landing.Progress,
) -> landing.Progress:
    """Read the windows that are not whole yet, typed, into parts; of several each is recorded when whole."""
    good, refused = (PartWriter(folder, kind, parts=so_far.parts) for kind in ("part", "refused"))
    for window in windows[so_far.windows :]:
        totals = {currency: Decimal(total) for currency, total in so_far.control_totals.items()}
        unreadable, watermark, types = so_far.unreadable_rows, so_far.watermark, so_far.source_types
        rows_read = so_far.rows_read
        for batch in read_ahead(connector.read(entity, window)):
            mapping.check_columns(batch.table.column_names, where=batch.origin)
            types = types or {column.name: str(column.type) for column in batch.table.schema}
            # Each window counts its rows from 1; here a row's number is its own.
            mapped = mapping.map(batch.shifted(so_far.rows_read) if so_far.rows_read else batch)
            good.write(mapped.good)
            refused.write(mapped.refused)
            rows_read += batch.table.num_rows
            unreadable += len(batch.unreadable)
            watermark = max(filter(None, (watermark, mapped.watermark)), default=None)
            for currency, total in mapped.totals.items():
                totals[currency] = totals.get(currency, Decimal(0)) + total
        for writer in (good, refused):
            writer.flush()
        so_far = landing.Progress(
            task=so_far.task,
            windows=so_far.windows + 1,
            rows_read=rows_read,
            parts=(*good.parts, *refused.parts),
            unreadable_rows=unreadable,
            control_totals={currency: str(total) for currency, total in totals.items()},
            watermark=watermark,
            source_types=types,
        )
        if len(windows) > 1:
            landing.write_progress(folder, so_far)
    return so_far


def _needs_sweep(config: EntityConfig, window: Window, before: _Before) -> bool:
    """Whether to read the keys that are still there: an incremental read cannot see that a row is gone."""
    if not isinstance(config, IncrementalEntity) or config.mode != "incremental":
        return False
    return config.sweep or (config.full_every is not None and window.start is None and before.rows > 0)


def _sweep(
    source: SourceConfig,
    entity: str,
    *,
    connector: Connector,
    company: CompanyConfig,
    folder: Path,
) -> tuple[landing.Part, ...]:
    """The keys still present in the source."""
    whole = ENTITIES[entity]
    keys_only = Entity(whole.name, whole.key, tuple(whole.column(name) for name in whole.key))
    writer = PartWriter(folder, "keys")
    with closing(
        PlainMapping(source, keys_only, minor_units=company.minor_units, zones=company.zones)
    ) as mapping:
        for batch in connector.sweep(entity):
            writer.write(mapping.map(batch).good)
    writer.flush()
    return tuple(writer.parts)


def _window(config: EntityConfig, day: date, zones: Iterable[str], before: _Before) -> Window:
    """Up to the end of the business day; from the last load, or the earlier day, less the overlap.

    From the beginning, when nothing is loaded yet or a full read is due. The day is over when it is over in
    the last of the time zones; what a company recorded after its own midnight is known from its next day.
    """
    end = max(day_end(day, zone) for zone in zones)
    if before.watermark is None or not isinstance(config, IncrementalEntity) or config.mode == "full":
        return Window(None, end)
    if config.full_every is not None and (
        before.read_whole_on is None or day - before.read_whole_on >= config.full_every
    ):
        return Window(None, end)
    # A rerun of a past day reads that day again, although later days are loaded.
    day_before = min(day_end(day - timedelta(days=1), zone) for zone in zones)
    return Window(min(before.watermark, day_before) - config.overlap, end)


def _windows(config: EntityConfig, window: Window) -> list[Window]:
    """What is read from the beginning, cut as the source file asks; else the window itself."""
    first = config.first_load_from if isinstance(config, WindowedEntity) else None
    if first is None or window.start is not None or config.mode != "incremental":
        return [window]
    edges = [datetime.combine(first, time(), UTC)]
    while edges[-1] < window.end:
        edges.append(edges[-1] + config.first_load_step)
    edges = [edge for edge in edges if edge < window.end]
    starts: list[datetime | None] = [None, *edges]
    return [Window(start, end) for start, end in zip(starts, [*edges, window.end], strict=True)]


def _task(source: SourceConfig, entity: str, window: Window) -> str:
    """What tells one extract from another whose windows it must not take up."""
    said = source.file.read_text(encoding="utf-8")
    return hashlib.sha256(f"{entity}\n{window.end.isoformat()}\n{said}".encode()).hexdigest()


def _entity_config(source: SourceConfig, entity: str) -> EntityConfig:
    configs = source.entity_configs
    if entity not in configs:
        raise ConfigError(
            f"source {source.name}",
            cause=f"it does not deliver '{entity}'{did_you_mean(entity, configs)};"
            f" it delivers {', '.join(configs)}",
            next_step=f"name one of these, or add it to {source.file}",
        )
    return configs[entity]


def check_not_emptied(source: str, entity: str, *, rows: int, held: int, allowed: bool) -> None:
    """Check that a full extract did not lose everything: loading it would remove every row.

    Raises:
        PermanentError: no rows, although there were some before and `allow_empty` does not stand there.
    """
    if rows == 0 and held > 0 and not allowed:
        raise PermanentError(
            f"source {source}, {entity}",
            cause=f"the extract is empty, but the warehouse holds {held} rows of it;"
            " loading it would remove all of them",
            next_step="check the source; if it is truly empty now, write `allow_empty: true` at"
            f" entities.{entity}",
        )


def _held_before(settings: Settings, source: str, entity: str, *, run: str) -> _Before:
    """Watermark and rows of an entity, from a short look into the warehouse."""
    if not settings.warehouse.is_file():
        return _Before()
    with reading(settings.warehouse) as connection:
        return _Before(
            stored_watermark(connection, source, entity),
            held_rows(connection, source, entity),
            _window_of_run(connection, source, entity, run=run),
            _read_whole_on(connection, source, entity),
        )


def _read_whole_on(connection: duckdb.DuckDBPyConnection, source: str, entity: str) -> date | None:
    if not has_table(connection, "quality", "loads"):
        return None
    row = connection.execute(
        "select max(as_of_date) from quality.loads where source = ? and entity = ? and window_from is null"
        " and status = 'loaded'",
        [source, entity],
    ).fetchone()
    return row[0] if row else None


def _window_of_run(
    connection: duckdb.DuckDBPyConnection, source: str, entity: str, *, run: str
) -> Window | None:
    if not has_table(connection, "quality", "loads"):
        return None
    row = connection.execute(
        "select window_from, window_to from quality.loads where source = ? and entity = ? and run = ?",
        [source, entity, run],
    ).fetchone()
    if row is None:
        return None
    return Window(row[0].replace(tzinfo=UTC) if row[0] else None, row[1].replace(tzinfo=UTC))


def stored_watermark(connection: duckdb.DuckDBPyConnection, source: str, entity: str) -> datetime | None:
    """The newest cursor value that any load of this entity has reached."""
    if not has_table(connection, "quality", "loads"):
        return None
    row = connection.execute(
        "select max(cast(watermark as timestamp)) from quality.loads where source = ? and entity = ?"
        " and status = 'loaded'",
        [source, entity],
    ).fetchone()
    return row[0].replace(tzinfo=UTC) if row and row[0] else None


def held_rows(connection: duckdb.DuckDBPyConnection, source: str, entity: str) -> int:
    """How many rows of this entity the warehouse holds, removed ones not counted."""
    if not has_table(connection, f"raw_{source}", entity):
        return 0
    row = connection.execute(
        f"select count(*) from (select 1 from raw_{source}.{entity} group by _row_key"  # noqa: S608
        " having not arg_max(_is_removed, _version))"
    ).fetchone()
    return int(row[0]) if row else 0


def extract_all(settings: Settings, source: SourceConfig, day: date, run: str) -> dict[str, Manifest]:
    """Extract every entity of a source, one after the other."""
    return {entity: extract(settings, source, entity, day, run) for entity in entities_of(source)}


def entities_of(source: SourceConfig) -> Iterable[str]:
    """The entities that a source delivers, in canonical order."""
    configs = source.entity_configs
    return [name for name in ENTITIES if name in configs]
