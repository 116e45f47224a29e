"""Which kinds of source there are, and the source files of an installation.

A new kind is one module with a settings model and a connector, and one line in `KINDS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from receivables.entities import ENTITIES
from receivables.errors import ConfigError
from receivables.settings import Settings
from receivables.sources.bank_statements import BankStatementsConnector, BankStatementsSource
from receivables.sources.base import BATCH_ROWS, Connector
from receivables.sources.config import FilesSource, SourceConfig, SqlSource
from receivables.sources.databases import DatabaseConnector, ErpnextSource, OdooSource
from receivables.sources.databases.odoo_api import connect_odoo
from receivables.sources.ecb import EcbConnector, EcbSource
from receivables.sources.extracts import ExtractsConnector, ExtractsSource
from receivables.sources.files import FilesConnector
from receivables.sources.fxiaoke import FxiaokeConnector, FxiaokeSource
from receivables.sources.http import FIRST_ROWS
from receivables.sources.kingdee import KingdeeConnector, KingdeeSource
from receivables.sources.sql import SqlConnector
from receivables.sources.yonbip import YonbipConnector, YonbipSource
from receivables.sources.zoho_books import ZohoBooksConnector, ZohoBooksSource
from receivables.sources.zoho_crm import ZohoCrmConnector, ZohoCrmSource
from receivables.yamlfile import YamlFile, did_you_mean, parse, read_yaml

NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Kind:
    """A kind of source: what its file may say, and what reads it.

    `config` has a field `entities: dict[str, <a model of EntityConfig>]`; `connect(config, settings)` gives a
    Connector. `check_rows`: how many rows of an entity a check reads, before it has seen enough.
    """

    config: type[SourceConfig]
    connect: Callable[[Any, Settings], Connector]
    check_rows: int = BATCH_ROWS

    @property
    def entity_model(self) -> str:
        """The name of the model of one entity."""
        return str(get_args(self.config.model_fields["entities"].annotation)[1].__name__)

    @property
    def needs_entities(self) -> bool:
        """Whether a source file has to say which entities it delivers."""
        return self.config.model_fields["entities"].is_required()


KINDS: dict[str, Kind] = {
    "files": Kind(FilesSource, FilesConnector),
    "sql": Kind(SqlSource, SqlConnector),
    "erpnext": Kind(ErpnextSource, DatabaseConnector),
    "odoo": Kind(OdooSource, connect_odoo),
    "fxiaoke": Kind(FxiaokeSource, FxiaokeConnector),
    "extracts": Kind(ExtractsSource, ExtractsConnector),
    "ecb": Kind(EcbSource, EcbConnector),
    "zoho_books": Kind(ZohoBooksSource, ZohoBooksConnector, check_rows=FIRST_ROWS),
    "zoho_crm": Kind(ZohoCrmSource, ZohoCrmConnector, check_rows=FIRST_ROWS),
    "kingdee": Kind(KingdeeSource, KingdeeConnector),
    "yonbip": Kind(YonbipSource, YonbipConnector),
    "bank_statements": Kind(BankStatementsSource, BankStatementsConnector),
}


@contextmanager
def open_connector(source: SourceConfig, settings: Settings) -> Iterator[Connector]:
    """The connector of a source's kind, opened; closed on leaving."""
    connector = KINDS[source.kind].connect(source, settings)
    try:
        yield connector
    finally:
        connector.close()


def load_source(path: Path) -> SourceConfig:
    """Read one source file.

    Raises:
        ConfigError: with every fault found, each with its line and what is possible there.
    """
    if not NAME.fullmatch(path.stem):
        raise ConfigError(
            str(path),
            cause=f"the name '{path.stem}' names tables; it must be lower case letters, digits and _",
            next_step=f"rename the file, e.g. {_good_name(path.stem)}.yml",
        )
    source = read_yaml(path)
    config = parse(_kind(source).config, source)
    config._file = path
    return config


def _good_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789") or "erp"


def _kind(source: YamlFile) -> Kind:
    kind = source.data.get("kind")
    if kind not in KINDS:
        given = f"there is no kind '{kind}'{did_you_mean(str(kind), KINDS)}" if kind else "`kind` is missing"
        raise ConfigError(
            f"{source.path}:{source.line_of(('kind',))}",
            cause=given,
            next_step=f"write `kind: ` and one of {', '.join(KINDS)}",
        )
    return KINDS[kind]


def load_sources(settings: Settings) -> dict[str, SourceConfig]:
    """All source files of the installation, by name.

    Raises:
        ConfigError: a file is wrong, or two files share a name.
    """
    sources: dict[str, SourceConfig] = {}
    for path in sorted((*settings.sources_dir.glob("*.yml"), *settings.sources_dir.glob("*.yaml"))):
        if path.stem in sources:
            raise ConfigError(
                str(path),
                cause=f"{sources[path.stem].file.name} has the same name",
                next_step="give each source its own name",
            )
        sources[path.stem] = load_source(path)
    return sources


def get_source(settings: Settings, name: str) -> SourceConfig:
    """One source by name.

    Raises:
        ConfigError: there is no such source, or its file is wrong.
    """
    for ending in (".yml", ".yaml"):
        path = settings.sources_dir / f"{name}{ending}"
        if path.is_file():
            return load_source(path)
    names = sorted(path.stem for path in settings.sources_dir.glob("*.y*ml"))
    raise ConfigError(
        f"source '{name}'",
        cause=f"there is no {settings.sources_dir / name}.yml{did_you_mean(name, names)}",
        next_step=f"use one of {', '.join(names)}" if names else "write one; docs/sources.md shows how",
    )


def source_schema() -> dict[str, Any]:
    """The JSON schema of source files, for editors."""
    definitions: dict[str, Any] = {}
    schemas = []
    for name, kind in KINDS.items():
        schema = kind.config.model_json_schema(by_alias=True)
        definitions.update(schema.pop("$defs", {}))
        schema["properties"]["entities"] = {
            "type": "object",
            "additionalProperties": False,
            **({"minProperties": 1} if kind.needs_entities else {}),
            "properties": {
                entity: {
                    "allOf": [
                        {"$ref": f"#/$defs/{kind.entity_model}"},
                        {"$ref": f"#/$defs/columns_of_{entity}"},
                    ]
                }
                for entity in ENTITIES
            },
        }
        schema["properties"]["kind"] = {"const": name}
        schemas.append(schema)
    for entity in ENTITIES.values():
        definitions[f"columns_of_{entity.name}"] = {
            "properties": {
                "columns": {
                    "additionalProperties": False,
                    "properties": {column.name: {"$ref": "#/$defs/ColumnMap"} for column in entity.columns},
                }
            }
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A source of the receivables warehouse",
        "oneOf": schemas,
        "$defs": dict(sorted(definitions.items())),
    }
