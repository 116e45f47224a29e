"""Kingdee K/3 Cloud (金蝶云星空): receivables, receipts, refunds, matches, bad debts, through bill queries.

A bill query answers arrays in the order of the asked fields. Which fields a form has differs between account
sets: metadata decides, or, where the user may not read it, a query of one row. Rows come by keyset over the
form's key, so that they neither skip nor repeat when documents change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby, islice
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from receivables.company import TimeZone
from receivables.entities import ENTITIES
from receivables.errors import PermanentError
from receivables.settings import Settings
from receivables.sources import own_balance
from receivables.sources.base import SourceBatch, Window
from receivables.sources.config import SourceConfig, expand
from receivables.sources.credentials import Credentials
from receivables.sources.http import HttpEntity, Limits, batches
from receivables.sources.kingdee_api import Account, Document, KingdeeApi, NoFormError, Record, Stamps
from receivables.sources.mapping import ColumnPlan
from receivables.sources.presets import Chosen, Pick, Shape, choose, has_field, pick, with_preset

# What the connector itself makes of a document's rows.
STATUS, KEY, LINE, TYPE, AMOUNT = "$status", "$key", "$line", "$type", "$amount"
INVOICE, CREDIT, CREDIT_TYPE = "$invoice_id", "$credit_id", "$credit_type"
VIRTUAL = (STATUS, KEY, LINE, TYPE, AMOUNT, INVOICE, CREDIT, CREDIT_TYPE)
HEAD = "FBillHead"
RECEIVABLE_FORMS = ("AR_receivable", "AR_OtherRecAble")
# Recovered bad debts. Nobody publishes its fields; a check says that there are some.
RECOVERY_FORM = "AR_BADDEBTRECOVEY"
RECEIPT_FORM, REFUND_FORM, MATCH_FORM = "AR_RECEIVEBILL", "AR_REFUNDBILL", "AR_Match"
MODIFIED = ("FMODIFYDATE", "FModifyDate")
CREATED = ("FCREATEDATE", "FCreateDate")
APPROVED = ("FAPPROVEDATE", "FApproveDate")
# An account set numbers its currencies: these numbers are delivered with it.
CURRENCY_NUMBERS = {
    "PRE001": "CNY",
    "PRE002": "HKD",
    "PRE003": "EUR",
    "PRE004": "JPY",
    "PRE005": "TWD",
    "PRE006": "GBP",
    "PRE007": "USD",
}


def _currency(word: str | None) -> str | None:
    return None if word is None else CURRENCY_NUMBERS.get(word, word)


_CURRENCY = pick("FCURRENCYID.FCODE", "FCURRENCYID.FNumber", "FCURRENCYID", convert=_currency)
_PARTNER = ("FCUSTOMERID.FNumber", "FCustId.FNumber", "FCONTACTUNIT.FNumber", "FPAYUNIT.FNumber")
_RECORDED = {"created_at": pick(*CREATED), "updated_at": pick(*MODIFIED)}
_DOCUMENT: dict[str, Pick] = {
    "currency_code": _CURRENCY,
    "exchange_rate": pick("FEXCHANGERATE", "FExchangeRate"),
    "status": pick(STATUS),
    **_RECORDED,
}
_RECEIVABLE_AMOUNT = ("FALLAMOUNTFOR", "FAMOUNTFOR", "FAMOUNTFOR_H")
PRESET: dict[str, Shape] = {
    "customers": Shape(
        "BD_Customer",
        {
            "customer_id": pick("FNumber"),
            "customer_name": pick("FName"),
            "segment": pick("FCustTypeId.FName", "FGroup.FName"),
            "salesperson": pick("FSELLER.FName"),
            "is_active": pick(
                "FForbidStatus", convert=lambda word: "true" if word in {None, "A"} else "false"
            ),
            **_RECORDED,
        },
        mode="full",
    ),
    "invoices": Shape(
        "AR_receivable, AR_OtherRecAble",
        {
            "invoice_id": pick(KEY),
            "invoice_number": pick("FBillNo"),
            "customer_id": pick(*_PARTNER),
            "invoice_date": pick("FDATE"),
            "due_date": pick("FENDDATE_H", "FENDDATE"),
            "amount": pick(*_RECEIVABLE_AMOUNT),
            "salesperson": pick("FSALEERID.FName"),
            **_DOCUMENT,
        },
    ),
    "instalments": Shape(
        "AR_receivable",
        {
            "invoice_id": pick(KEY),
            "instalment_number": pick(LINE),
            "due_date": pick("FENDDATE"),
            "amount": pick("FPAYAMOUNTFOR"),
            **_RECORDED,
        },
    ),
    "credit_memos": Shape(
        "AR_receivable, AR_OtherRecAble",
        {
            "credit_memo_id": pick(KEY),
            "credit_memo_number": pick("FBillNo"),
            "customer_id": pick(*_PARTNER),
            "credit_memo_date": pick("FDATE"),
            "amount": pick(*_RECEIVABLE_AMOUNT, convert=lambda text: text and text.removeprefix("-")),
            **_DOCUMENT,
        },
    ),
    "receipts": Shape(
        RECEIPT_FORM,
        {
            "receipt_id": pick(KEY),
            "receipt_number": pick("FBillNo"),
            "customer_id": pick("FCONTACTUNIT.FNumber", "FPAYUNIT.FNumber", *_PARTNER[:2]),
            "receipt_date": pick("FDATE"),
            "amount": pick("FRECTOTALAMOUNTFOR", "FRECEIVEAMOUNTFOR", "FRECAMOUNTFOR", "FREALRECAMOUNTFOR"),
            **_DOCUMENT,
        },
    ),
    # Matches come with both their sides, possibly in rows of their own: made anew from all of them.
    "applications": Shape(
        MATCH_FORM,
        {
            "application_id": pick(LINE),
            "credit_type": pick(CREDIT_TYPE),
            "credit_id": pick(CREDIT),
            "invoice_id": pick(INVOICE),
            "amount": pick(AMOUNT),
            "applied_on": pick("FVERIFICATEDATE", "FVERIFYDATE", "FREPORTDATE", "FDATE", *CREATED),
            **_RECORDED,
        },
    ),
    "adjustments": Shape(
        "AR_REFUNDBILL, AR_BADDebtLoss",
        {
            "adjustment_id": pick(LINE),
            "adjustment_type": pick(TYPE),
            "adjustment_number": pick("FBillNo"),
            "adjustment_date": pick("FDATE"),
            "amount": pick(AMOUNT),
            "customer_id": pick("FCONTACTUNIT.FNumber", *_PARTNER[:2], "FPAYUNIT.FNumber"),
            "invoice_id": pick(INVOICE),
            "credit_type": pick(CREDIT_TYPE),
            "credit_id": pick(CREDIT),
            "reason": pick("FREMARK", "FRemark", "FDESCRIPTION"),
            **_DOCUMENT,
        },
        mode="full",
    ),
    "exchange_rates": Shape(
        "BD_Rate",
        {
            "rate_date": pick("FBegDate", "FBEGDATE"),
            "from_currency": pick("FCyForID.FCODE", "FCyForID.FNumber", convert=_currency),
            "to_currency": pick("FCyToID.FCODE", "FCyToID.FNumber", convert=_currency),
            "rate": pick("FExchangeRate", "FEXCHANGERATE"),
        },
        mode="full",
    ),
}
# The key of a form's rows: FID for documents.
KEYS = {"BD_Customer": "FCUSTID", "BD_Rate": "FRateID"}
# A field that only a form's lines have, and the likely names of that part of the form.
LINE_FIELDS = {
    "AR_receivable": ("FPAYAMOUNTFOR", ("FEntityPlan",)),
    MATCH_FORM: ("FCURWRITTENOFFAMOUNTFOR", ("FEntity", "FRECMACTHLOGENTRY", "FEntry")),
    "AR_BADDebtLoss": ("FSRCBILLNO", ("FEntity", "FBADDEBTLOSSENTRY", "FEntry")),
}
MATCH_FIELDS = ("FSOURCEFROMID", "FSRCBILLID", "FTARGETFROMID", "FTARGETBILLID", "FCURWRITTENOFFAMOUNTFOR")
# What of a document is settled, as the account set keeps it: an amount, else a word (A none, B part, C all).
SETTLED = ("FRELATEHADPAYAMOUNT", "FWRITTENOFFAMOUNTFOR_D", "FWRITTENOFFAMOUNTFOR")
SETTLED_STATUS = ("FWRITTENOFFSTATUS",)
RATES = ("FEXCHANGERATE", "FExchangeRate")
LOSS_AMOUNTS = ("FLOSSAMOUNTFOR", "FBADDEBTAMOUNTFOR", "FALLAMOUNTFOR", "FAMOUNTFOR")
REFUND_AMOUNTS = ("FREFUNDAMOUNTFOR", "FREFUNDTOTALAMOUNTFOR", "FREALREFUNDAMOUNTFOR", "FALLAMOUNTFOR")


class KingdeeAuth(Credentials):
    """Whom to log in as; with `app_id` and `app_secret` as a third-party application."""

    CONNECTION_FIELDS: ClassVar[dict[str, str]] = {"user": "login", "password": "password"}

    account_set: str = Field("${KINGDEE_ACCOUNT_SET}", description="The id of the account set (数据中心).")
    user: str = "${KINGDEE_USER}"
    password: str | None = "${KINGDEE_PASSWORD}"
    app_id: str | None = None
    app_secret: str | None = None

    @model_validator(mode="after")
    def _is_one_way(self) -> KingdeeAuth:
        if (self.app_id is None) != (self.app_secret is None):
            raise ValueError("app_id and app_secret stand together")
        return self


class KingdeeEntity(HttpEntity):
    """One canonical entity, out of one or more forms of the account set."""

    forms: tuple[str, ...] | None = Field(None, description="The forms, e.g. [AR_receivable].")


class KingdeeLimits(Limits):
    """What the installation stands: it is the company's own server, and people work on it."""

    calls_per_minute: int = Field(120, ge=1, description="All tasks together wait for their turn.")


