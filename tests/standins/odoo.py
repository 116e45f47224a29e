"""An Odoo 19's JSON-2 API, as far as receivables are read through it.

Rules of the real one that are kept: bearer key; the database in a header; named arguments in a JSON object; a
bare result; false for what is empty; a many2one as [id, name]; datetimes in UTC as text; errors as {name,
message}.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tests.databases.odoo import CODES, RECEIVABLE, TABLES, Row
from tests.standins.server import Answer, Request, StandIn

KEY, DATABASE = "an-api-key", "prod"
_FIELD_TYPES = {
    "int": "many2one", "text": "char", "time": "datetime", "date": "date", "number": "float",
    "bool": "boolean", "json": "float", "key": "integer",
}  # fmt: skip


class OdooServer(StandIn):
    """The rows of `tests.databases.odoo.Books`, over HTTP."""

    def __init__(self, rows: dict[str, list[Row]]) -> None:
        super().__init__()
        self.rows = rows
        self.hidden: set[str] = set()  # fields that this version lacks
        receivable = {row["id"] for row in rows["account_move_line"] if row["account_id"] == RECEIVABLE}
        self._receivable_lines = receivable
        self._receivable_moves = {
            row["move_id"] for row in rows["account_move_line"] if row["id"] in receivable
        }

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"bearer {KEY}":
            return self._refused(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey")
        if request.headers.get("x-odoo-database") != DATABASE:
            return self._refused(404, "werkzeug.exceptions.NotFound", "No database is selected")
        _, _, _, model, method = request.path.split("/")
        table = model.replace(".", "_")
        if table not in TABLES:
            return self._refused(404, "werkzeug.exceptions.NotFound", f"the model '{model}' does not exist")
        if method == "fields_get":
            assert request.body == {"attributes": ["type"]}
            return Answer({name: {"type": kind} for name, kind in self._fields(table).items()})
        assert method == "search_read", method
        return self._search_read(table, **request.body)

    @staticmethod
    def _refused(status: int, name: str, message: str) -> Answer:
        return Answer({"name": name, "message": message, "arguments": [message], "debug": ""}, status)

    def _fields(self, table: str) -> dict[str, str]:
        found = {}
        for word in TABLES[table].split():
            name, kind = word.split(":")
            found[name] = "many2one" if name.endswith("_id") else _FIELD_TYPES[kind]
        if table == "account_account":
            found["code"] = "char"
            del found["code_store"]
        return {name: kind for name, kind in found.items() if name not in self.hidden}

    def _search_read(
        self,
        table: str,
        *,
        domain: list[list[Any]],
        fields: list[str],
        limit: int,
        order: str,
        context: dict[str, Any],
    ) -> Answer:
        kinds = self._fields(table)
        unknown = [name for name in fields if name not in kinds]
        if unknown:
            return self._refused(422, "builtins.ValueError", f"Invalid field {unknown[0]!r} on {table}")
        assert order == "id" and context == {"active_test": False}
        rows = sorted(
            (row for row in self.rows[table] if all(self._fits(table, row, *term) for term in domain)),
            key=lambda row: row["id"],
        )
        return Answer([{name: _json(row, name, kinds[name]) for name in fields} for row in rows[:limit]])

    def _fits(self, table: str, row: Row, field: str, operator: str, value: Any) -> bool:
        if field == "id":
            assert operator == ">"
            return bool(row["id"] > value)
        assert (operator, value) == ("=", "asset_receivable"), "a term that this stand-in does not know"
        if table == "account_move":
            return row["id"] in self._receivable_moves
        if table == "account_move_line":
            return row["move_id"] in self._receivable_moves
        return row["debit_move_id"] in self._receivable_lines


def _json(row: Row, name: str, kind: str) -> Any:
    value = row.get(name)
    if name == "code" and "code_store" in row:
        return CODES[row["id"]]
    if name == "credit_limit":
        return 0.0 if value is None else float(str(value).split(":")[1].rstrip("}"))
    if kind == "boolean":
        return bool(value)
    if value is None:
        return 0.0 if kind == "float" else False
    if kind == "many2one":
        return [value, f"Record {value}"]
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value
