"""A look at a source before the first load: does it answer, are the columns there, do the first rows fit?"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from receivables.company import CompanyConfig, check_company, load_company_config
from receivables.entities import ENTITIES
from receivables.errors import ReceivablesError
from receivables.settings import Settings
from receivables.sources.base import Connector, Explaining, Window
from receivables.sources.config import SourceConfig
from receivables.sources.kinds import KINDS, get_source, open_connector
from receivables.sources.mapping import EntityMapping

_PROBLEMS = 5


@dataclass(frozen=True)
class EntityReport:
    """One entity: what feeds each canonical column, how many rows were read, and what is wrong with some.

    `columns` maps canonical columns to their origin; `unused` are source columns that feed nothing. `rows`
    stops at the first batch of a large source: then `is_partial`. `problems` are (location, reason) of the
    first refused rows. `notes`: what the connector met where installations of its system differ.
    """

    entity: str
    mode: str
    columns: dict[str, str]
    unused: tuple[str, ...]
    rows: int
    refused: int
    is_partial: bool
    problems: tuple[tuple[str, str], ...]
    error: ReceivablesError | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_ok(self) -> bool:
        return self.error is None and self.refused == 0


@dataclass(frozen=True)
class SourceReport:
    """One source: an error of the whole (it does not answer), or a report on each entity."""

    source: str
    kind: str
    entities: tuple[EntityReport, ...] = ()
    error: ReceivablesError | None = None

    @property
    def is_ok(self) -> bool:
        return self.error is None and all(entity.is_ok for entity in self.entities)


def check_source(settings: Settings, name: str) -> SourceReport:
    """Connect to a source and read the first rows of each entity; nothing is stored.

    Raises:
        ConfigError: the source file or `receivables.yml` is wrong.
    """
    source = get_source(settings, name)
    company = load_company_config(settings)
    check_company(source, company)
    try:
        with open_connector(source, settings) as connector:
            reports = [
                _check_entity(source, entity, connector=connector, company=company)
                for entity in ENTITIES
                if entity in source.entity_configs
            ]
    except ReceivablesError as error:
        return SourceReport(name, source.kind, error=error)
    return SourceReport(name, source.kind, tuple(reports))


def _check_entity(
    source: SourceConfig, entity: str, *, connector: Connector, company: CompanyConfig
) -> EntityReport:
    mode = source.entity_configs[entity].mode
    try:
        with closing(
            EntityMapping(source, ENTITIES[entity], minor_units=company.minor_units, zones=company.zones)
        ) as mapping:
            available = connector.describe(entity)
            mapping.check_columns(available, where="its columns")
            rows, refused, enough = 0, 0, KINDS[source.kind].check_rows
            problems: list[tuple[str, str]] = []
            for batch in connector.read(entity, Window(None, datetime(2200, 1, 1, tzinfo=UTC))):
                mapping.check_columns(batch.table.column_names, where=batch.origin)
                mapped = mapping.map(batch)
                rows += mapped.good.num_rows + mapped.refused.num_rows
                refused += mapped.refused.num_rows
                problems += [
                    (row["location"], row["reason"]) for row in mapped.refused.slice(0, _PROBLEMS).to_pylist()
                ]
                if rows >= enough:
                    break
            used = set(mapping.used_columns(available))
            return EntityReport(
                entity=entity,
                mode=mode,
                columns=mapping.origins(available),
                unused=tuple(column for column in available if column not in used),
                rows=rows,
                refused=refused,
                is_partial=rows >= enough,
                problems=tuple(problems[:_PROBLEMS]),
                notes=connector.notes(entity) if isinstance(connector, Explaining) else (),
            )
    except ReceivablesError as error:
        return EntityReport(entity, mode, {}, (), 0, 0, False, (), error)
