"""What a source file (`sources/<name>.yml`) may say."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import GetJsonSchemaHandler, JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from receivables.company import CurrencyCode, TimeZone
from receivables.entities import ENTITIES, Entity
from receivables.errors import ConfigError
from receivables.settings import Settings
from receivables.yamlfile import StrictModel, unknown_key

Scalar = str | int | bool | Decimal
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _as_text(value: Any) -> Any:
    """YAML's own types as the text that a file holds: true, 12, 0.01."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float | Decimal) else value


def _duration(value: Any) -> Any:
    match = re.fullmatch(r"(\d+)\s*(d|h|m)", str(value).strip())
    if not match:
        raise ValueError("is not a duration; write days, hours or minutes, e.g. 3d, 12h, 30m")
    unit = {"d": "days", "h": "hours", "m": "minutes"}[match[2]]
    return timedelta(**{unit: int(match[1])})


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError(
            f"there is no encoding '{name}'; usual ones are utf-8-sig, gb18030, cp1252, utf-16"
        ) from None
    return name


Text = Annotated[str, BeforeValidator(_as_text), WithJsonSchema({"type": ["string", "number", "boolean"]})]
Duration = Annotated[
    timedelta, BeforeValidator(_duration), WithJsonSchema({"type": "string", "pattern": "^[0-9]+ *[dhm]$"})
]
Encoding = Annotated[str, AfterValidator(_encoding)]


