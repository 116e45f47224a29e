"""Extracts of a known system: a folder with the system's own tables as CSV, Parquet or Excel files.

The tables are put into a DuckDB database in memory, every column as text; the system's preset then asks it
for one canonical entity after the other. What a table or column means is in `systems/<system>/*.sql`, to be
read and, with `queries`, to be replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from receivables.company import CompanyConfig, load_company_config
from receivables.errors import ConfigError, PermanentError
from receivables.settings import Settings
from receivables.sources.base import BATCH_ROWS, SourceBatch, UnreadableRow, Window
from receivables.sources.config import (
    EntityConfig,
    FileEntity,
    FileFormat,
    FilesSource,
    SourceConfig,
    Text,
    _at,
    expand_all,
)
from receivables.sources.files import FilesConnector
from receivables.sources.mapping import identifier, literal
from receivables.sources.own_balance import ENTITY as OWN_BALANCE
from receivables.sources.own_balance import last_day
from receivables.sources.systems import Preset, load_preset, read_queries, relations
from receivables.yamlfile import did_you_mean, unknown_key

log = logging.getLogger(__name__)

_ENDINGS = (".csv", ".txt", ".tsv", ".parquet", ".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
# An extract that suddenly has none of these is broken; the others come and go.
_NEVER_EMPTIED = ("customers", "invoices", "receipts", "applications")
# What the queries give is canonical text, whatever the files look like.
_CANONICAL: dict[str, Any] = {
    "date_formats": (),
    "timestamp_formats": (),
    "decimal": ".",
    "thousands": "",
    "nulls": (),
}


class ExtractEntity(EntityConfig):
    """One canonical entity of a system: only what shall differ from the preset."""

    @field_validator("mode")
    @classmethod
    def _is_full(cls, mode: str) -> str:
        if mode != "full":
            raise ValueError("extracts are always read in full; take the line out")
        return mode


class ExtractsSource(SourceConfig, FileFormat):
    """Tables of a known system, as files in a folder."""

    kind: Literal["extracts"]
    system: Literal["netsuite", "quickbooks", "sage_intacct", "sap", "stripe", "xero"] = Field(
        description="Whose tables these are."
    )
    folder: str = Field(description="The folder with the tables. ${VARIABLE} is allowed.")
    files: str = Field(
        "{table}",
        description="How a table's file or folder is called, without its ending; {table} is the table.",
    )
    tables: dict[str, str] = Field(
        default_factory=dict,
        description="A table: its file, folder or glob in `folder`, where `files` does not fit.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="What the system leaves to its users; see the system's page in docs/.",
    )
    companies: dict[Text, Text] = Field(
        default_factory=dict,
        description="The source's own company code (subsidiary): the company in receivables.yml.",
    )
    queries: str | None = Field(
        None, description="A folder with own .sql files that replace the shipped ones of the same name."
    )
    leave_out: tuple[str, ...] = Field((), description="Entities that another source delivers.")
    entities: dict[str, ExtractEntity] = Field(
        default_factory=dict, description="Only where something differs from the preset."
    )

    @property
    def preset(self) -> Preset:
        return load_preset(self.system)

    @property
    def entity_configs(self) -> dict[str, EntityConfig]:
        """Every entity of the system that is not left out; the system's own balance where it is named."""
        return {
            name: self.entities.get(
                name, ExtractEntity.model_validate({"allow_empty": name not in _NEVER_EMPTIED})
            ).model_copy(update=_CANONICAL | ({"mode": "incremental"} if name == OWN_BALANCE else {}))
            for name in self.preset.entities
            if name not in self.leave_out and (name != OWN_BALANCE or name in self.entities)
        }

    @property
    def choices(self) -> dict[str, Any]:
        """The value of every option."""
        defaults = {name: option.default for name, option in self.preset.options.items()}
        return defaults | {
            name: defaults[name] | value if isinstance(value, dict) else value
            for name, value in self.options.items()
        }

    @model_validator(mode="after")
    def _names_are_known(self) -> ExtractsSource:
        preset = self.preset
        for name in self.tables:
            if name not in preset.tables:
                raise _at(("tables",), unknown_key(name, preset.tables, what="table"))
        for name in (*self.entities, *self.leave_out):
            if name not in preset.entities:
                raise ValueError(
                    f"{self.system} has no entity '{name}'{did_you_mean(name, preset.entities)};"
                    f" it has {', '.join(preset.entities)}"
                )
        for name, value in self.options.items():
            if name not in preset.options:
                raise _at(("options",), unknown_key(name, preset.options, what="option"))
            _check_option(name, value, preset)
        return self