class KingdeeSource(SourceConfig):
    """An account set of Kingdee K/3 Cloud."""

    kind: Literal["kingdee"]
    timezone: TimeZone = Field("Asia/Shanghai", description="The server's zone: its times have no offset.")
    base_url: str = Field(
        description="The server, e.g. https://erp.example.com/k3cloud; ${VARIABLE} is allowed."
    )
    auth: KingdeeAuth = KingdeeAuth()
    limits: KingdeeLimits = KingdeeLimits()
    language: int = Field(2052, description="The language of names: 2052 Chinese, 1033 English.")
    page_rows: int = Field(2000, ge=1, le=10_000, description="Rows per query.")
    without: tuple[str, ...] = Field((), description="Entities that are not read.")
    entities: dict[str, KingdeeEntity] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_its_preset(self) -> KingdeeSource:
        completed = with_preset(self.entities, PRESET, without=self.without, model=KingdeeEntity, origin=None)
        delivered = (*PRESET, own_balance.ENTITY)
        for name in completed:
            if name in ENTITIES and name not in delivered:
                said = f"kind kingdee does not deliver {name}; it delivers {', '.join(delivered)}"
                raise PydanticCustomError("value_error", "{text}", {"text": said, "at": ("entities", name)})
        self.entities.clear()
        self.entities.update(completed)
        balances = self.entities.get(own_balance.ENTITY)
        if balances is not None:
            self.entities[own_balance.ENTITY] = own_balance.of_every_night(self, balances)
        return self