class _Short(StrictModel):
    """A model that may be written as one word."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        own = handler.resolve_ref_schema(handler(schema))
        own["anyOf"] = [{"type": "object"}, *({"type": kind} for kind in cls._short_types())]
        own.pop("type", None)
        return own

    @classmethod
    def _short_types(cls) -> tuple[str, ...]:
        return ("string",)


class ColumnMap(_Short):
    """Where one canonical column comes from. A single word is `from`; null: the source does not have it."""

    from_: str | None = Field(None, alias="from", description="The column's name in the source.")
    constant: Text | None = Field(None, description="The same value in every row.")
    template: str | None = Field(None, description="A text built from columns, e.g. '{invoiceNumber}-R'.")
    values: dict[Text, Text | None] = Field(
        default_factory=dict, description="The source's words and what they mean here, e.g. {Open: posted}."
    )
    else_: Text | None = Field(None, alias="else", description="What every word outside `values` means.")
    scale: Decimal | None = Field(
        None, gt=0, le=1000, decimal_places=8, description="Factor, e.g. 0.01 for amounts in cents."
    )
    negate: bool = Field(False, description="Turn the sign.")
    absolute: bool = Field(False, description="Drop the sign.")
    round: bool = Field(
        False, description="Round half up to the currency's decimals instead of refusing the row."
    )
    formats: tuple[str, ...] = Field(
        (), description="Date formats of this column, tried in order, e.g. ['%d.%m.%Y']."
    )
    timezone: TimeZone | None = Field(
        None, description="Of timestamps without an offset; default: the source's."
    )
    from_terms: Text | None = Field(
        None, description="A date = `base` + days: the column that holds the days, or a number."
    )
    base: str | None = Field(None, description="The canonical date column that `from_terms` counts from.")
    required: bool = Field(
        False, description="Refuse a row without a value here, although the entity does without."
    )
    absent: bool = Field(
        False, description="The source does not have this column, whatever its names suggest."
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if value is None:
            return {"absent": True}
        if isinstance(value, str):
            return {"from": value}
        if isinstance(value, bool | int | float):
            raise ValueError(
                f"write `{{constant: {_as_text(value)}}}` for a fixed value, or the name of a column"
            )
        return value

    @model_validator(mode="after")
    def _has_one_origin(self) -> ColumnMap:
        origins = [
            name
            for name, value in (
                ("from", self.from_),
                ("constant", self.constant),
                ("template", self.template),
            )
            if value is not None
        ]
        if len(origins) > 1:
            raise ValueError(f"{' and '.join(origins)} cannot stand together: choose one")
        if not origins and self.from_terms is None and not self.absent:
            raise ValueError(
                "says not where the value comes from: give from, constant, template or from_terms"
            )
        if self.required and self.absent:
            raise ValueError("required and absent cannot stand together: choose one")
        if self.negate and self.absolute:
            raise ValueError("negate and absolute cannot stand together: choose one")
        return self

    @classmethod
    def _short_types(cls) -> tuple[str, ...]:
        return ("string", "null")

    @property
    def template_columns(self) -> tuple[str, ...]:
        return tuple(re.findall(r"\{([^{}]+)\}", self.template or ""))


class Condition(_Short):
    """Which rows to keep, by one column. The words `blank` and `not_blank` stand for themselves."""

    blank: bool | None = Field(
        None, description="true: only rows where it is empty; false: only where it is not."
    )
    equals: Text | None = None
    not_equals: Text | None = None
    in_: tuple[Text, ...] = Field((), alias="in")
    not_in: tuple[Text, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in {"blank", "not_blank"}:
                raise ValueError(
                    f"'{value}' is not a condition; write blank, not_blank, {{equals: …}} or {{in: [a, b]}}"
                )
            return {"blank": value == "blank"}
        return value

    @model_validator(mode="after")
    def _says_something(self) -> Condition:
        if (self.blank, self.equals, self.not_equals, self.in_, self.not_in) == (None, None, None, (), ()):
            raise ValueError("says nothing; write blank, not_blank, {equals: …} or {in: [a, b]}")
        return self


class Parsing(StrictModel):
    """How texts become dates and numbers. At the source for all entities, at an entity for that one."""

    date_formats: tuple[str, ...] | None = Field(
        None,
        description="Tried in order, e.g. ['%m/%d/%Y', '%Y%m%d']; default: ISO 2019-01-30."
        " %Y%m%d takes 20190130.0 too.",
    )
    timestamp_formats: tuple[str, ...] | None = Field(None, description="Tried in order; default: ISO 8601.")
    decimal: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        None, description="Decimal separator; default '.'."
    )
    thousands: Annotated[str, Field(max_length=1)] | None = Field(
        None, description="Thousands separator; default none."
    )
    nulls: tuple[Text, ...] | None = Field(
        None, description="Words that mean 'no value', e.g. ['NaN', 'NULL']."
    )


class FileFormat(StrictModel):
    """How a file is laid out. At the source for all entities, at an entity for that one."""

    format: Literal["csv", "parquet", "excel"] | None = Field(
        None, description="Default: by the file's ending."
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        None, description="Default ','."
    )
    encoding: Encoding | None = Field(
        None, description="Default utf-8 (with or without BOM); Chinese Excel: gb18030."
    )
    quote: Annotated[str, Field(max_length=1)] | None = Field(None, description="Default '\"'; '' for none.")
    skip_rows: int | None = Field(None, ge=0, description="Lines above the header.")
    sheet: str | int | None = Field(
        None, description="Excel sheet, by name or number from 1; default the first."
    )


class EntityConfig(Parsing):
    """One canonical entity: how its columns come from the source."""

    mode: Literal["full", "incremental"] = Field(
        "full", description="full notices removals; incremental reads only what changed."
    )

    columns: dict[str, ColumnMap] = Field(
        default_factory=dict,
        description="Canonical column: where it comes from. Columns of the same name need no line.",
    )
    where: dict[str, Condition] = Field(default_factory=dict, description="Rows to take, by source column.")
    distinct: bool = Field(
        False, description="Rows repeat (a wide file): keep one of identical ones, and say nothing."
    )
    allow_empty: bool = Field(
        False, description="An extract without rows is no fault, even if rows were there before."
    )


class FileEntity(EntityConfig, FileFormat):
    """One canonical entity in files."""

    path: str = Field(description="A file, a folder or a glob; relative to `base`. ${VARIABLE} is allowed.")

    @field_validator("mode")
    @classmethod
    def _is_full(cls, mode: str) -> str:
        if mode != "full":
            raise ValueError("files are always read in full; take the line out")
        return mode


class IncrementalEntity(EntityConfig):
    """One canonical entity that can be read by what changed. Any kind may use it or narrow it."""

    cursor: str | None = Field(None, description="The column that says when a row last changed.")
    overlap: Duration = Field(
        timedelta(days=3), description="How far before the last load an incremental read starts, e.g. 3d."
    )
    sweep: bool = Field(False, description="incremental: read all keys each time, to notice removed rows.")
    full_every: Duration | None = Field(
        None,
        description="incremental: read everything again when the last full read is this long ago, e.g. 7d.",
    )

    @model_validator(mode="after")
    def _has_a_cursor(self) -> IncrementalEntity:
        if self.mode == "incremental" and not self.cursor:
            raise ValueError("mode incremental needs `cursor`: the column that says when a row last changed")
        return self


class WindowedEntity(IncrementalEntity):
    """One canonical entity whose years can be read window by window of its cursor."""

    first_load_from: date | None = Field(
        None,
        description="incremental: read from the beginning in windows: all before this day, then step by step."
        " An attempt that breaks off is taken up behind the last whole window.",
    )
    first_load_step: Duration = Field(timedelta(days=90), description="The length of a window, e.g. 90d.")

    @model_validator(mode="after")
    def _has_windows(self) -> WindowedEntity:
        if self.first_load_from is not None and self.mode != "incremental":
            raise ValueError("first_load_from needs `mode: incremental`: windows are stretches of the cursor")
        if self.first_load_step < timedelta(days=1):
            raise ValueError("first_load_step must be a day or more, e.g. 90d")
        return self


class SqlEntity(WindowedEntity):
    """One canonical entity in a database."""

    table: str | None = Field(None, description="A table or view, with its schema if needed.")
    query: str | None = Field(None, description="A select, instead of `table`.")

    @model_validator(mode="after")
    def _is_consistent(self) -> SqlEntity:
        if (self.table is None) == (self.query is None):
            raise ValueError("needs either `table` or `query`")
        return self


class ServerConnection(_Short):
    """Where a database server is. One word is a whole address, out of a variable: ${ERP_URL}."""

    url: str | None = Field(
        None, description="A whole address, <engine>://user:password@host:port/database, as ${VARIABLE}."
    )
    airflow_connection: str | None = Field(
        None, description="An Airflow connection, read from AIRFLOW_CONN_<ID>."
    )
    host: str | None = None
    port: Text | None = None
    database: str | None = None
    user: str | None = None
    password: str | None = Field(None, description="Only as ${VARIABLE}: secrets never stand in a file.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_complete(self) -> ServerConnection:
        for name in ("url", "password"):
            value = getattr(self, name)
            if value is not None and not VARIABLE.fullmatch(value):
                raise _fault(
                    f"{name} stands in the file; put it in an environment variable and write ${{NAME}} here",
                    (name,),
                )
        ways = [self.url is not None, self.airflow_connection is not None, self.host is not None]
        if sum(ways) != 1:
            raise ValueError("needs one of url, airflow_connection, or host with database, user and password")
        if self.host is not None:
            for name in ("database", "user"):
                if getattr(self, name) is None:
                    raise ValueError(f"needs `{name}` beside host")
        return self


class PostgresConnection(ServerConnection):
    """Where a PostgreSQL server is."""

    port: Text = "5432"
    sslmode: str | None = None


class MysqlConnection(ServerConnection):
    """Where a MariaDB or MySQL server is."""

    port: Text = "3306"
    socket: str | None = Field(None, description="Path of a Unix socket, instead of the network.")
    ssl_ca: str | None = Field(None, description="The authority that signed the server's certificate.")


class Connection(StrictModel):
    """The database of a `sql` source: one of these."""

    sqlite: str | None = Field(None, description="Path of the SQLite file; ${VARIABLE} is allowed.")
    postgresql: PostgresConnection | None = None
    mysql: MysqlConnection | None = Field(None, description="MariaDB or MySQL.")

    @model_validator(mode="after")
    def _is_one(self) -> Connection:
        if sum(one is not None for one in (self.sqlite, self.postgresql, self.mysql)) != 1:
            raise ValueError("needs one of `sqlite`, `postgresql` and `mysql`")
        return self


class RefusedLimit(StrictModel):
    """How many rows of an entity one load may refuse: past both limits the day is not published."""

    share: Decimal = Field(
        Decimal("0.2"), ge=0, le=1, description="Of the rows of the load; default 0.2. 0: only `rows` counts."
    )
    rows: int = Field(4, ge=0, description="So many never stop a day; default 4.")


class SourceConfig(Parsing):
    """One source system. What every kind has; `name` is the file's name."""

    kind: str
    description: str | None = None
    default_company_id: str | None = Field(None, description="The company of rows that name none.")
    default_currency_code: CurrencyCode | None = Field(
        None, description="The currency of rows that name none."
    )
    timezone: TimeZone = Field(
        "UTC", description="Of its timestamps; ends the day of companies that name none."
    )
    allocation: Literal["fifo", "pro_rata"] = Field(
        "fifo", description="How a payment fills instalments when the source does not say."
    )
    refused_limit: RefusedLimit = Field(
        default_factory=RefusedLimit,
        description="More refused rows stop the day: not the rows are wrong, but a mapping or format.",
    )
    _file: Path = PrivateAttr(default=Path())

    @property
    def name(self) -> str:
        return self._file.stem

    @property
    def file(self) -> Path:
        return self._file

    @property
    def entity_configs(self) -> dict[str, EntityConfig]:
        """The entities it delivers, by canonical name."""
        return dict(self.entities)  # type: ignore[attr-defined]

    @model_validator(mode="after")
    def _entities_are_canonical(self) -> SourceConfig:
        for name, config in self.entity_configs.items():
            if name not in ENTITIES:
                raise _at(("entities",), unknown_key(name, ENTITIES, what="entity"))
            _check_columns(ENTITIES[name], config)
        return self


