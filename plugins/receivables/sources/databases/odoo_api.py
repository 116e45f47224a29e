"""Odoo through its JSON-2 API (version 19 and newer), where the database cannot be reached.

The models that an entity's query asks are read page by page into a database on disk, under the names of
Odoo's own tables, and the query asks that. So both ways mean the same, memory does not grow with the books,
and an attempt that broke off is taken up behind the last page that had arrived.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from receivables.errors import PermanentError
from receivables.settings import Settings
from receivables.sources.base import BATCH_ROWS, Connector, SourceBatch, Window
from receivables.sources.databases import (
    DatabaseConnector,
    OdooApi,
    OdooSource,
    Shipped,
    on_day,
)
from receivables.sources.http import Answer, Api, Call, Fault, HttpClient, Verdict, judge_status
from receivables.sources.http_state import Spool, Token, name_of
from receivables.sources.mapping import identifier
from receivables.sources.own_balance import last_day

_FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
# Pages of an attempt that broke off are taken up within one night, not with the next day's.
_PAGES_ARE_GOOD_FOR = timedelta(hours=6)
_MEMORY = "512MB"
_LOGGED = "create_date write_date"
# Model -> the fields that the queries read, and which records matter. What a version lacks is left out.
MODELS: dict[str, tuple[str, list[Any]]] = {
    "res.company": ("name currency_id", []),
    "res.currency": ("name", []),
    "res.country": ("code", []),
    "res.currency.rate": ("name rate currency_id company_id", []),
    "res.partner": (
        "name email lang country_id commercial_partner_id credit_limit customer_rank active " + _LOGGED,
        [],
    ),
    "account.journal": ("type", []),
    "account.account": ("code account_type", []),
    "account.payment": ("move_id payment_type", []),
    "account.move": (
        "name state move_type date invoice_date invoice_date_due ref journal_id company_id partner_id"
        " commercial_partner_id currency_id amount_total amount_tax reversed_entry_id debit_origin_id"
        " posted_before invoice_currency_rate " + _LOGGED,
        [["line_ids.account_id.account_type", "=", "asset_receivable"]],
    ),
    "account.move.line": (
        "move_id account_id partner_id date_maturity balance amount_currency currency_id"
        " discount_date discount_amount_currency amount_residual_currency " + _LOGGED,
        [["move_id.line_ids.account_id.account_type", "=", "asset_receivable"]],
    ),
    "account.partial.reconcile": (
        "debit_move_id credit_move_id debit_amount_currency credit_amount_currency " + _LOGGED,
        [["debit_move_id.account_id.account_type", "=", "asset_receivable"]],
    ),
}
# Rates have many digits; amounts have few and stay exact.
_RATES = {"rate", "invoice_currency_rate"}
_TYPES = {
    "integer": "bigint", "many2one": "bigint", "date": "date", "datetime": "timestamp", "boolean": "boolean",
    "float": "decimal(24, 6)", "monetary": "decimal(24, 6)",
}  # fmt: skip


def connect_odoo(source: OdooSource, settings: Settings) -> Connector:
    """The connector for the way that the source file names."""
    if source.connection.api is None:
        return DatabaseConnector(source, settings)
    return OdooApiConnector(source, source.connection.api, settings)


class OdooApiConnector:
    """Reads one Odoo through its API; every entity whole, in pages."""

    def __init__(self, source: OdooSource, api: OdooApi, settings: Settings) -> None:
        self.source = source
        self._api = api
        self._http = _client(source, api, settings)
        self._fields = {_table(model): self._fields_of(model) for model in MODELS}
        self._shipped = Shipped(source, self._fields, number="double")
        self._spool = Spool(settings.http_state / f"spool-{source.name}.sqlite", clock=self._http.clock)
        self._folder = TemporaryDirectory(prefix=f"odoo-{source.name}-", dir=settings.http_state)
        self._database = self._empty_tables()

    def close(self) -> None:
        """Let go of the connections, and delete the tables."""
        self._http.close()
        self._spool.close()
        self._database.close()
        self._folder.cleanup()

    def notes(self, entity: str) -> tuple[str, ...]:
        """What this version turned out to have where versions differ."""
        return self._shipped.notes(entity)

    def describe(self, entity: str) -> tuple[str, ...]:
        """The columns of the entity's query."""
        result = self._asked(f"select * from ({self._shipped.query(entity)}\n) limit 0")  # noqa: S608
        return tuple(column[0] for column in result.description or ())

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """All rows: what an entity says depends on several models, each with a time of change of its own."""
        query = on_day(self._shipped.query(entity), last_day(window, ZoneInfo(self.source.timezone)))
        self._fill(entity, [model for model in MODELS if re.search(rf"\b{_table(model)}\b", query)])
        first = 1
        for batch in self._asked(query).to_arrow_reader(BATCH_ROWS):
            table = pa.Table.from_batches([batch])
            yield SourceBatch(table, f"odoo {entity}", range(first, first + table.num_rows))
            first += table.num_rows

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """What is there: the same as reading it."""
        yield from self.read(entity, Window(None, _FOREVER))

    # --- tables ---

    def _asked(self, query: str) -> duckdb.DuckDBPyConnection:
        try:
            return self._database.execute(query)
        except duckdb.Error as error:
            raise PermanentError(
                self._http.api.what,
                cause=f"the query does not fit what the API gives: {str(error).splitlines()[0]}",
                next_step="correct `query` in the source file; shipped queries need version 19 or newer",
            ) from error

    def _empty_tables(self) -> duckdb.DuckDBPyConnection:
        """A database on disk, readable by its owner alone, with a table for each model."""
        database = duckdb.connect(
            str(Path(self._folder.name) / "odoo.duckdb"), config={"threads": "2", "memory_limit": _MEMORY}
        )
        database.execute("set timezone = 'UTC'")
        database.execute("set enable_progress_bar = false")
        for table, kinds in self._fields.items():
            described = ", ".join(f"{identifier(name)} {kind}" for name, kind in kinds.items())
            database.execute(f"create table {table} ({described})")
        return database

    def _fill(self, entity: str, models: list[str]) -> None:
        """Read the models of an entity into their tables; what an earlier read of this one put there goes."""
        for model in models:
            self._database.execute(f"truncate {_table(model)}")
        for page in self._pages(entity, models):
            table, kinds = _table(page["model"]), self._fields[_table(page["model"])]
            arrays = {name: pa.array(page["columns"][name], pa.string()) for name in kinds}
            casts = ", ".join(f"cast({identifier(name)} as {kind})" for name, kind in kinds.items())
            self._database.register("page", pa.table(arrays))
            self._database.execute(f"insert into {table} select {casts} from page")  # noqa: S608 (own names)
            self._database.unregister("page")

    # --- calls ---

    def _fields_of(self, model: str) -> dict[str, str]:
        """The fields that this version has of those that are wanted, and the types to keep them in."""
        known = self._call(model, "fields_get", {"attributes": ["type"]})
        wanted = ["id", *MODELS[model][0].split()]
        return {
            name: "double" if name in _RATES else _TYPES.get(known[name].get("type"), "varchar")
            for name in wanted
            if name in known
        }

    def _pages(self, entity: str, models: list[str]) -> Iterator[dict[str, Any]]:
        """All records of the models, by id: whatever is added or deleted meanwhile, no other is missed.

        A page is {model, columns: {field: texts}}. The stream is the entity's own: others read at the same
        time. It is kept until the last model was read to its end.
        """
        if not models:
            return
        fields = {model: self._fields[_table(model)] for model in models}

        def fetch(cursor: str | None) -> tuple[str, str | None]:
            model, last = cursor.split("/") if cursor else (models[0], "0")
            rows = self._call(
                model,
                "search_read",
                {
                    "domain": [*MODELS[model][1], ["id", ">", int(last)]],
                    "fields": list(fields[model]),
                    "limit": self._api.page_rows,
                    "order": "id",
                    "context": {"active_test": False},
                },
            )
            columns = {
                name: [_text(row.get(name), kind) for row in rows] for name, kind in fields[model].items()
            }
            following = [f"{name}/0" for name in models[models.index(model) + 1 :]]
            if len(rows) == self._api.page_rows:
                following = [f"{model}/{rows[-1]['id']}"]
            return json.dumps({"model": model, "columns": columns}), next(iter(following), None)

        name = f"odoo/{entity}/{name_of(json.dumps(fields))}"
        for page in self._spool.stream(name, fetch, good_for=_PAGES_ARE_GOOD_FOR):
            yield json.loads(page)

    def _call(self, model: str, method: str, arguments: dict[str, Any]) -> Any:
        url = f"{self._api.url.rstrip('/')}/json/2/{model}/{method}"
        return self._http.send(Call("POST", url, json=arguments)).data


