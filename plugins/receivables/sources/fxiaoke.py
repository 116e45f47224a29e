"""Fxiaoke (纷享销客) CRM: orders or receivable notes, instalment plans, receipts and their applications.

The tenant's own `describe` decides which fields there are and how each value is read; presets name the fields
that an installation usually has. Rows come by keyset over `_id`, which neither skips nor repeats when rows
change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from receivables.entities import ENTITIES
from receivables.errors import PermanentError
from receivables.settings import Settings
from receivables.sources import own_balance
from receivables.sources.base import SourceBatch, Window
from receivables.sources.fxiaoke_api import CHANGED, FxiaokeApi, milliseconds
from receivables.sources.fxiaoke_config import BOOKED, OPEN_AMOUNTS, PRESETS, RECORDED, FxiaokeSource
from receivables.sources.http import batches
from receivables.sources.mapping import ColumnPlan
from receivables.sources.presets import Chosen, Shape, choose


@dataclass(frozen=True)
class _Field:
    """A field of an object, as `describe` has it."""

    type: str
    label: str
    options: Mapping[str, str]


class FxiaokeConnector:
    """Reads one tenant."""

    def __init__(self, source: FxiaokeSource, settings: Settings) -> None:
        self.source = source
        self._zone = ZoneInfo(source.timezone)
        self._api = FxiaokeApi(source, settings)
        self._objects: dict[str, dict[str, _Field]] = {}
        self._chosen: dict[str, Chosen] = {}
        self._met: dict[str, None] = {}

    def close(self) -> None:
        self._api.close()

    def describe(self, entity: str) -> tuple[str, ...]:
        """The canonical columns that the preset feeds, then the object's own fields."""
        if entity == own_balance.ENTITY:
            return (*own_balance.COLUMNS, *self._named_open_field())
        chosen, fields = self._choice(entity), self._fields(self._object(entity))
        return tuple(dict.fromkeys((*chosen.fields, *fields)))

    def notes(self, entity: str) -> tuple[str, ...]:
        """What this tenant turned out to have where tenants differ."""
        if entity == own_balance.ENTITY:
            return tuple(self._met)
        chosen = self._choice(entity)
        fields = self._fields(self._object(entity))
        used = set(chosen.fields.values())
        others = [
            f"{name} {about.label}" for name, about in fields.items() if name not in used and about.label
        ]
        spare = (f"other fields of {self._object(entity)}: {', '.join(others)}",) if others else ()
        return (*chosen.notes, *self._api.notes, *spare)

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """Rows changed in the window; of a full entity all."""
        if entity == own_balance.ENTITY:
            yield from batches(self._balance(window), self.describe(entity), origin="balances of records")
            return
        config = self.source.entities[entity]
        columns = self._plan(entity).used_columns(self.describe(entity))
        rows = self._rows(entity, columns, window if config.mode == "incremental" else None)
        yield from batches(rows, columns, origin=self._object(entity))

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """The keys of all rows that still count."""
        columns = self._plan(entity).key_columns(self.describe(entity))
        yield from batches(self._rows(entity, columns, None), columns, origin=self._object(entity))

    # --- what the tenant has ---

    def _plan(self, entity: str) -> ColumnPlan:
        return ColumnPlan(self.source, ENTITIES[entity], cursor=self.source.entities[entity].cursor)

    def _object(self, entity: str) -> str:
        return self.source.entities[entity].object or ""

    def _fields(self, name: str) -> dict[str, _Field]:
        if name not in self._objects:
            described = self._api.describe(name)
            self._objects[name] = {
                field: _Field(
                    str(about.get("type") or ""),
                    str(about.get("label") or ""),
                    {str(one.get("value")): str(one.get("label")) for one in about.get("options") or ()},
                )
                for field, about in described.items()
            }
            self._objects[name].setdefault("_id", _Field("text", "", {}))
        return self._objects[name]

    def _choice(self, entity: str) -> Chosen:
        if entity not in self._chosen:
            name = self._object(entity)
            shape = PRESETS[self.source.preset].get(entity) or Shape(name, RECORDED)
            labels = {field: about.label for field, about in self._fields(name).items()}
            chosen = choose(self.source, entity, shape, labels, what=name)
            # The cursor is there whatever the source file makes of the column of this name.
            fields = {**chosen.fields, "updated_at": CHANGED}
            self._chosen[entity] = replace(chosen, fields=fields, picks={**shape.picks, **RECORDED})
        return self._chosen[entity]

    # --- rows ---

    def _rows(
        self, entity: str, columns: Sequence[str], window: Window | None
    ) -> Iterator[dict[str, str | None]]:
        name, chosen = self._object(entity), self._choice(entity)
        fields = {chosen.fields.get(column, column) for column in columns}
        is_schedule = entity == "instalments" and chosen.fields.get("instalment_number") == "_id"
        # A receipt's line without an order is money on account: part of the receipt, applied to nothing.
        target = chosen.fields.get("invoice_id") if entity == "applications" else None
        if target:
            fields.add(target)
        if is_schedule:
            fields |= {chosen.fields["invoice_id"], "_id"}
        pages = self._live(entity, name, fields, window=window)
        if is_schedule:
            yield from self._schedule(columns, chosen, [record for page in pages for record in page])
            return
        number_of = self._plan_numbers if chosen.fields.get("instalment_number") else None
        for page in pages:
            if target:
                page = [record for record in page if record.get(target)]
            numbers = number_of(chosen, page) if number_of else {}
            yield from (self._row(name, columns, chosen, record, numbers) for record in page)

    def _live(
        self,
        entity: str | None,
        name: str,
        fields: set[str],
        *,
        window: Window | None = None,
        conditions: Sequence[dict[str, Any]] = (),
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of records that count. Where an entity has no status, what is not booked is absent."""
        known = self._fields(name)
        wanted = {*fields, *(field for field in ("life_status", "is_deleted") if field in known), "_id"}
        has_status = entity is not None and {"status", "is_active"} & set(self.describe(entity))
        for page in self._api.pages(name, sorted(wanted), window=window, conditions=conditions):
            yield [
                record
                for record in page
                if not record.get("is_deleted")
                and (has_status or (record.get("life_status") or "normal") in BOOKED)
            ]

    def _schedule(
        self, columns: Sequence[str], chosen: Chosen, records: list[dict[str, Any]]
    ) -> list[dict[str, str | None]]:
        """Plans with their number: the place among the plans of their order, as they were made."""
        numbers = _numbered(records, order=chosen.fields["invoice_id"])
        rows = []
        for record in records:
            row = self._row("PaymentPlanObj", columns, chosen, record, {})
            row["instalment_number"] = numbers[record["_id"]]
            rows.append(row)
        return rows

    def _plan_numbers(self, chosen: Chosen, page: list[dict[str, Any]]) -> dict[str, str]:
        """Plan id -> its number, for the orders of a page of applications that name a plan."""
        plan, order = chosen.fields["instalment_number"], chosen.fields["invoice_id"]
        orders = sorted({record[order] for record in page if record.get(plan) and record.get(order)})
        if not orders:
            return {}
        condition = {"field_name": "order_id", "operator": "IN", "field_values": orders}
        found = [
            record
            for rows in self._live(None, "PaymentPlanObj", {"_id", "order_id"}, conditions=[condition])
            for record in rows
        ]
        return _numbered(found, order="order_id")

    def _row(
        self,
        name: str,
        columns: Sequence[str],
        chosen: Chosen,
        record: Mapping[str, Any],
        numbers: Mapping[str, str],
    ) -> dict[str, str | None]:
        row: dict[str, str | None] = {}
        for column in columns:
            field = chosen.fields.get(column)
            if field is None:
                row[column] = self._text(name, column, record.get(column))
                continue
            text = self._text(name, field, record.get(field))
            if chosen.picks[column].is_label and text is not None:
                text = self._fields(name)[field].options.get(text, text)
            row[column] = chosen.value(column, text)
            if column == "instalment_number":
                row[column] = numbers.get(text or "")
        return row

    def _text(self, name: str, field: str, value: Any) -> str | None:
        """A value as text, by the type that `describe` gives the field."""
        if value is None or value == "" or value == []:
            return None
        kind = self._fields(name)[field].type
        if kind in {"date", "date_time"} and str(value).lstrip("-").isdigit():
            moment = datetime.fromtimestamp(int(value) / 1000, self._zone)
            # A date is midnight in the tenant's zone; read in UTC every due date would be a day early.
            return moment.date().isoformat() if kind == "date" else moment.isoformat(timespec="milliseconds")
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, dict):
            return None  # nested people and departments: personal data that nobody asked for
        if isinstance(value, list):
            return ",".join(str(one) for one in value if not isinstance(one, dict)) or None
        return str(value)

    # --- what the tenant says is open ---

    def _balance(self, window: Window) -> Iterator[dict[str, Any]]:
        """What the CRM says is open of orders or notes, less money on account and returns, plus refunds.

        Money on account is what a receipt's lines leave of it. Whether the CRM's own figure has returns and
        refunds in it is nowhere said: the orders that have some tell.
        """
        bills = self._booked("invoices", window, open_field=self._open_field())
        receipts = self._booked("receipts", window)
        lines = self._booked("applications", window)
        returns, refunds = self._booked("credit_memos", window), self._booked("adjustments", window)
        later = [one for some in (bills, receipts, lines, returns, refunds) for one in some if one.is_later]
        if later:
            over = own_balance.day_over(window, self._zone)
            reason = f"{len(later)} records changed after {over.isoformat()}"
            self._met[own_balance.none_because(self.source, reason)] = None
            return
        last = own_balance.last_day(window, self._zone).isoformat()
        by_key = {one.key: one for one in bills if one.day <= last}
        paid, used = _sums(lines, by_key, "bill"), _sums(lines, by_key, "credit")
        taken, given = _sums(returns, by_key, "bill"), _sums(refunds, by_key, "bill")
        has_returns, has_refunds = self._counted(by_key, paid, taken, given)
        total = sum((own_balance.in_base(one.open, one.rate) for one in by_key.values()), Decimal(0))
        for one in receipts:
            if one.day <= last:
                total -= own_balance.in_base(one.amount - used.get(one.key, Decimal(0)), one.rate)
        for some, sign, is_counted in ((returns, -1, has_returns), (refunds, 1, has_refunds)):
            for one in some:
                if one.day <= last and not (is_counted and one.bill in by_key):
                    total += sign * own_balance.in_base(one.amount, one.rate)
        row = own_balance.row(self.source, window, self._zone, total)
        # The mapping finds the amount under the name that the source file gives.
        yield {**row, **dict.fromkeys(self._named_open_field(), total)}

    def _named_open_field(self) -> tuple[str, ...]:
        mapped = self.source.entities[own_balance.ENTITY].columns.get("balance_amount")
        return (mapped.from_,) if mapped and mapped.from_ else ()

    def _counted(
        self,
        bills: Mapping[str, _Record],
        paid: Mapping[str, Decimal],
        taken: Mapping[str, Decimal],
        given: Mapping[str, Decimal],
    ) -> tuple[bool, bool]:
        """Whether the CRM's figure of an order has returns, and refunds, in it: as most orders say."""
        some = [bills[key] for key in {*taken, *given}]
        zero = Decimal(0)

        def fitting(guess: tuple[bool, bool]) -> int:
            return sum(
                one.open
                == one.amount
                - paid.get(one.key, zero)
                - guess[0] * taken.get(one.key, zero)
                + guess[1] * given.get(one.key, zero)
                for one in some
            )

        guesses = [(False, False), (True, False), (False, True), (True, True)]
        best = max(guesses, key=fitting)
        if some:
            named = [name for name, is_in in zip(("returns", "refunds"), best, strict=True) if is_in]
            self._met[
                f"its open amounts have {' and '.join(named) or 'neither returns nor refunds'} in them"
            ] = None
        return best

    def _open_field(self) -> str:
        """The field with what is open of an order or a note.

        Raises:
            PermanentError: the object has none that is known, and the source file names none.
        """
        name = self._object("invoices")
        candidates = self._named_open_field() or OPEN_AMOUNTS[self.source.preset]
        fields = self._fields(name)
        found = next((field for field in candidates if field in fields), None)
        if found is None:
            raise PermanentError(
                f"source {self.source.name}, {own_balance.ENTITY} ({name})",
                cause=f"none of {', '.join(candidates)} exists. The fields there are: "
                + ", ".join(f"{field} {about.label}".strip() for field, about in fields.items()),
                next_step="name the field of what is open at entities.gl_balances.columns.balance_amount in "
                + self.source.file.name,
            )
        return found

    def _booked(self, entity: str, window: Window, *, open_field: str | None = None) -> list[_Record]:
        """The booked records of an entity, with what a balance is made of."""
        name, chosen, config = self._object(entity), self._choice(entity), self.source.entities[entity]

        def field_of(*columns: str) -> str | None:
            for column in columns:
                mapped = config.columns.get(column)
                if found := chosen.fields.get(column) or (mapped.from_ if mapped else None):
                    return found
            return None

        days = ("invoice_date", "receipt_date", "credit_memo_date", "adjustment_date", "applied_on")
        wanted = {
            "day": field_of(*days),
            "amount": field_of("amount"),
            "rate": field_of("exchange_rate"),
            "bill": field_of("invoice_id") if entity != "invoices" else None,
            "credit": field_of("credit_id"),
            "open": open_field,
        }  # fmt: skip
        over = milliseconds(own_balance.day_over(window, self._zone))
        if entity == "adjustments" and "order_id" in self._fields(name) and self.source.preset == "orders":
            wanted["bill"] = "order_id"
        fields = {field for field in wanted.values() if field} | {CHANGED}
        records = []
        for page in self._live(entity, name, fields):
            for record in page:
                if (record.get("life_status") or "normal") not in BOOKED:
                    continue
                text = {
                    part: self._text(name, field, record.get(field))
                    for part, field in wanted.items()
                    if field
                }
                records.append(
                    _Record(
                        key=str(record["_id"]),
                        day=(text.get("day") or "")[:10],
                        amount=Decimal(text.get("amount") or 0),
                        rate=Decimal(text["rate"]) if text.get("rate") else None,
                        bill=text.get("bill") or "",
                        credit=text.get("credit") or "",
                        open=Decimal(text.get("open") or 0),
                        is_later=int(record.get(CHANGED) or 0) >= over,
                    )
                )
        return records


@dataclass(frozen=True)
class _Record:
    """What a balance is made of: an order, a receipt, a line, a return or a refund."""

    key: str
    day: str
    amount: Decimal
    rate: Decimal | None
    bill: str
    credit: str
    open: Decimal
    is_later: bool


def _sums(records: list[_Record], bills: Mapping[str, _Record], of: str) -> dict[str, Decimal]:
    """The amounts of records that name a booked order or note, by the order or by the receipt they name."""
    sums: dict[str, Decimal] = {}
    for one in records:
        if one.bill in bills:
            key = str(getattr(one, of))
            sums[key] = sums.get(key, Decimal(0)) + one.amount
    return sums


def _numbered(records: list[dict[str, Any]], *, order: str) -> dict[str, str]:
    """Plan id -> 1, 2, 3 … within its order. Ids sort as they were made, so a new plan renumbers no other."""
    numbers: dict[str, str] = {}
    counts: dict[Any, int] = {}
    for record in sorted(records, key=lambda record: str(record["_id"])):
        counts[record.get(order)] = counts.get(record.get(order), 0) + 1
        numbers[record["_id"]] = str(counts[record.get(order)])
    return numbers