class FilesSource(SourceConfig, FileFormat):
    """A source of files: CSV, Parquet or Excel."""

    kind: Literal["files"]
    base: str | None = Field(
        None, description="Folder that paths start from; default: this file's own folder."
    )
    entities: dict[str, FileEntity] = Field(min_length=1)


class SqlSource(SourceConfig):
    """A database."""

    kind: Literal["sql"]
    connection: Connection
    entities: dict[str, SqlEntity] = Field(min_length=1)


def _at(prefix: tuple[str, ...], error: PydanticCustomError) -> PydanticCustomError:
    context = dict(error.context or {})
    context["at"] = (*prefix, *context.get("at", ()))
    return PydanticCustomError(error.type, error.message_template, context)  # type: ignore[arg-type]


def _fault(message: str, at: tuple[str, ...]) -> PydanticCustomError:
    return PydanticCustomError("value_error", "{text}", {"text": message, "at": at})


def _check_columns(entity: Entity, config: EntityConfig) -> None:
    for name, mapping in config.columns.items():
        here = ("entities", entity.name, "columns", name)
        if name not in entity.column_names:
            raise _at(here[:3], unknown_key(name, entity.column_names, what=f"column of {entity.name}"))
        column = entity.column(name)
        where = f"entities.{entity.name}.columns.{name}"
        if column.type not in {"amount", "rate"} and (
            mapping.scale or mapping.negate or mapping.absolute or mapping.round
        ):
            raise _fault(
                f"{where}: scale, negate, absolute and round are for amounts; this is a {column.type}", here
            )
        if mapping.formats and column.type not in {"date", "timestamp"}:
            raise _fault(f"{where}: formats are for dates; this is a {column.type}", (*here, "formats"))
        if column.required and mapping.absent:
            raise _fault(f"{where}: is required, it cannot be left out", here)
        if mapping.from_terms is not None:
            _check_terms(entity, column.type, mapping, where=where, at=here)


