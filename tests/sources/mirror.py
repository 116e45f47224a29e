"""What a warehouse would hold after loads: the rules of the load in plain Python, without a database.

It lets a connector be followed over many days and under many switches in milliseconds.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from receivables.company import load_company_config
from receivables.entities import ENTITIES
from receivables.sources import SourceConfig, open_connector
from receivables.sources.base import Connector, SourceBatch, Window
from receivables.sources.config import IncrementalEntity
from receivables.sources.mapping import EntityMapping
from tests.sources.setup import Case

Row = dict[str, Any]
Key = tuple[Any, ...]


def mapped(case: Case, entity: str, batches: list[SourceBatch]) -> list[Row]:
    """Rows as canonical columns.

    Raises:
        AssertionError: a row was refused.
    """
    minor_units = load_company_config(case.settings).minor_units
    with closing(EntityMapping(case.source, ENTITIES[entity], minor_units=minor_units)) as mapping:
        return _map(mapping, batches)


def _map(mapping: EntityMapping, batches: list[SourceBatch]) -> list[Row]:
    rows: list[Row] = []
    for batch in batches:
        done = mapping.map(batch)
        assert done.refused.num_rows == 0, done.refused.to_pylist()[:3]
        rows += done.good.drop_columns(["_file", "_row"]).to_pylist()
    return rows


def key_of(entity: str, row: Row) -> Key:
    return tuple(row[name] for name in ENTITIES[entity].key)


def keys(entity: str, batches: list[SourceBatch]) -> set[Key]:
    """The keys of a sweep of a source with canonical column names."""
    return {
        key_of(entity, row)
        for batch in batches
        for row in batch.table.select(list(ENTITIES[entity].key)).to_pylist()
    }


class Mirror:
    """The rows of a source that are known, entity by entity, load after load."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.rows: dict[str, dict[Key, Row]] = {}
        self.watermarks: dict[str, datetime] = {}
        self.read_whole_at: dict[str, datetime] = {}
        self._mappings: dict[str, EntityMapping] = {}

    def load(self, end: datetime) -> None:
        """One load of every entity, up to `end`."""
        source = self.case.source
        for entity in ENTITIES:
            if entity in source.entity_configs:
                # Each entity is a task of its own: it opens its own connector.
                with open_connector(source, self.case.settings) as connector:
                    self._load(source, entity, connector, end)

    def _load(self, source: SourceConfig, entity: str, connector: Connector, end: datetime) -> None:
        config = source.entity_configs[entity]
        known = self.rows.setdefault(entity, {})
        window = self._window(config, entity, end)
        arrived = _map(self._mapping(entity), list(connector.read(entity, window)))
        present: set[Key] | None = None
        if config.mode == "full":
            present = {key_of(entity, row) for row in arrived}
        elif isinstance(config, IncrementalEntity) and (config.sweep or window.start is None):
            present = keys(entity, list(connector.sweep(entity)))
        known.update((key_of(entity, row), row) for row in arrived)
        if present is not None:
            present |= {key_of(entity, row) for row in arrived}
            for key in set(known) - present:
                del known[key]
        moments = [row["updated_at"].replace(tzinfo=UTC) for row in arrived if row.get("updated_at")]
        self.watermarks[entity] = max([*moments, *filter(None, [self.watermarks.get(entity)])], default=None)  # type: ignore[type-var, assignment]
        if window.start is None:
            self.read_whole_at[entity] = end

    def _mapping(self, entity: str) -> EntityMapping:
        if entity not in self._mappings:
            minor_units = load_company_config(self.case.settings).minor_units
            self._mappings[entity] = EntityMapping(
                self.case.source, ENTITIES[entity], minor_units=minor_units
            )
        return self._mappings[entity]

    def _window(self, config: Any, entity: str, end: datetime) -> Window:
        watermark = self.watermarks.get(entity)
        if watermark is None or config.mode == "full":
            return Window(None, end)
        if config.full_every is not None and end - self.read_whole_at[entity] >= config.full_every:
            return Window(None, end)
        return Window(min(watermark, end - timedelta(days=1)) - config.overlap, end)

    def values(self, entity: str) -> list[Row]:
        return list(self.rows.get(entity, {}).values())
