"""Systems that are read from their own database: ERPNext and Odoo.

What their tables mean is SQL, one query per canonical entity, in `<system>/<entity>.sql`: to be read, and
with `query` to be replaced. The queries are templates: `has(table, column)` asks the database's catalogue,
because versions of a system differ in their columns, and `note(text)` says which one was met.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

import jinja2
from pydantic import Field, model_validator

from receivables.entities import ENTITIES
from receivables.errors import PermanentError
from receivables.settings import Settings
from receivables.sources.base import SourceBatch, Window
from receivables.sources.config import (
    ColumnMap,
    Duration,
    MysqlConnection,
    PostgresConnection,
    SourceConfig,
    Text,
    WindowedEntity,
)
from receivables.sources.credentials import Credentials
from receivables.sources.http import Limits
from receivables.sources.mapping import literal
from receivables.sources.own_balance import ENTITY as OWN_BALANCE
from receivables.sources.own_balance import last_day
from receivables.sources.presets import Shape, with_preset
from receivables.sources.sql import SqlConnector
from receivables.yamlfile import StrictModel

FOLDER = Path(__file__).resolve().parent


class DatabaseEntity(WindowedEntity):
    """One canonical entity of the system: only what shall differ from the shipped query."""

    cursor: str | None = "updated_at"
    sweep: bool = Field(True, description="Read all keys each time, to notice removed rows.")
    full_every: Duration | None = Field(
        timedelta(days=7),
        description="incremental: read everything again when the last full read is this old; the system"
        " changes some rows without moving their time of change.",
    )
    query: str | None = Field(None, description="A select of your own, instead of the shipped one.")

    @property
    def table(self) -> None:
        """There is none: each entity is a query."""


@dataclass(frozen=True)
class System:
    """One system: its entities with the way they are read, and the tables that it cannot be without."""

    name: str
    modes: Mapping[str, str]
    needs: Mapping[str, str]

    def shapes(self) -> dict[str, Shape]:
        """The entities as a preset."""
        return {
            entity: Shape(origin=entity, picks={}, mode=self.modes[entity])
            for entity in ENTITIES
            if entity in self.modes
        }


ERPNEXT = System(
    "erpnext",
    {
        "customers": "incremental",
        "invoices": "incremental",
        "instalments": "incremental",
        "credit_memos": "incremental",
        "receipts": "incremental",
        # From the payment ledger as it stands: rows that are unlinked or rebuilt are gone from it.
        "applications": "full",
        "adjustments": "full",
        "credit_limits": "full",
        "exchange_rates": "full",
        OWN_BALANCE: "incremental",
    },
    {
        "tabSales Invoice": "this is no database of an ERPNext site",
        "tabPayment Ledger Entry": "the payment ledger came with version 14; older versions have none",
    },
)


ODOO = System(
    "odoo",
    {
        "customers": "incremental",
        "invoices": "incremental",
        "instalments": "incremental",
        "credit_memos": "incremental",
        "receipts": "incremental",
        # From the partial reconciles as they stand: one that is undone is deleted there.
        "applications": "full",
        "adjustments": "full",
        "exchange_rates": "full",
        OWN_BALANCE: "incremental",
    },
    {
        "account_move": "this is no database of an Odoo with accounting",
        "account_partial_reconcile": "this is no database of an Odoo with accounting",
    },
)


class OdooAuth(Credentials):
    """The key of a user: Preferences, Account Security, New API Key."""

    CONNECTION_FIELDS: ClassVar[dict[str, str]] = {"api_key": "password"}

    api_key: str | None = "${ODOO_API_KEY}"


class OdooApi(StrictModel):
    """Where the JSON-2 API is."""

    url: str = Field(description="https://erp.example.com")
    database: str | None = Field(None, description="Needed where one address serves several databases.")
    auth: OdooAuth = OdooAuth()
    limits: Limits = Limits()
    page_rows: int = Field(2_000, ge=1, le=20_000, description="Rows of one answer.")


class ErpnextConnection(StrictModel):
    """The site's database: one of these."""

    mysql: MysqlConnection | None = Field(None, description="MariaDB, the usual one.")
    postgresql: PostgresConnection | None = None

    @property
    def sqlite(self) -> None:
        """ERPNext keeps no site in SQLite."""

    @model_validator(mode="after")
    def _is_one(self) -> ErpnextConnection:
        if (self.mysql is None) == (self.postgresql is None):
            raise ValueError("needs either `mysql` or `postgresql`")
        return self