def _client(source: OdooSource, api: OdooApi, settings: Settings) -> HttpClient:
    what = f"source {source.name}"
    key = api.auth.resolve(settings, what=f"{what} ({source.file})")["api_key"]
    headers = {"authorization": f"bearer {key}"}
    if api.database is not None:
        headers["X_Odoo_Database"] = api.database
    return HttpClient(
        Api(
            what=what,
            authorize=lambda call, token: call.with_headers(**headers),
            # The key is the only secret, and lasts: nothing is fetched, and it is written nowhere.
            fetch_token=lambda send: Token("none", _FOREVER),
            judge=_judge,
            identity=("odoo", api.url, api.database or "", key),
            secrets=(key,),
            buckets=api.limits.buckets(),
            denied="check the API key, and that its user may read invoices and journal items",
        ),
        state=settings.http_state,
        attempts=api.limits.attempts,
        timeout=api.limits.timeout_seconds,
    )


def _judge(answer: Answer) -> Verdict | None:
    """Errors come as {name, message} beside the status; an answer that is cut is asked for again."""
    verdict = judge_status(answer)
    if verdict is None:
        return None if answer.data is not None else Verdict(Fault.RETRY, "the answer is no whole JSON")
    if isinstance(answer.data, dict) and answer.data.get("message"):
        verdict = Verdict(verdict.fault, str(answer.data["message"])[:200], verdict.wait)
    if verdict.fault in (Fault.TOKEN, Fault.GONE):
        step = None
        if verdict.fault is Fault.GONE:
            step = "the JSON-2 API came with version 19: check the address and the version"
        fault = Fault.DENIED if verdict.fault is Fault.TOKEN else Fault.PERMANENT
        return Verdict(fault, verdict.said, next_step=step)
    return verdict


def _table(model: str) -> str:
    return model.replace(".", "_")


def _text(value: Any, kind: str) -> str | None:
    """A JSON value as text: false is Odoo's null, a many2one comes with its name."""
    if isinstance(value, list):
        value = value[0] if value else None
    if kind == "boolean":
        return "true" if value else "false"
    return None if value is None or value is False else str(value)