def _check_terms(entity: Entity, kind: str, mapping: ColumnMap, *, where: str, at: tuple[str, ...]) -> None:
    if kind != "date":
        raise _fault(f"{where}: from_terms gives a date; this is a {kind}", (*at, "from_terms"))
    base = mapping.base or document_date(entity)
    if base not in entity.column_names or entity.column(base).type != "date":
        dates = [column.name for column in entity.columns if column.type == "date"]
        raise _fault(
            f"{where}: base '{base}' is not a date of {entity.name}; possible are {', '.join(dates)}", at
        )


def document_date(entity: Entity) -> str:
    """The date column that terms count from: the first required date of the entity."""
    return next(column.name for column in entity.columns if column.type == "date" and column.required)


def expand(text: str, settings: Settings, *, what: str) -> str:
    """Replace ${VARIABLE}s; RECEIVABLES_HOME and RECEIVABLES_ROOT always have a value.

    Raises:
        ConfigError: variables are not set; all of them are named.
    """
    return expand_all({"": text}, settings, what=what)[""]


def expand_all(texts: dict[str, str], settings: Settings, *, what: str) -> dict[str, str]:
    """`expand` for several texts: variables that are missing in any of them are named at once."""
    values = {"RECEIVABLES_HOME": str(settings.home), "RECEIVABLES_ROOT": str(settings.root), **os.environ}
    require_variables({name for text in texts.values() for name in VARIABLE.findall(text)}, values, what=what)
    return {key: VARIABLE.sub(lambda match: values[match[1]], text) for key, text in texts.items()}


def require_variables(names: Iterable[str], values: dict[str, str], *, what: str) -> None:
    """Check that all of these environment variables are set and not empty.

    Raises:
        ConfigError: naming every one that is not.
    """
    missing = sorted(name for name in names if not values.get(name))
    if missing:
        raise ConfigError(
            what,
            cause=f"environment variable{'s' if len(missing) > 1 else ''} not set: {', '.join(missing)}",
            next_step="export them (or put them into the service's environment file), then start again",
        )