class DatabaseSource(SourceConfig):
    """A system that is read from its own database."""

    companies: dict[Text, Text] = Field(
        default_factory=dict,
        description="The system's names of companies and ours, e.g. {Huadong Precision: HD-CN}.",
    )
    without: tuple[str, ...] = Field((), description="Entities that are not read.")
    entities: dict[str, DatabaseEntity] = Field(default_factory=dict)

    @property
    def system(self) -> System:
        """What is known of the system."""
        return SYSTEMS[self.kind]

    @property
    def options(self) -> dict[str, tuple[str, ...]]:
        """What the queries may ask of the source file."""
        return {}

    @model_validator(mode="after")
    def _has_its_entities(self) -> DatabaseSource:
        shapes = SYSTEMS[self.kind].shapes()
        asked_for = self.entities.get(OWN_BALANCE)
        if asked_for is None or asked_for.query is not None:
            del shapes[OWN_BALANCE]
        for name, config in self.entities.items():
            if name not in shapes and config.query is None:
                raise ValueError(f"entities.{name} needs `query`: none is shipped for {self.kind}")
        completed = with_preset(
            self.entities, shapes, without=self.without, model=DatabaseEntity, origin=None
        )
        for name, config in completed.items():
            # What is read whole needs no cursor, and has perhaps none.
            is_whole = config.mode == "full" and "cursor" not in config.model_fields_set
            changes: dict[str, object] = {"cursor": None} if is_whole else {}
            if name == OWN_BALANCE and config.query is None:
                changes = {"cursor": None, "sweep": False, "full_every": None}
            if (
                self.companies
                and "company_id" in ENTITIES[name].column_names
                and "company_id" not in config.columns
            ):
                ours = ColumnMap.model_validate({"from": "company_id", "values": self.companies})
                changes["columns"] = {**config.columns, "company_id": ours}
            self.entities[name] = config.model_copy(update=changes)
        for name in set(self.entities) - set(completed):
            del self.entities[name]
        return self


class ErpnextSource(DatabaseSource):
    """An ERPNext site, through its database. `timezone` is the site's: its times have none."""

    kind: Literal["erpnext"]
    connection: ErpnextConnection


class OdooConnection(StrictModel):
    """The database of an Odoo, or its JSON-2 API: one of these."""

    postgresql: PostgresConnection | None = None
    api: OdooApi | None = Field(None, description="The JSON-2 API of version 19 and newer.")

    @property
    def sqlite(self) -> None:
        """Odoo runs on PostgreSQL alone."""

    @property
    def mysql(self) -> None:
        """Odoo runs on PostgreSQL alone."""

    @model_validator(mode="after")
    def _is_one(self) -> OdooConnection:
        if (self.postgresql is None) == (self.api is None):
            raise ValueError("needs either `postgresql` or `api`")
        return self


class OdooSource(DatabaseSource):
    """An Odoo, through its database. `timezone` tells on which day a moment falls: its moments are in UTC."""

    kind: Literal["odoo"]
    connection: OdooConnection
    write_off_accounts: tuple[Text, ...] = Field(
        (), description="Codes of the accounts that bad debts and small differences are written off to."
    )
    discount_accounts: tuple[Text, ...] = Field(
        (), description="Codes of the accounts of discounts that were granted by a journal."
    )

    @model_validator(mode="after")
    def _reads_windows(self) -> OdooSource:
        windowed = [name for name, config in self.entities.items() if config.first_load_from is not None]
        if self.connection.api is not None and windowed:
            raise ValueError(
                f"entities.{windowed[0]}.first_load_from: through the API each entity is read whole"
            )
        return self

    @property
    def options(self) -> dict[str, tuple[str, ...]]:
        return {"write_off_accounts": self.write_off_accounts, "discount_accounts": self.discount_accounts}


Columns = Mapping[str, Mapping[str, str]]
# Stand for days in a query until it is known which day is read.
_BUSINESS_DAY, _NEXT_DAY = "date '0001-01-01'", "date '0001-01-02'"


def on_day(query: str, day: date) -> str:
    """A query of `gl_balances` for the end of a business day."""
    following = day + timedelta(days=1)
    return query.replace(_BUSINESS_DAY, f"date '{day}'").replace(_NEXT_DAY, f"date '{following}'")