def _check_option(name: str, value: Any, preset: Preset) -> None:
    option = preset.options[name]
    kinds = {list: "a list", dict: "a map", str: "a word"}
    kind = type(option.default)
    if not isinstance(value, kind):
        raise ValueError(f"options.{name} must be {kinds[kind]}: {option.description}")
    words = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
    for word in words:
        if option.one_of and word not in option.one_of:
            raise ValueError(f"options.{name}: '{word}' is none of {', '.join(option.one_of)}")
        if not isinstance(word, str):
            raise ValueError(f"options.{name}: write {word!r} as text, in quotes")


class ExtractsConnector:
    """Reads the tables of one system and answers with canonical entities."""

    def __init__(self, source: ExtractsSource, settings: Settings) -> None:
        self.source = source
        self._what = f"source {source.name}"
        texts = {"folder": source.folder, **({"queries": source.queries} if source.queries else {})}
        expanded = expand_all(texts, settings, what=f"{self._what} ({source.file})")
        here = source.file.parent.resolve()
        self._folder = here / Path(expanded["folder"]).expanduser()
        self._preset = source.preset
        if "queries" in expanded:
            self._preset = self._preset.with_queries(self._own_queries(here / Path(expanded["queries"])))
        self._paths = {name: path for name in self._preset.tables if (path := self._path(name)) is not None}
        self._reader = self._files(settings)
        self._made: set[str] = set()
        self._unreadable: dict[str, list[UnreadableRow]] = {}
        self._connection = self._database(load_company_config(settings))
        self._check_tables()

    def close(self) -> None:
        """Let go of the in-memory database."""
        self._connection.close()

    def describe(self, entity: str) -> tuple[str, ...]:
        """The canonical columns that the system's query gives."""
        self._prepare(self._query(entity))
        result = self._connection.execute(f"select * from ({self._query(entity)}) limit 0")  # noqa: S608
        return tuple(column[0] for column in result.description or ())

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """Every row of the entity; of balances that of the window's last day."""
        if entity == OWN_BALANCE:
            day = last_day(window, ZoneInfo(self.source.timezone))
            self._connection.execute(f"set variable business_day = date '{day}'")
        query = self._query(entity)
        unreadable = tuple(self._prepare(query))
        reader = self._connection.execute(query).to_arrow_reader(BATCH_ROWS)
        first = 1
        for batch in reader:
            table = pa.Table.from_batches([batch])
            yield SourceBatch(
                table, f"{self.source.system} {entity}", range(first, first + table.num_rows), unreadable
            )
            first, unreadable = first + table.num_rows, ()
        if unreadable:
            empty = reader.schema.empty_table()
            yield SourceBatch(empty, f"{self.source.system} {entity}", range(0), unreadable)

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """An extract holds what is there: the same as reading it."""
        yield from self.read(entity, Window(None, _FOREVER))

    # --- the tables ---

    def _path(self, table: str) -> str | None:
        """The file, folder or glob of a table, None if there is none."""
        if table in self.source.tables:
            return str(self._folder / self.source.tables[table])
        if not self._folder.is_dir():
            raise PermanentError(
                f"{self._what}: {self._folder}",
                cause="there is no such folder",
                next_step=f"put the extract there, or correct `folder` in {self.source.file.name}",
            )
        wanted = self.source.files.replace("{table}", table).lower()
        for child in sorted(self._folder.iterdir()):
            name = child.name.lower()
            if name == wanted or (child.is_file() and name in {wanted + ending for ending in _ENDINGS}):
                return str(child)
        return None

    def _check_tables(self) -> None:
        """Every missing table is named at once, each with what it is for."""
        missing = []
        for table in self._preset.tables.values():
            if table.name in self._paths:
                continue
            spared = any(self.source.choices.get(name) == value for name, value in table.unless.items())
            if table.is_required and not spared:
                ways = "".join(f", or set options.{name}: {value}" for name, value in table.unless.items())
                missing.append(f"{table.name}{ways}")
            elif table.without:
                log.info("%s: no table %s: %s", self._what, table.name, table.without)
        if missing:
            names = sorted(child.name for child in self._folder.iterdir())
            raise PermanentError(
                f"{self._what}: {self._folder}",
                cause=f"these tables of {self.source.system} are missing: {'; '.join(missing)}."
                f" The folder holds {', '.join(names[:40]) or 'nothing'}",
                next_step=f"deliver them, or say how their files are called: `files` or `tables` in"
                f" {self.source.file.name}",
            )

    def _files(self, settings: Settings) -> FilesConnector:
        """The reader of files, with the tables in the place of entities."""
        layout = {name: getattr(self.source, name) for name in FileFormat.model_fields}
        source = FilesSource.model_construct(
            kind="files",
            entities={name: FileEntity(path=path) for name, path in self._paths.items()},
            **layout,
        )
        source._file = self.source.file
        return FilesConnector(source, settings)

    def _load(self, table: str) -> None:
        """Put a table into the database: the columns that the preset reads, as text, empty text as null."""
        given = self._preset.tables[table]
        columns = ", ".join(f"{identifier(column)} varchar" for column in given.columns)
        self._connection.execute(f"create table {identifier(table)} ({columns})")
        self._unreadable[table] = []
        if table not in self._paths:
            return
        try:
            present = {name.lower(): name for name in self._reader.describe(table)}
            self._check_columns(table, present)
            for batch in self._reader.read(table, Window(None, _FOREVER)):
                self._unreadable[table] += batch.unreadable
                self._insert(table, batch.table)
        except PermanentError as error:
            raise _in_our_words(error, table) from error

    def _insert(self, table: str, rows: pa.Table) -> None:
        present = {name.lower(): name for name in rows.column_names}
        nulls = ", ".join(literal(word) for word in (self.source.nulls or ()))
        chosen = []
        for column in self._preset.tables[table].columns:
            if column not in present:
                chosen.append("null")
                continue
            text = f"trim(cast({identifier(present[column])} as varchar), ' \t\r\n\u00a0\u3000')"
            text = f"nullif({text}, '')"
            chosen.append(f"case when {text} in ({nulls}) then null else {text} end" if nulls else text)
        self._connection.register("arrived", rows)
        self._connection.execute(
            f"insert into {identifier(table)} select {', '.join(chosen)} from arrived"  # noqa: S608
        )
        self._connection.unregister("arrived")

    def _check_columns(self, table: str, present: dict[str, str]) -> None:
        missing = [name for name in self._preset.tables[table].required_columns if name not in present]
        if missing:
            raise PermanentError(
                f"{self._what}, table {table}: {self._paths[table]}",
                cause=f"these columns are missing: {', '.join(missing)}."
                f" The columns there are: {', '.join(present.values())}",
                next_step="deliver them: they keep the names that the system gives them",
            )

    # --- the queries ---

    def _own_queries(self, folder: Path) -> dict[str, str]:
        own = read_queries(folder)
        if not own:
            raise ConfigError(
                f"{self._what}: {folder}",
                cause="holds no .sql file",
                next_step=f"put own queries there, or take `queries` out of {self.source.file.name}",
            )
        return own

    def _query(self, entity: str) -> str:
        return self._preset.queries[entity]

    def _prepare(self, query: str) -> list[UnreadableRow]:
        """Make everything that a query reads; return the rows of its tables that could not be read."""
        unreadable: dict[str, list[UnreadableRow]] = {}
        for name in relations(query):
            if name in self._preset.tables:
                if name not in self._made:
                    self._load(name)
                    self._made.add(name)
                unreadable[name] = self._unreadable[name]
            elif name in self._preset.queries:
                step = self._preset.queries[name]
                below = self._prepare(step)
                if name not in self._made:
                    self._connection.execute(f"create temp table {identifier(name)} as {step}")
                    self._made.add(name)
                unreadable[name] = below
        return list(dict.fromkeys(row for rows in unreadable.values() for row in rows))

    def _database(self, config: CompanyConfig) -> duckdb.DuckDBPyConnection:
        """An empty database in memory with the macros and variables that the queries use."""
        connection = duckdb.connect(config={"threads": "2"})
        for statement in ("set timezone = 'UTC'", "set enable_progress_bar = false", *self._macros()):
            connection.execute(statement)
        for name, value in self.source.choices.items():
            connection.execute(f"set variable {name} = {_value(value)}")
        currencies = {company.company_id: company.currency_code for company in config.companies}
        connection.execute(f"set variable company_currencies = {_value(currencies)}")
        connection.execute(f"set variable default_company = {literal(self.source.default_company_id or '')}")
        connection.execute("set variable business_day = cast(null as date)")
        for table in self._preset.tables:
            connection.execute(f"set variable has_{table} = {str(table in self._paths).lower()}")
        return connection

    def _macros(self) -> tuple[str, ...]:
        decimal, thousands = self.source.decimal or ".", self.source.thousands or ""
        plain = "trim(given)"
        if thousands:
            plain = f"replace({plain}, {literal(thousands)}, '')"
        if decimal != ".":
            plain = f"replace({plain}, {literal(decimal)}, '.')"
        bare = f"try_cast(rtrim(ltrim({plain}, '('), '-)') as decimal(38, 10))"
        dates = ", ".join(map(literal, (*(self.source.date_formats or ()), *_DATES)))
        moments = ", ".join(map(literal, (*(self.source.timestamp_formats or ()), *_MOMENTS)))
        companies = _value({str(key): str(value) for key, value in self.source.companies.items()})
        return (
            # '12-' and '(12)' are negative; what is no number is null.
            f"create macro number_of(given) as case when trim(given) like '%-' or trim(given) like '(%'"
            f" then -{bare} else {bare} end",
            # '0' and '00000000' are how some systems write no date.
            f"create macro date_of(given) as case when trim(given, '0 ') <> ''"
            f" then cast(try_strptime(regexp_replace(trim(given), '\\.0$', ''), [{dates}]) as date) end",
            "create macro moment_of(given) as try_strptime(regexp_replace(regexp_replace(trim(given),"
            f" ' *(UTC|Z|[+]00:?00)$', ''), '(\\d)T(\\d)', '\\1 \\2'), [{moments}])",
            "create macro stamp(moment) as strftime(moment, '%Y-%m-%dT%H:%M:%S')",
            "create macro utc(moment) as strftime(moment, '%Y-%m-%dT%H:%M:%S.%fZ')",
            "create macro is_true(given) as lower(coalesce(given, ''))"
            " in ('true', 't', 'yes', 'y', '1', 'x')",
            # What cannot be read stays as it was: its row is refused with what stands there.
            "create macro day_text(given) as coalesce(cast(date_of(given) as varchar), given)",
            "create macro amount_text(amount, given) as coalesce(cast(amount as varchar), given)",
            # By how much the table's two decimals have to be moved for a currency with that many decimals.
            "create macro power10(decimals) as case cast(number_of(decimals) as integer) when 0 then 100.0000"
            " when 1 then 10.0000 when 3 then 0.1000 when 4 then 0.0100 when 5 then 0.0010 else 1.0000 end",
            f"create macro company_of(code) as {companies}[code]",
            "create macro owner_of(company) as coalesce(company, nullif(getvariable('default_company'), ''))",
            # An open amount in the company's currency; null where its rate is not known.
            "create macro booked(amount, currency, rate, company) as round(amount * case"
            " when currency is null or currency = getvariable('company_currencies')[owner_of(company)] then 1"
            " else number_of(cast(rate as varchar)) end, 2)",
        )


_FOREVER = datetime.max.replace(tzinfo=UTC)
_DATES = ("%Y%m%d", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.%f")
_MOMENTS = (
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y%m%d",
    "%Y%m%d%H%M%S",
)


def _value(value: Any) -> str:
    """A word, list or map as SQL."""
    if isinstance(value, dict):
        keys, values = ", ".join(map(literal, value)), ", ".join(map(literal, value.values()))
        return f"map([{keys}]::varchar[], [{values}]::varchar[])"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]::varchar[]"
    return literal(str(value))


def _in_our_words(error: PermanentError, table: str) -> PermanentError:
    """The error of the file reader, whose settings are called otherwise here."""
    next_step = error.next_step.replace(f"entities.{table}.path", f"tables.{table}")
    next_step = next_step.replace(f"at entities.{table} or ", "").replace(f" at entities.{table}", "")
    return PermanentError(error.what, cause=error.cause, next_step=next_step)