@dataclass(frozen=True)
class _Form:
    """One form as the account set has it; `parts` says where each field stands, {} where nobody may know."""

    name: str
    labels: dict[str, str]
    parts: dict[str, str]

    @property
    def key(self) -> str:
        return KEYS.get(self.name, "FID")

    def line(self, field: str, likely: Sequence[str]) -> tuple[str, ...]:
        """The fields that may hold the key of the lines that `field` stands in."""
        part = self.parts.get(field.lower())
        return tuple(f"{name}_FEntryID" for name in ((part,) if part and part != HEAD else likely))

    def in_lines(self, field: str) -> bool | None:
        """Whether a field belongs to lines; None: not known."""
        part = self.parts.get(field.split(".")[0].lower())
        return None if part is None else part != HEAD


Reference = tuple[str, str]  # form and key of a document


class KingdeeConnector:
    """Reads one account set."""

    def __init__(self, source: KingdeeSource, settings: Settings) -> None:
        self.source = source
        self._zone = ZoneInfo(source.timezone)
        self._api = KingdeeApi(_account(source, settings), settings)
        self._forms: dict[str, _Form | None] = {}
        self._choices: dict[tuple[str, str], Chosen] = {}
        self._absent: dict[str, set[str]] = {}
        self._memos: dict[Reference, bool] = {}
        self._repeated: dict[tuple[str, str], bool] = {}
        self._met: dict[str, None] = {}

    def close(self) -> None:
        self._api.close()

    def describe(self, entity: str) -> tuple[str, ...]:
        """The canonical columns that the forms feed, then the forms' own fields."""
        if entity == own_balance.ENTITY:
            return own_balance.COLUMNS
        names: dict[str, None] = {}
        for form in self._forms_of(entity):
            chosen = self._choice(entity, form)
            names |= dict.fromkeys(chosen.fields)
        for form in self._forms_of(entity):
            names |= dict.fromkeys((*form.labels, *self._named_in_file(entity, form)))
        return tuple(dict.fromkeys((*names, "updated_at")))

    def notes(self, entity: str) -> tuple[str, ...]:
        """What this account set turned out to have where account sets differ."""
        if entity == own_balance.ENTITY:
            return (*self._met, *self._api.notes)
        found = [
            f"{form.name}: {note}"
            for form in self._forms_of(entity)
            for note in self._choice(entity, form).notes
        ]
        wanted = self._wanted_forms(entity)
        found += [f"there is no form {name}" for name in wanted if self._form(name) is None]
        if entity == "adjustments" and self._api.has_documents(RECOVERY_FORM):
            found.append(
                f"bad debts were recovered ({RECOVERY_FORM}), which is not read: the money counts with its"
                " receipt, and the debt stays written off"
            )
        return (*found, *self._met, *self._api.notes)

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """Rows of documents changed in the window; of a full entity all."""
        if entity == own_balance.ENTITY:
            yield from batches(self._balance(window), own_balance.COLUMNS, origin="balances of documents")
            return
        is_incremental = self.source.entities[entity].mode == "incremental"
        columns = self._plan(entity).used_columns(self.describe(entity))
        rows = self._rows(entity, columns, window if is_incremental else None)
        yield from batches(rows, columns, origin=" + ".join(form.name for form in self._forms_of(entity)))

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """The keys of all rows that still count."""
        columns = self._plan(entity).key_columns(self.describe(entity))
        yield from batches(self._rows(entity, columns, None), columns, origin=f"keys of {entity}")

    # --- what the account set has ---

    def _plan(self, entity: str) -> ColumnPlan:
        return ColumnPlan(self.source, ENTITIES[entity], cursor=self.source.entities[entity].cursor)

    def _wanted_forms(self, entity: str) -> tuple[str, ...]:
        return self.source.entities[entity].forms or tuple(PRESET[entity].origin.split(", "))

    def _forms_of(self, entity: str) -> list[_Form]:
        """The forms of an entity that exist; the first must."""
        wanted = self._wanted_forms(entity)
        found = [form for name in wanted if (form := self._form(name)) is not None]
        if not found:
            raise PermanentError(
                f"source {self.source.name}, {entity}",
                cause=f"the account set has none of the forms {', '.join(wanted)}",
                next_step=f"name its form at entities.{entity}.forms in {self.source.file.name}, or write"
                f" `without: [{entity}]`",
            )
        return found

    def _form(self, name: str) -> _Form | None:
        if name not in self._forms:
            self._forms[name] = self._look_up(name)
        return self._forms[name]

    def _look_up(self, name: str) -> _Form | None:
        try:
            described = self._api.business_info(name)
        except NoFormError:
            return None
        if described is None:
            # Nobody may read the metadata: every candidate counts as there until a query says otherwise.
            names = {
                field
                for shape in PRESET.values()
                if name in shape.origin
                for wanted in shape.picks.values()
                for field in wanted.candidates
            }
            return _Form(name, {field: "" for field in sorted(names) if not field.startswith("$")}, {})
        labels: dict[str, str] = {}
        parts: dict[str, str] = {}
        for part in described:
            for field in part.get("Fields") or ():
                labels.setdefault(field["Key"], _label(field.get("Name"), self.source.language))
                parts.setdefault(field["Key"].lower(), part["Key"])
        labels.setdefault(KEYS.get(name, "FID"), "")
        return _Form(name, labels, parts)

    def _named_in_file(self, entity: str, form: _Form) -> list[str]:
        """Fields like FCustId.FNumber that the source file names and the form may have."""
        config = self.source.entities[entity]
        named = list(config.where)
        for mapping in config.columns.values():
            named += [name for name in (mapping.from_, mapping.from_terms) if name]
            named += mapping.template_columns
        return [name for name in named if "." in name and has_field(name, form.labels)]

    def _choice(self, entity: str, form: _Form) -> Chosen:
        """The fields of a form that feed an entity, tried in a query of one row."""
        if (entity, form.name) not in self._choices:
            absent = self._absent.setdefault(form.name, set())
            while True:
                labels = {**form.labels, **dict.fromkeys(VIRTUAL, "")}
                shape = PRESET[entity]
                chosen = choose(self.source, entity, shape, labels, what=form.name, absent=absent)
                asked = [name for name in chosen.fields.values() if not name.startswith("$")]
                refused = self._api.refused_field(form.name, [form.key, *dict.fromkeys(asked)])
                if refused is None:
                    break
                absent.add(refused)
            self._choices[(entity, form.name)] = chosen
        return self._choices[(entity, form.name)]

    def _first(self, form: _Form, candidates: Iterable[str]) -> str | None:
        """The first of some fields that a form has."""
        absent = self._absent.setdefault(form.name, set())
        for name in candidates:
            is_line = name.endswith("_FEntryID")
            if name in absent or (form.parts and not is_line and not has_field(name, form.labels)):
                continue
            if self._api.refused_field(form.name, [form.key, name]) is None:
                return name
            absent.add(name)
        return None

    # --- rows ---

    def _rows(self, entity: str, columns: Sequence[str], window: Window | None) -> Iterator[Record]:
        makers: dict[str, Callable[[_Form, Chosen, Sequence[str], Window | None], Iterator[Record]]] = {
            "customers": self._customers,
            "invoices": self._documents_of("invoices", sign=1),
            "credit_memos": self._documents_of("credit_memos", sign=-1),
            "receipts": self._documents_of("receipts", sign=0),
            "instalments": self._instalments,
            "applications": self._applications,
            "adjustments": self._adjustments,
            "exchange_rates": self._documents_of("exchange_rates", sign=0),
        }
        for form in self._forms_of(entity):
            yield from makers[entity](form, self._choice(entity, form), columns, window)

    def _row(
        self, chosen: Chosen, columns: Sequence[str], record: Record, made: Mapping[str, str | None]
    ) -> Record:
        row: Record = {}
        for column in columns:
            field = chosen.fields.get(column, column)
            value = made.get(field) if field.startswith("$") else record.get(field)
            row[column] = chosen.value(column, value) if column in chosen.fields else value
        return row

    def _fields(self, form: _Form, chosen: Chosen, columns: Sequence[str]) -> list[str]:
        """The form's fields behind some columns; the canonical ones that it does not feed are left out."""
        fields = [chosen.fields.get(column, column) for column in columns]
        return [name for name in fields if not name.startswith("$") and has_field(name, form.labels)]

    def _is_in_lines(self, form: _Form, field: str, document: Document) -> bool:
        """Whether a field of a document of several rows belongs to its lines, or is the header's, repeated.

        Where nobody may read metadata, a query of this document for the field alone tells: a field of the
        lines comes as often as there are lines.
        """
        known = form.in_lines(field)
        if known is not None:
            return known
        if (form.name, field) not in self._repeated:
            of_it = f"{form.key}={document[0][form.key]}"
            alone = self._api.rows(form.name, [form.key, field], of_it)
            if not alone:
                return False  # deleted meanwhile: it tells nothing about the others
            self._repeated[(form.name, field)] = len(alone) > 1
        return self._repeated[(form.name, field)]

    def _total(self, form: _Form, amount: str, document: Document) -> Decimal:
        """The amount of a document: the sum of its lines, or the header's, which each row repeats."""
        is_sum = len(document) > 1 and self._is_in_lines(form, amount, document)
        return sum((_number(row.get(amount)) for row in (document if is_sum else document[:1])), Decimal(0))

    def _status_fields(self, form: _Form) -> tuple[str | None, str | None]:
        return self._first(form, ("FDocumentStatus",)), self._first(form, ("FCancelStatus",))

    @staticmethod
    def _status(record: Record, fields: tuple[str | None, str | None]) -> str:
        """Cancelled is void; audited is posted; what is not audited (any more) is a draft."""
        approved, cancelled = fields
        if cancelled and record.get(cancelled) == "B":
            return "void"
        return "posted" if approved is None or record.get(approved) == "C" else "draft"

    def _of_customers(self, form: _Form) -> list[str]:
        """The condition that a document's partner is a customer, where the form has other partners too."""
        kind = self._first(form, ("FCONTACTUNITTYPE",))
        return [f"{kind}='BD_Customer'"] if kind else []

    def _changed(self, form: _Form) -> str | None:
        return self._first(form, MODIFIED)

    def _documents(
        self, form: _Form, fields: Iterable[str | None], conditions: Sequence[str], window: Window | None
    ) -> Iterator[Document]:
        wanted = [form.key, *(name for name in dict.fromkeys(fields) if name and name != form.key)]
        stamps = self._stamps(form) if window is not None else None
        return self._api.documents(
            form.name, form.key, wanted, conditions, stamps=stamps, window=window, zone=self._zone
        )

    def _stamps(self, form: _Form) -> Stamps | None:
        """What tells that a document changed.

        An audit, and its end, may leave the time of change as it was: an audit has a time of its own, and
        what is not audited (any more) is read each time.
        """
        changed = self._changed(form)
        status = self._status_fields(form)[0]
        return Stamps(changed, self._first(form, APPROVED), status) if changed else None

    def _documents_of(
        self, entity: str, *, sign: int
    ) -> Callable[[_Form, Chosen, Sequence[str], Window | None], Iterator[Record]]:
        """Entities of one row per document; `sign` picks those with amounts from 0 up, or below."""

        def rows(
            form: _Form, chosen: Chosen, columns: Sequence[str], window: Window | None
        ) -> Iterator[Record]:
            mapped = self.source.entities[entity].columns.get("amount")
            amount = chosen.fields.get("amount") or (mapped.from_ if mapped else None)
            status = self._status_fields(form)
            conditions = self._of_customers(form)
            # A condition on a field of the lines would leave lines out.
            if amount and sign and form.in_lines(amount) is False:
                conditions.append(f"{amount}>=0" if sign > 0 else f"{amount}<0")
            fields = [*self._fields(form, chosen, columns), *status, amount]
            for document in self._documents(form, fields, conditions, window):
                record = dict(document[0])
                if amount and len(document) > 1:
                    record[amount] = format(self._total(form, amount, document), "f")
                if amount and sign and (_number(record.get(amount)) < 0) != (sign < 0):
                    continue
                made = {KEY: _reference(form.name, record[form.key]), STATUS: self._status(record, status)}
                yield self._row(chosen, columns, record, made)

        return rows

    def _customers(
        self, form: _Form, chosen: Chosen, columns: Sequence[str], window: Window | None
    ) -> Iterator[Record]:
        """Customers by number. Each organisation that one is assigned to has a copy: the first counts."""
        number = chosen.fields.get("customer_id")
        seen: set[str | None] = set()
        for document in self._documents(form, [*self._fields(form, chosen, columns), number], [], window):
            record = document[0]
            if number and record.get(number) in seen:
                continue
            seen.add(record.get(number or ""))
            yield self._row(chosen, columns, record, {KEY: record[form.key]})

    def _instalments(
        self, form: _Form, chosen: Chosen, columns: Sequence[str], window: Window | None
    ) -> Iterator[Record]:
        """The payment plan of a receivable, numbered as its lines were made.

        A due date that is the header's, repeated in each line, is no plan: the receivable then keeps its own.
        """
        total = self._first(form, _RECEIVABLE_AMOUNT)
        line = self._line_field(form)
        due = chosen.fields.get("due_date")
        conditions = [*self._of_customers(form), *([f"{total}>=0"] if total else [])]
        for document in self._documents(
            form, [*self._fields(form, chosen, columns), line], conditions, window
        ):
            if due and len(document) > 1 and not self._is_in_lines(form, due, document):
                self._met[
                    f"{form.name}: {due} is the header's, so plans of several lines have no dates and are"
                    " left out; name the plan's own field at entities.instalments.columns.due_date"
                ] = None
                continue
            lines = sorted(document, key=lambda record: _number(record.get(line or "")))
            for number, record in enumerate(lines, 1):
                made = {KEY: _reference(form.name, record[form.key]), LINE: str(number)}
                yield self._row(chosen, columns, record, made)

    def _line_field(self, form: _Form) -> str | None:
        """The field that holds the key of a form's lines."""
        field, likely = LINE_FIELDS[form.name]
        return self._first(form, form.line(field, likely))

    def _applications(
        self, form: _Form, chosen: Chosen, columns: Sequence[str], window: Window | None
    ) -> Iterator[Record]:
        """Matches of a receivable with a receipt or a red receivable: each pair once, whoever tells it."""
        line = self._line_field(form)
        active = self._first(form, ("FISACTIVATION",))
        fields = [*self._fields(form, chosen, columns), *MATCH_FIELDS, line, active]
        for document in self._with_signs(self._documents(form, fields, [], window)):
            if active and document[0].get(active) in {"0", "false"}:
                continue
            for number, pair in enumerate(_pairs(document, self._memos), 1):
                record = pair.record
                key = record.get(line) if line else str(number)
                made = {
                    LINE: f"{_reference(form.name, record[form.key])}:{key}",
                    INVOICE: _reference(*pair.debit),
                    CREDIT: _reference(*pair.credit),
                    CREDIT_TYPE: "receipt" if pair.credit[0] == RECEIPT_FORM else "credit_memo",
                    AMOUNT: format(abs(pair.amount), "f"),
                }
                yield self._row(chosen, columns, record, made)

    def _with_signs(self, documents: Iterator[Document]) -> Iterator[Document]:
        """Match documents, after it is known which of the receivables in them are red ones.

        That matters only where two receivables meet; it is asked for many matches at once.
        """
        while chunk := list(islice(documents, 500)):
            sides = [_side(record) for document in chunk for record in document]
            self._learn_signs(
                {
                    one
                    for source, target, _ in sides
                    if source[0] in RECEIVABLE_FORMS and target[0] in RECEIVABLE_FORMS
                    for one in (source, target)
                    if one not in self._memos
                }
            )
            yield from chunk

    def _learn_signs(self, receivables: set[Reference]) -> None:
        for name, ones in groupby(sorted(receivables), key=lambda one: one[0]):
            form = self._form(name)
            amount = self._first(form, _RECEIVABLE_AMOUNT) if form else None
            if form is None or amount is None:
                continue
            keys = ", ".join(sorted(key for _, key in ones if key.isdigit()))
            for record in self._api.rows(name, [form.key, amount], f"{form.key} in ({keys})"):
                self._memos[(name, record[form.key] or "")] = _number(record.get(amount)) < 0

    def _adjustments(
        self, form: _Form, chosen: Chosen, columns: Sequence[str], window: Window | None
    ) -> Iterator[Record]:
        if form.name == REFUND_FORM:
            yield from self._refunds(form, chosen, columns, window)
        else:
            yield from self._losses(form, chosen, columns, window)

    def _refunds(
        self, form: _Form, chosen: Chosen, columns: Sequence[str], window: Window | None
    ) -> Iterator[Record]:
        """Refunds, each as far as it is matched to a receipt or a red receivable, and its unmatched rest."""
        amount = self._first(form, REFUND_AMOUNTS)
        status = self._status_fields(form)
        if amount is None:
            raise PermanentError(
                f"source {self.source.name}, adjustments ({form.name})",
                cause=f"none of the amounts {', '.join(REFUND_AMOUNTS)} exists",
                next_step="write `without: [adjustments]` and report the form's fields",
            )
        matched = self._refund_matches()
        fields = [*self._fields(form, chosen, columns), *status, amount]
        for document in self._documents(form, fields, self._of_customers(form), window):
            record = document[0]
            reference = (form.name, record[form.key] or "")
            rest = abs(self._total(form, amount, document))
            common = {KEY: _reference(*reference), TYPE: "refund", STATUS: self._status(record, status)}
            for number, (credit, part) in enumerate(sorted(matched.get(reference, {}).items()), 1):
                made = {
                    **common,
                    LINE: f"{_reference(*reference)}:{number}",
                    AMOUNT: format(part, "f"),
                    CREDIT: _reference(*credit),
                    CREDIT_TYPE: "receipt" if credit[0] == RECEIPT_FORM else "credit_memo",
                }
                rest -= part
                yield self._row(chosen, columns, record, made)
            if rest > 0:
                made = {**common, LINE: _reference(*reference), AMOUNT: format(rest, "f")}
                yield self._row(chosen, columns, record, made)

    def _refund_matches(self) -> dict[Reference, dict[Reference, Decimal]]:
        """Refund -> what of it was paid out of which credit."""
        form = self._form(MATCH_FORM)
        if form is None:
            return {}
        active = self._first(form, ("FISACTIVATION",))
        found: dict[Reference, dict[Reference, dict[bool, Decimal]]] = {}
        either = f"(FSOURCEFROMID='{REFUND_FORM}' or FTARGETFROMID='{REFUND_FORM}')"
        for document in self._documents(form, [*MATCH_FIELDS, active], [either], None):
            for record in document:
                if active and record.get(active) in {"0", "false"}:
                    continue
                source, target, amount = _side(record)
                for refund, credit, is_own in ((source, target, True), (target, source, False)):
                    if refund[0] == REFUND_FORM and credit[0] != REFUND_FORM:
                        told = found.setdefault(refund, {}).setdefault(credit, {})
                        told[is_own] = told.get(is_own, Decimal(0)) + abs(amount)
        return {
            refund: {credit: told.get(True, told.get(False, Decimal(0))) for credit, told in credits.items()}
            for refund, credits in found.items()
        }

    def _losses(
        self, form: _Form, chosen: Chosen, columns: Sequence[str], window: Window | None
    ) -> Iterator[Record]:
        """Bad debts that were written off, line by line, with the receivable that each line names."""
        amount = self._first(form, LOSS_AMOUNTS)
        if amount is None:
            raise PermanentError(
                f"source {self.source.name}, adjustments ({form.name})",
                cause=f"none of the amounts {', '.join(LOSS_AMOUNTS)} exists",
                next_step="write `forms: [AR_REFUNDBILL]` at entities.adjustments",
            )
        by_key = self._first(form, ("FSRCBILLID", "FSOURCEBILLID"))
        by_number = None if by_key else self._first(form, ("FSRCBILLNO", "FSOURCEBILLNO"))
        line = self._line_field(form)
        status = self._status_fields(form)
        fields = [*self._fields(form, chosen, columns), *status, amount, by_key, by_number, line]
        for document in self._documents(form, fields, self._of_customers(form), window):
            numbers = {record.get(by_number) for record in document} if by_number else set()
            named = self._receivables_by_number({number for number in numbers if number})
            if len(document) > 1 and not self._is_in_lines(form, amount, document):
                # One amount for several receivables: nobody says how much of it is whose.
                document = [{**document[0], **{name: None for name in (by_key, by_number) if name}}]
            for place, record in enumerate(document, 1):
                reference = _reference(form.name, record[form.key])
                key = (record.get(line) if line else None) or str(place)
                invoice = named.get(record.get(by_number or "") or "")
                if by_key and (record.get(by_key) or "0") != "0":
                    invoice = _reference(RECEIVABLE_FORMS[0], record[by_key])
                made = {
                    KEY: reference,
                    LINE: f"{reference}:{key}",
                    TYPE: "write_off",
                    STATUS: self._status(record, status),
                    AMOUNT: format(abs(_number(record.get(amount))), "f"),
                    INVOICE: invoice,
                }
                yield self._row(chosen, columns, record, made)

    # --- what the account set says is open ---

    def _balance(self, window: Window) -> Iterator[dict[str, Any]]:
        """The open amounts of receivables and refunds less those of receipts."""
        names = (*RECEIVABLE_FORMS, RECEIPT_FORM, REFUND_FORM)
        forms = [form for name in names if (form := self._form(name)) is not None]
        match = self._form(MATCH_FORM)
        over = own_balance.day_over(window, self._zone)
        for form in (*forms, *([match] if match else [])):
            known = (self._changed(form), self._first(form, CREATED), self._first(form, APPROVED))
            times = [name for name in known if name]
            if self._api.changed_since(form.name, form.key, times, over, self._zone):
                reason = f"{form.name} changed after {over.isoformat()}"
                self._met[own_balance.none_because(self.source, reason)] = None
                return
        total = Decimal(0)
        for form in forms:
            # To its end: a read that is left in the middle would be taken up there.
            for open_amount, rate in list(self._open_amounts(form, window)):
                if open_amount is None:
                    reason = f"{form.name} tells of parts that are settled, and not how much"
                    self._met[own_balance.none_because(self.source, reason)] = None
                    return
                sign = -1 if form.name == RECEIPT_FORM else 1
                total += sign * own_balance.in_base(open_amount, rate)
        yield own_balance.row(self.source, window, self._zone, total)

    def _open_amounts(self, form: _Form, window: Window) -> Iterator[tuple[Decimal | None, Decimal | None]]:
        """What is open of each audited document of customers until the end of a window, and its rate.

        None where the account set says that a part is settled, and neither it nor the matches say how much.
        """
        amounts = {
            RECEIPT_FORM: PRESET["receipts"].picks["amount"].candidates,
            REFUND_FORM: REFUND_AMOUNTS,
        }.get(form.name, _RECEIVABLE_AMOUNT)
        amount, settled = self._first(form, amounts), self._first(form, SETTLED)
        word, day = self._first(form, SETTLED_STATUS), self._first(form, ("FDATE",))
        rate, status = self._first(form, RATES), self._status_fields(form)
        matched = {} if settled else self._matched(form.name)
        fields = [amount, settled, word, day, rate, *status]
        last = own_balance.last_day(window, self._zone).isoformat()
        for document in self._documents(form, fields, self._of_customers(form), None):
            record = document[0]
            if amount is None or self._status(record, status) != "posted":
                continue
            if day and (record.get(day) or "")[:10] > last:
                continue
            whole = self._total(form, amount, document)
            part: Decimal | None = None
            if settled:
                part = abs(self._total(form, settled, document))
            elif word:
                told = {"A": Decimal(0), "C": abs(whole)}
                part = told.get(record.get(word) or "A", matched.get(record[form.key] or ""))
            left = None if part is None else (abs(whole) - part) * (-1 if whole < 0 else 1)
            yield left, _number(record.get(rate)) if rate and record.get(rate) else None

    def _matched(self, name: str) -> dict[str, Decimal]:
        """Key of a document of a form -> what matches settled of it."""
        form = self._form(MATCH_FORM)
        if form is None:
            return {}
        active = self._first(form, ("FISACTIVATION",))
        told: dict[str, dict[bool, Decimal]] = {}
        either = f"(FSOURCEFROMID='{name}' or FTARGETFROMID='{name}')"
        for document in self._documents(form, [*MATCH_FIELDS, active], [either], None):
            for record in document:
                if active and record.get(active) in {"0", "false"}:
                    continue
                source, target, amount = _side(record)
                for one, is_own in ((source, True), (target, False)):
                    if one[0] == name:
                        sums = told.setdefault(one[1], {})
                        sums[is_own] = sums.get(is_own, Decimal(0)) + abs(amount)
        return {key: sums.get(True, sums.get(False, Decimal(0))) for key, sums in told.items()}

    def _receivables_by_number(self, numbers: set[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in RECEIVABLE_FORMS:
            form = self._form(name)
            if form is None or not numbers:
                continue
            listed = ", ".join(_quoted(number) for number in sorted(numbers))
            for record in self._api.rows(name, [form.key, "FBillNo"], f"FBillNo in ({listed})"):
                found.setdefault(record["FBillNo"] or "", _reference(name, record[form.key]))
        return found


@dataclass(frozen=True)
class _Pair:
    """One settlement of a match, and the row that told it."""

    debit: Reference
    credit: Reference
    amount: Decimal
    record: Record


def _pairs(document: Document, memos: Mapping[Reference, bool]) -> list[_Pair]:
    """The settlements of one match document.

    A match tells each pair from both its sides, or from one of them only. The receivable's own side is taken
    where it is there.
    """

    def is_debit(one: Reference) -> bool:
        return one[0] in RECEIVABLE_FORMS and not memos.get(one, False)

    def is_credit(one: Reference) -> bool:
        return one[0] == RECEIPT_FORM or (one[0] in RECEIVABLE_FORMS and memos.get(one, False))

    told: dict[tuple[Reference, Reference], dict[bool, list[_Pair]]] = {}
    for record in document:
        source, target, amount = _side(record)
        for debit, credit, is_own in ((source, target, True), (target, source, False)):
            if is_debit(debit) and is_credit(credit):
                both = told.setdefault((debit, credit), {})
                both.setdefault(is_own, []).append(_Pair(debit, credit, amount, record))
    return [pair for both in told.values() for pair in (both.get(True) or both[False])]


def _side(record: Record) -> tuple[Reference, Reference, Decimal]:
    """A match row: its own document, the other one, and the amount."""
    source_form, source, target_form, target, amount = (record.get(name) for name in MATCH_FIELDS)
    return (
        (_form_name(source_form), source or ""),
        (_form_name(target_form), target or ""),
        _number(amount),
    )


_FORM_NAMES = {name.lower(): name for name in (*RECEIVABLE_FORMS, RECEIPT_FORM, REFUND_FORM)}


def _form_name(name: str | None) -> str:
    return _FORM_NAMES.get((name or "").lower(), name or "")


def _reference(form: str, key: str | None) -> str:
    """The id of a document here: keys of two forms may be the same number."""
    return f"{form}:{key}"


def _number(value: str | None) -> Decimal:
    return Decimal(value) if value else Decimal(0)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _label(names: Any, language: int) -> str:
    """What people call a field, out of the names in all languages."""
    if isinstance(names, str):
        return names
    found = {one.get("Key"): str(one.get("Value") or "") for one in names or () if isinstance(one, dict)}
    return found.get(language) or next(iter(found.values()), "")


def _account(source: KingdeeSource, settings: Settings) -> Account:
    where = f"source {source.name} ({source.file})"
    is_application = source.auth.app_id is not None
    auth = source.auth.model_copy(update={"password": None}) if is_application else source.auth
    return Account(
        source=source.name,
        base_url=expand(source.base_url, settings, what=where),
        given=auth.resolve(settings, what=where),
        language=source.language,
        page_rows=source.page_rows,
        limits=source.limits,
    )