class Shipped:
    """The shipped queries of one installation: for the tables, columns and types that it has.

    `number` is the engine's type for a number of any size.
    """

    def __init__(self, source: DatabaseSource, columns: Columns, *, number: str = "numeric") -> None:
        self._source = source
        self._columns = columns
        self._number = number
        self._notes: dict[str, tuple[str, ...]] = {}
        self._queries: dict[str, str] = {}

    def query(self, entity: str) -> str:
        """The query of an entity: the shipped one, or the source file's own."""
        if entity not in self._queries:
            own = self._source.entities[entity].query
            self._queries[entity] = own.strip().rstrip(";") if own else self._rendered(entity)
        return self._queries[entity]

    def notes(self, entity: str) -> tuple[str, ...]:
        """What this version turned out to have where versions differ."""
        self.query(entity)
        return self._notes.get(entity, ())

    def _rendered(self, entity: str) -> str:
        notes: list[str] = []

        def note(text: str) -> str:
            notes.append(text)
            return ""

        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER / self._source.kind),
            undefined=jinja2.StrictUndefined,
            autoescape=False,
        )
        text = environment.get_template(f"{entity}.sql").render(
            has=self.has,
            note=note,
            column_type=lambda table, column: self._columns.get(table, {}).get(column),
            options=self._source.options,
            touches=self._touches,
            zone=literal(self._source.timezone),
            number=self._number,
            business_day=_BUSINESS_DAY,
            next_day=_NEXT_DAY,
        )
        self._notes[entity] = tuple(dict.fromkeys(notes))
        return text

    def has(self, table: str, column: str | None = None) -> bool:
        """Whether the installation has a table, or a column."""
        return table in self._columns if column is None else column in self._columns.get(table, ())

    def _touches(self, codes: tuple[str, ...]) -> str:
        """SQL: the lines of Odoo's entry `move` on accounts of these codes."""
        code = "account.code"
        if not self.has("account_account", "code"):
            # From version 18 on an account has a code per company, under the id of its root.
            code = "(account.code_store ->> cast(move.company_id as text))"
        return (
            "select 1 from account_move_line as line"  # noqa: S608 (codes are quoted)
            " inner join account_account as account on account.id = line.account_id"
            f" where line.move_id = move.id and {code} in ({', '.join(map(literal, codes))})"
        )


class DatabaseConnector(SqlConnector):
    """Reads one installation of a system with the shipped queries."""

    def __init__(self, source: DatabaseSource, settings: Settings) -> None:
        super().__init__(source, settings)
        self._day = date.min
        self._shipped = Shipped(source, self._catalogue())
        for table, meaning in source.system.needs.items():
            if not self._shipped.has(table):
                self.close()
                raise PermanentError(
                    f"source {source.name} ({self._dialect.address})",
                    cause=f"there is no table {table}: {meaning}",
                    next_step="correct `database` in the connection, or let the database user see the tables",
                )

    def notes(self, entity: str) -> tuple[str, ...]:
        """What this version turned out to have where versions differ."""
        return self._shipped.notes(entity)

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """Rows in the window when the entity is incremental, else all; of balances that of its last day."""
        if entity != OWN_BALANCE or self.source.entities[entity].query is not None:
            yield from super().read(entity, window)
            return
        self._day = last_day(window, ZoneInfo(self.source.timezone))
        yield from self._stream(entity, self.describe(entity), "")

    def _relation(self, entity: str) -> str:
        return f"({on_day(self._shipped.query(entity), self._day)}\n) as q"

    def _origin(self, entity: str) -> str:
        return f"{self.source.kind} {entity}"

    def _catalogue(self) -> Columns:
        """Tables, their columns and the types of these, of the database or the search path's schema."""
        is_mysql = self._dialect.name == "mysql"
        schema = "database()" if is_mysql else "current_schema()"
        names = ("table_name", "column_name", "data_type")
        chosen = ", ".join(name if is_mysql else f"{name}::text" for name in names)
        with self._errors(None), self._connection.cursor() as cursor:
            cursor.execute(
                f"select {chosen} from information_schema.columns where table_schema = {schema}"  # noqa: S608
            )
            found: dict[str, dict[str, str]] = {}
            for table, column, kind in cursor.fetchall():
                found.setdefault(str(table), {})[str(column)] = str(kind)
        return found


SYSTEMS = {system.name: system for system in (ERPNEXT, ODOO)}
