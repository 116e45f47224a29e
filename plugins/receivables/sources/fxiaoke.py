"""Fxiaoke (纷享销客) CRM: orders or receivable notes, instalment plans, receipts and their applications.

The tenant's own `describe` decides which fields there are and how each value is read; presets name the fields
that an installation usually has. Rows come by keyset over `_id`, which neither skips nor repeats when rows
change.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from receivables.company import TimeZone
from receivables.entities import ENTITIES
from receivables.errors import PermanentError, ReceivablesError
from receivables.settings import Settings
from receivables.sources import own_balance
from receivables.sources.base import SourceBatch, Window
from receivables.sources.config import Duration, SourceConfig
from receivables.sources.credentials import Credentials
from receivables.sources.http import (
    Answer,
    Api,
    AuthenticationError,
    Call,
    Fault,
    HttpClient,
    HttpEntity,
    Limits,
    Verdict,
    batches,
    judge_status,
)
from receivables.sources.http_state import Bucket, Spool, ThrottledError, Token, name_of
from receivables.sources.mapping import ColumnPlan
from receivables.sources.presets import Chosen, Shape, choose, pick, with_preset, words

PAGE_ROWS = 100  # the most that a query returns
CHANGED = "last_modified_time"
# Changes are stamped before they are committed: what is younger than this may still be on its way.
SETTLING = timedelta(seconds=60)

BOOKED = {"normal": "posted", "in_change": "posted"}
LIFE = {**BOOKED, "ineffective": "draft", "under_review": "draft", "invalid": "void"}
_status = words(LIFE)

_RECORDED = {"created_at": pick("create_time"), "updated_at": pick("last_modified_time")}
_MONEY = {"currency_code": pick("mc_currency"), "exchange_rate": pick("mc_exchange_rate")}
_CUSTOMERS = Shape(
    "AccountObj",
    {
        "customer_id": pick("_id"),
        "customer_name": pick("name"),
        "parent_customer_id": pick("parent_account_id"),
        "segment": pick("account_level", is_label=True),
        "industry": pick("industry_level1", is_label=True),
        "salesperson": pick("owner"),
        "is_active": pick("life_status", convert=lambda word: "false" if word == "invalid" else "true"),
        **_RECORDED,
    },
)
_RECEIPTS = Shape(
    "PaymentObj",
    {
        "receipt_id": pick("_id"),
        "receipt_number": pick("name"),
        "customer_id": pick("account_id"),
        "receipt_date": pick("payment_time"),
        "amount": pick("payment_amount"),
        "method": pick("payment_term", "payment_method", is_label=True),
        "status": pick("life_status", convert=_status),
        **_MONEY,
        **_RECORDED,
    },
)
_REFUNDS = Shape(
    "RefundObj",
    {
        "adjustment_id": pick("_id"),
        "adjustment_type": pick("_id", convert=lambda _: "refund"),
        "adjustment_number": pick("name"),
        "adjustment_date": pick("refunded_time", "refund_time", "submit_time", "create_time"),
        "amount": pick("refunded_amount"),
        "customer_id": pick("account_id"),
        "reason": pick("remark"),
        "status": pick("life_status", convert=_status),
        "currency_code": pick("mc_currency"),
        "exchange_rate": pick("mc_exchange_rate"),
        **_RECORDED,
    },
)
_CREDIT_MEMOS = Shape(
    "ReturnedGoodsInvoiceObj",
    {
        "credit_memo_id": pick("_id"),
        "credit_memo_number": pick("name"),
        "customer_id": pick("account_id"),
        "credit_memo_date": pick("returned_goods_time", "submit_time", "create_time"),
        "amount": pick("returned_goods_inv_amount"),
        "invoice_id": pick("order_id"),
        "reason": pick("returned_goods_reason", "remark", is_label=True),
        "status": pick("life_status", convert=_status),
        **_MONEY,
        **_RECORDED,
    },
)
_ORDERS = {
    "customers": _CUSTOMERS,
    "invoices": Shape(
        "SalesOrderObj",
        {
            "invoice_id": pick("_id"),
            "invoice_number": pick("name"),
            "customer_id": pick("account_id"),
            "invoice_date": pick("order_time", "order_date", "submit_time", "create_time"),
            "amount": pick("order_amount"),
            "salesperson": pick("owner"),
            "status": pick("life_status", convert=_status),
            **_MONEY,
            **_RECORDED,
        },
    ),
    # A plan's place in its schedule is known only beside the order's other plans: read in full.
    "instalments": Shape(
        "PaymentPlanObj",
        {
            "invoice_id": pick("order_id"),
            "instalment_number": pick("_id"),
            "due_date": pick("plan_payment_time"),
            "amount": pick("plan_payment_amount"),
            **_RECORDED,
        },
        mode="full",
    ),
    "credit_memos": _CREDIT_MEMOS,
    "receipts": _RECEIPTS,
    "applications": Shape(
        "OrderPaymentObj",
        {
            "application_id": pick("_id"),
            "credit_type": pick("_id", convert=lambda _: "receipt"),
            "credit_id": pick("payment_id"),
            "invoice_id": pick("order_id"),
            "amount": pick("payment_amount"),
            "applied_on": pick("create_time", "payment_time"),
            "instalment_number": pick("payment_plan_id"),
            **_RECORDED,
        },
    ),
    "adjustments": _REFUNDS,
}
# A return names an order, which is no note.
_RETURNS = Shape(
    _CREDIT_MEMOS.origin,
    {name: wanted for name, wanted in _CREDIT_MEMOS.picks.items() if name != "invoice_id"},
)
# The receivables module is paid for and documented nowhere in public: `describe` decides.
_AR_MODULE = {
    "customers": _CUSTOMERS,
    "invoices": Shape(
        "AccountsReceivableNoteObj",
        {
            "invoice_id": pick("_id"),
            "invoice_number": pick("name"),
            "customer_id": pick("account_id", "customer_id"),
            "invoice_date": pick("note_date", "ar_date", "bill_date", "business_date", "create_time"),
            "due_date": pick("due_date", "expire_date", "maturity_date"),
            "amount": pick("price_tax_amount", "ar_amount", "receivable_amount", "total_amount", "amount"),
            "tax_amount": pick("tax_amount"),
            "salesperson": pick("owner"),
            "status": pick("life_status", convert=_status),
            **_MONEY,
            **_RECORDED,
        },
    ),
    "credit_memos": _RETURNS,
    "receipts": _RECEIPTS,
    "applications": Shape(
        "MatchNoteDetailObj",
        {
            "application_id": pick("_id"),
            "credit_type": pick("_id", convert=lambda _: "receipt"),
            "credit_id": pick("payment_id", "credit_payment_id", "credit_data_id"),
            "invoice_id": pick("ar_id", "accounts_receivable_note_id", "ar_note_id", "debit_data_id"),
            "amount": pick("this_match_amount", "match_amount", "amount"),
            "applied_on": pick("match_date", "match_time", "create_time"),
            **_RECORDED,
        },
    ),
    "adjustments": _REFUNDS,
}
# What the CRM itself says is open of an order or a note; a line `balance_amount` of the source file wins.
OPEN_AMOUNTS = {
    "orders": ("receivable_amount",),
    "ar_module": ("no_settled_amount", "unsettled_amount", "not_settled_amount", "uncollected_amount"),
}
PRESETS: dict[str, dict[str, Shape]] = {"orders": _ORDERS, "ar_module": _AR_MODULE, "none": {}}


class FxiaokeEntity(HttpEntity):
    """One canonical entity, out of one object of the tenant."""

    object: str | None = Field(None, description="The object's api name, e.g. SalesOrderObj or Promise__c.")
    overlap: Duration = Field(timedelta(minutes=10), description="Approvals rewrite rows minutes later.")


class FxiaokeAuth(Credentials):
    """The self-built app, and the user whose rights count."""

    CONNECTION_FIELDS: ClassVar[dict[str, str]] = {"app_id": "login", "app_secret": "password"}

    app_id: str | None = Field("${FXIAOKE_APP_ID}", description="FSAID_…")
    app_secret: str | None = "${FXIAOKE_APP_SECRET}"
    permanent_code: str | None = "${FXIAOKE_PERMANENT_CODE}"
    user: str | None = Field(
        "${FXIAOKE_USER}", description="style body: an openUserId, FSUID_…; style header: a CRM employee id."
    )
    user_mobile: str | None = Field(None, description="style body: the user's mobile, with `user: null`.")
    ea: str | None = Field("${FXIAOKE_EA}", description="style header: the enterprise account.")


class FxiaokeLimits(Limits):
    """What the service allows: 100 calls in 20 seconds."""

    calls_per_minute: int = Field(300, ge=1, description="All tasks together wait for their turn.")


class FxiaokeSource(SourceConfig):
    """A tenant of Fxiaoke CRM."""

    kind: Literal["fxiaoke"]
    timezone: TimeZone = Field("Asia/Shanghai", description="The tenant's zone: dates are midnights there.")
    host: str = Field("https://open.fxiaoke.com", description="The tenant's cloud; it cannot be asked for.")
    style: Literal["body", "header"] = Field(
        "body", description="body: corpAccessToken in every body; header: Bearer token and x-fs-… headers."
    )
    auth: FxiaokeAuth = FxiaokeAuth()
    limits: FxiaokeLimits = FxiaokeLimits()
    preset: Literal["orders", "ar_module", "none"] = Field(
        "orders", description="What is a receivable: the sales order, or a note of the receivables module."
    )
    without: tuple[str, ...] = Field((), description="Entities of the preset that are not read.")
    entities: dict[str, FxiaokeEntity] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_its_preset(self) -> FxiaokeSource:
        balances = self.entities.pop(own_balance.ENTITY, None)
        completed = with_preset(
            self.entities, PRESETS[self.preset], without=self.without, model=FxiaokeEntity, origin="object"
        )
        self.entities.clear()
        self.entities.update(completed)
        if balances is not None:
            missing = {"invoices", "receipts", "applications"} - set(PRESETS[self.preset]) | (
                set(self.without) & set(PRESETS[self.preset])
            )
            if missing:
                raise ValueError(
                    f"{own_balance.ENTITY} needs the whole preset, without exception: {', '.join(missing)}"
                )
            self.entities[own_balance.ENTITY] = own_balance.of_every_night(self, balances)
        return self


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
            shape = PRESETS[self.source.preset].get(entity) or Shape(name, _RECORDED)
            labels = {field: about.label for field, about in self._fields(name).items()}
            chosen = choose(self.source, entity, shape, labels, what=name)
            # The cursor is there whatever the source file makes of the column of this name.
            fields = {**chosen.fields, "updated_at": CHANGED}
            self._chosen[entity] = replace(chosen, fields=fields, picks={**shape.picks, **_RECORDED})
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
        over = _ms(own_balance.day_over(window, self._zone))
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


class FxiaokeApi:
    """The calls of one tenant: tokens of both styles, codes, keyset pages."""

    def __init__(self, source: FxiaokeSource, settings: Settings) -> None:
        what = f"source {source.name}"
        unused = {"ea": None} if source.style == "body" else {"user_mobile": None}
        if source.style == "body" and source.auth.user_mobile is not None:
            unused["user"] = None
        self._given = source.auth.model_copy(update=unused).resolve(settings, what=f"{what} ({source.file})")
        self._style = source.style
        self._host = source.host.rstrip("/")
        self._what = what
        self._total_names: set[str] = set()
        self._user: str | None = self._given.get("user")
        per_window = max(source.limits.calls_per_minute // 3, 1)
        buckets = tuple(
            Bucket("calls_per_20_seconds", per_window, 20) if bucket.seconds == 60 else bucket
            for bucket in source.limits.buckets()
        )
        self._http = HttpClient(
            Api(
                what=what,
                authorize=self._authorize,
                fetch_token=self._fetch_token,
                judge=judge,
                identity=("fxiaoke", self._host, self._style, *self._given.values()),
                secrets=tuple(
                    self._given[name] for name in ("app_secret", "permanent_code") if name in self._given
                ),
                buckets=buckets,
                denied="check appId, appSecret, permanentCode and the user, and the user's rights in the CRM",
            ),
            state=settings.http_state,
            attempts=source.limits.attempts,
            timeout=source.limits.timeout_seconds,
        )
        self._spool = Spool(settings.http_state / f"spool-{source.name}.sqlite", clock=self._http.clock)

    def close(self) -> None:
        self._http.close()
        self._spool.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the service did where its pages leave it open."""
        return tuple(f"the total comes as {name}" for name in sorted(self._total_names))

    def describe(self, name: str) -> dict[str, dict[str, Any]]:
        """The fields of an object, by api name.

        Raises:
            PermanentError: the tenant has no such object, or the user may not see it.
        """
        body = {"includeDetail": True, "apiName": name, "data": {"apiName": name, "includeDetail": True}}
        data = self._post(name, "/cgi/crm/v2/object/describe", body).get("data") or {}
        fields = (data.get("describe") or {}).get("fields")
        if not isinstance(fields, dict) or not fields:
            raise PermanentError(
                f"{self._what}, object {name}",
                cause="its description has no fields",
                next_step="check that the user may see the object in the CRM",
            )
        return fields

    def pages(
        self,
        name: str,
        fields: Sequence[str],
        *,
        window: Window | None = None,
        conditions: Sequence[dict[str, Any]] = (),
    ) -> Iterator[list[dict[str, Any]]]:
        """Records of an object in the order of their ids, page by page.

        A read that breaks off is taken up where it stopped, and keeps the end of its first attempt: a row
        that has changed since then belongs to the next window.
        """
        start = None if window is None else window.start
        until = None if window is None else min(window.end, self._http.clock.now() - SETTLING)

        def fetch(cursor: str | None) -> tuple[str, str | None]:
            after, end = json.loads(cursor) if cursor else (None, until and _ms(until))
            filters = list(conditions)
            if end is not None:
                filters.append({"field_name": CHANGED, "operator": "LT", "field_values": [end]})
            if start is not None:
                filters.append({"field_name": CHANGED, "operator": "GTE", "field_values": [_ms(start)]})
            if after is not None:
                filters.append({"field_name": "_id", "operator": "GT", "field_values": [after]})
            rows = self._query(name, fields, filters)
            is_last = len(rows) < PAGE_ROWS
            following = None if is_last else json.dumps([rows[-1]["_id"], end])
            return json.dumps(rows, ensure_ascii=False, default=str), following

        stream = name_of(name, *fields, repr(start), repr(window and window.end), repr(conditions))
        if conditions:
            cursor: str | None = None
            while True:
                page, cursor = fetch(cursor)
                yield json.loads(page)
                if cursor is None:
                    return
        for page in self._spool.stream(stream, fetch, good_for=timedelta(days=1)):
            yield json.loads(page)

    def _query(self, name: str, fields: Sequence[str], filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        path = "/cgi/crm/custom/v2/data/query" if name.endswith("__c") else "/cgi/crm/v2/data/query"
        body = {
            "data": {
                "dataObjectApiName": name,
                # The default differs between the vendor's own pages; counting costs time for nothing.
                "find_explicit_total_num": False,
                "search_query_info": {
                    "limit": PAGE_ROWS,
                    "offset": 0,
                    "filters": filters,
                    "orders": [{"fieldName": "_id", "isAsc": True}],
                    "fieldProjection": list(fields),
                },
            }
        }
        data = self._post(name, path, body).get("data") or {}
        self._total_names |= {key for key in ("total", "totalSize") if key in data}
        return list(data.get("dataList") or ())

    def _post(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return dict(self._http.send(Call("POST", self._host + path, json=body)).data)
        except ReceivablesError as error:
            # The object is what a person has to grant rights on; the path is the same for all of them.
            raise type(error)(
                f"{error.what}, object {name}", cause=error.cause, next_step=error.next_step
            ) from None

    # --- who calls ---

    def _authorize(self, call: Call, token: Token) -> Call:
        if self._style == "header":
            headers = {
                "authorization": f"Bearer {token.value}",
                "x-fs-ea": self._given["ea"],
                "x-fs-userid": self._given["user"],
            }
            body = {"convertUserId": False, "convertMediaId": False, **call.json}
            return replace(call, headers=headers, params=_FreshTrace(), json=body)
        body = {"corpAccessToken": token.value, "corpId": token.more["corpId"], **call.json}
        return replace(call, json={**body, "currentOpenUserId": self._user or token.more["user"]})

    def _fetch_token(self, send: Callable[[Call], Answer]) -> Token:
        app = {
            "appId": self._given["app_id"],
            "appSecret": self._given["app_secret"],
            "permanentCode": self._given["permanent_code"],
        }
        if self._style == "header":
            call = Call(
                "POST",
                f"{self._host}/oauth2.0/token",
                params=_FreshTrace(),
                json={**app, "grantType": "app_secret"},
            )
            data = self._checked(send(call))
            return self._token(str(data["accessToken"]), data, {})
        data = self._checked(send(Call("POST", f"{self._host}/cgi/corpAccessToken/get/V2", json=app)))
        value, corp = str(data["corpAccessToken"]), str(data["corpId"])
        more = {"corpId": corp}
        if self._user is None:
            body = {"corpAccessToken": value, "corpId": corp, "mobile": self._given["user_mobile"]}
            found = self._checked(send(Call("POST", f"{self._host}/cgi/user/getByMobile", json=body)))
            people = found.get("empList") or ()
            if not people:
                raise AuthenticationError(
                    self._what,
                    cause="no employee has the mobile number of auth.user_mobile",
                    next_step="correct it, or give the employee's openUserId as auth.user",
                )
            more["user"] = str(people[0]["openUserId"])
        return self._token(value, data, more)

    def _token(self, value: str, data: Mapping[str, Any], more: dict[str, str]) -> Token:
        """Used for 6,600 of its 7,200 seconds, of which the cache leaves out the last five minutes anyway."""
        life = timedelta(seconds=int(data.get("expiresIn") or 7200) - 300)
        return Token(value, self._http.clock.now() + life, more)

    def _checked(self, answer: Answer) -> dict[str, Any]:
        """The answer of a token call, whose refusals no new token cures."""
        verdict = judge(answer)
        if verdict is None:
            return dict(answer.data)
        if verdict.fault in {Fault.MINUTE, Fault.RETRY, Fault.DAY}:
            raise ThrottledError(
                self._what,
                cause=f"no token: {verdict.said}",
                next_step="the run tries again by itself; at most ten tokens a minute are given",
            )
        raise AuthenticationError(
            self._what,
            cause=f"no token: {self._http.redacted(verdict.said)}",
            next_step=self._http.api.denied,
        )


def judge(answer: Answer) -> Verdict | None:
    """What an answer means. The status is 200 also for errors; only a proxy on the way answers otherwise."""
    by_status = judge_status(answer)
    if by_status is not None:
        return by_status
    data = answer.data if isinstance(answer.data, dict) else {}
    code = data.get("errorCode")
    if code == 0:
        return None
    said = f"errorCode {code}: {data.get('errorMessage')} (traceId {data.get('traceId')})"
    if code == 10013 and "offset" in str(data.get("errorMessage")):
        return Verdict(Fault.PERMANENT, said)  # the same number means a bad token everywhere else
    fault = CODES.get(code, Fault.PERMANENT if isinstance(code, int) else Fault.RETRY)
    wait = 20.0 if fault is Fault.MINUTE else None
    return Verdict(fault, said, wait=wait, next_step=NEXT_STEPS.get(code))


CODES = {
    **dict.fromkeys((-1, -2, 50009), Fault.RETRY),
    **dict.fromkeys((14001, 30004), Fault.MINUTE),
    30002: Fault.DAY,
    **dict.fromkeys((20016, 20005, 11014, 10013), Fault.TOKEN),
    **dict.fromkeys((20006, 20015, 11013, 20012, 20017), Fault.DENIED),
    **dict.fromkeys((20014, 20020, 20021, 20022, 20023, 15003), Fault.DENIED),
}
NEXT_STEPS = {
    30002: "nothing is lost: the quota counts anew after midnight in China, and the run goes on from here",
    30003: "buy a pack of API calls for the tenant (开放接口调用次数), then run again",
    20012: "correct auth.user: an openUserId for style body, a CRM employee id for style header",
    32000: "correct the object or the field that the source file names",
    **dict.fromkeys(
        (20014, 20020, 20021, 20022, 20023, 15003),
        "let the app and the user read this object (对象权限), or name it in `without`",
    ),
}


class _FreshTrace(Mapping[str, str]):
    """The address's `thirdTraceId`: another one each time it is read, as each attempt needs its own."""

    def __getitem__(self, name: str) -> str:
        if name != "thirdTraceId":
            raise KeyError(name)
        return str(uuid.uuid4())

    def __iter__(self) -> Iterator[str]:
        return iter(("thirdTraceId",))

    def __len__(self) -> int:
        return 1


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
