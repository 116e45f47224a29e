"""Yonyou YonBIP (用友): receivables, receipts, refunds, verifications and customers, out of its lists.

A list answers rows of header × line, which are put together to documents. Its pages are numbered, and a row
that changes moves to another page: a list is read until a pass is whole. Which fields a tenant sends is seen
in its rows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from receivables.company import TimeZone
from receivables.entities import ENTITIES
from receivables.errors import PermanentError, TransientError
from receivables.settings import Settings
from receivables.sources.base import SourceBatch, Window
from receivables.sources.config import SourceConfig
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
    parse_json,
    text,
)
from receivables.sources.http_state import Spool, ThrottledError, Token, name_of
from receivables.sources.mapping import ColumnPlan
from receivables.sources.presets import Shape, pick, with_preset, words
from receivables.yamlfile import StrictModel

SETTLING = timedelta(seconds=60)
PAGE_ROWS, CUSTOMER_PAGE_ROWS = 500, 5000
# A pass over more rows is split by time: the fewer pages, the likelier that nothing moves meanwhile.
PASS_ROWS = 5000
PASSES = 6
FIRST_DAY = "2000-01-01 00:00:00"
PATHS = {
    "customers": "/yonbip/digitalModel/merchant/newlist",
    "invoices": "/yonbip/EFI/receivable/list",
    "receipts": "/yonbip/EFI/collection/list",
    "refunds": "/yonbip/EFI/arRefund/list",
    "applications": "/yonbip/fi/arverify/list",
}
# 事项类型 of a verification's rows.
DEBITS, CREDITS = (
    {"1": "invoice", "2": "invoice", "9": "refund"},
    {"3": "credit_memo", "4": "credit_memo", "7": "receipt"},
)
CURRENCIES = {
    "人民币": "CNY",
    "美元": "USD",
    "欧元": "EUR",
    "港元": "HKD",
    "港币": "HKD",
    "日元": "JPY",
    "日圆": "JPY",
    "英镑": "GBP",
    "新台币": "TWD",
    "澳元": "AUD",
    "加元": "CAD",
    "新加坡元": "SGD",
}
AMOUNTS = ("bodyItemOriTaxIncludedAmount", "oriTaxIncludedAmount")
AMOUNT = "·amount"  # what the connector makes of a document's lines

_status = words({"0": "draft", "1": "draft", "2": "posted", "3": "void", "4": "draft"})
_currency = words(CURRENCIES)
_RECORDED = {
    "created_at": pick("createTime", "bodyItemCreateTime"),
    "updated_at": pick("pubts", "modifyTime"),
}
_DOCUMENT = {
    "customer_id": pick("bodyItemCustomer", "customer"),
    "amount": pick(AMOUNT),
    "currency_code": pick(
        "bodyItemOriCurrencyCode", "oriCurrencyCode", "bodyItemOriCurrencyName", "oriCurrencyName",
        convert=_currency,
    ),
    "exchange_rate": pick("bodyItemExchangeRate", "exchangeRate"),
    "status": pick("verifyState", convert=_status),
    **_RECORDED,
}  # fmt: skip
PRESET: dict[str, Shape] = {
    "customers": Shape(
        "customers",
        {
            "customer_id": pick("id"),
            "customer_name": pick("name"),
            "parent_customer_id": pick("parentCustomerId"),
            "segment": pick("customerClassName", "customerClassCode"),
            "industry": pick("customerIndustryName", "customerIndustryCode"),
            "is_active": pick("stopStatus", convert=lambda word: "false" if word == "true" else "true"),
            "created_at": pick("createTime"),
            "updated_at": pick("modifyTime", "pubts"),
        },
        mode="full",
    ),
    "invoices": Shape(
        "invoices",
        {
            "invoice_id": pick("·reference"),
            "invoice_number": pick("code"),
            "invoice_date": pick("billDate"),
            "due_date": pick("bodyItemDueDate", "dueDate", "bodyItemExpireDate", "expireDate"),
            "salesperson": pick("bodyItemStaffName", "staffName"),
            **_DOCUMENT,
        },
    ),
    "credit_memos": Shape(
        "invoices",
        {
            "credit_memo_id": pick("·reference"),
            "credit_memo_number": pick("code"),
            "credit_memo_date": pick("billDate"),
            **_DOCUMENT,
        },
    ),
    "receipts": Shape(
        "receipts",
        {
            "receipt_id": pick("·reference"),
            "receipt_number": pick("code"),
            "receipt_date": pick("billDate"),
            "method": pick("bodyItemSettleModeName", "settleModeName"),
            **_DOCUMENT,
        },
    ),
    "applications": Shape(
        "applications",
        {
            "application_id": pick("·key"),
            "credit_type": pick("·credit_type"),
            "credit_id": pick("·credit_id"),
            "invoice_id": pick("·invoice_id"),
            "amount": pick(AMOUNT),
            "applied_on": pick("vouchdate"),
            "created_at": pick("createTime", "pubts"),
            "updated_at": pick("pubts"),
        },
    ),
    # What of a refund came out of which receipt is known from the verifications: read in full with them.
    "adjustments": Shape(
        "refunds",
        {
            "adjustment_id": pick("·key"),
            "adjustment_type": pick("·type"),
            "adjustment_number": pick("code"),
            "adjustment_date": pick("billDate"),
            "credit_type": pick("·credit_type"),
            "credit_id": pick("·credit_id"),
            **_DOCUMENT,
        },
        mode="full",
    ),
}


class YonbipAuth(Credentials):
    """The self-built app of the tenant."""

    CONNECTION_FIELDS: ClassVar[dict[str, str]] = {"app_key": "login", "app_secret": "password"}

    app_key: str = "${YONBIP_APP_KEY}"
    app_secret: str = "${YONBIP_APP_SECRET}"
    tenant_id: str | None = Field(
        "${YONBIP_TENANT_ID}", description="Finds the tenant's data centre; not needed beside both addresses."
    )


class YonbipPaths(StrictModel):
    """The list endpoints, for tenants that publish others."""

    customers: str = PATHS["customers"]
    invoices: str = PATHS["invoices"]
    receipts: str = PATHS["receipts"]
    refunds: str = PATHS["refunds"]
    applications: str = PATHS["applications"]


class YonbipSource(SourceConfig):
    """A tenant of YonBIP."""

    kind: Literal["yonbip"]
    timezone: TimeZone = Field("Asia/Shanghai", description="Its times carry no offset.")
    auth: YonbipAuth = YonbipAuth()
    limits: Limits = Limits()
    registry_url: str = Field(
        "https://apigateway.yonyoucloud.com", description="Where the data centre of a tenant is asked for."
    )
    token_url: str | None = Field(None, description="…/iuap-api-auth of the data centre, instead of asking.")
    gateway_url: str | None = Field(None, description="…/iuap-api-gateway of the data centre.")
    paths: YonbipPaths = YonbipPaths()
    reference: Literal["id", "code"] = Field(
        "id", description="What verifications name documents by. Keep it: it makes the ids of documents."
    )
    without: tuple[str, ...] = Field((), description="Entities that are not read.")
    entities: dict[str, HttpEntity] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_its_preset(self) -> YonbipSource:
        if (self.token_url is None) != (self.gateway_url is None):
            raise ValueError("token_url and gateway_url stand together")
        completed = with_preset(self.entities, PRESET, without=self.without, model=HttpEntity, origin=None)
        for name in completed:
            if name in ENTITIES and name not in PRESET:
                said = f"kind yonbip does not deliver {name}; it delivers {', '.join(PRESET)}"
                raise PydanticCustomError("value_error", "{text}", {"text": said, "at": ("entities", name)})
        self.entities.clear()
        self.entities.update(completed)
        return self


Record = Mapping[str, Any]  # one row as it came
Span = tuple[str | None, str | None]  # the first and the last stamp; None: without bound


@dataclass(frozen=True)
class _Settled:
    """A part of a verification: so much of this credit for this debit."""

    debit_type: str
    debit: str
    credit_type: str
    credit: str
    amount: Decimal


class YonbipConnector:
    """Reads one tenant."""

    def __init__(self, source: YonbipSource, settings: Settings) -> None:
        self.source = source
        self._zone = ZoneInfo(source.timezone)
        self._api = YonbipApi(source, settings)
        self._samples: dict[str, list[Record]] = {}
        self._taken: dict[str, dict[str, str]] = {}
        self._notes: list[str] = []

    def close(self) -> None:
        self._api.close()

    def describe(self, entity: str) -> tuple[str, ...]:
        """The canonical columns of the preset, then the fields that the first rows of the list have.

        Raises:
            PermanentError: rows came, and none of them has a field for a required column.
        """
        sample = self._sample(entity)
        fields = dict.fromkeys(name for row in sample for name in row)
        config = self.source.entities[entity]
        if not sample:  # nothing says which fields there are: what the file names counts as there
            fields = dict.fromkeys(mapping.from_ for mapping in config.columns.values() if mapping.from_)
        self._check(entity, sample, tuple(fields))
        return tuple(dict.fromkeys((*PRESET[entity].picks, *fields, "updated_at")))

    def notes(self, entity: str) -> tuple[str, ...]:
        """What this tenant's rows turned out to have where tenants differ."""
        self.describe(entity)
        found = [
            f"{column} comes from {field}"
            for column, field in self._taken.get(entity, {}).items()
            if field != PRESET[entity].picks[column].candidates[0]
        ]
        return (*found, *self._notes)

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """Rows of documents whose stamp lies in the window; of a full entity all."""
        is_incremental = self.source.entities[entity].mode == "incremental"
        columns = self._plan(entity).used_columns(self.describe(entity))
        rows = self._rows(entity, columns, window if is_incremental else None)
        yield from batches(rows, columns, origin=self._path(entity))

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """The keys of all rows that are there."""
        columns = self._plan(entity).key_columns(self.describe(entity))
        yield from batches(self._rows(entity, columns, None), columns, origin=f"keys of {entity}")

    # --- fields ---

    def _plan(self, entity: str) -> ColumnPlan:
        return ColumnPlan(self.source, ENTITIES[entity], cursor=self.source.entities[entity].cursor)

    def _path(self, entity: str) -> str:
        return str(getattr(self.source.paths, PRESET[entity].origin))

    def _sample(self, entity: str) -> list[Record]:
        if entity not in self._samples:
            self._samples[entity] = self._api.first_rows(self._path(entity))
        return self._samples[entity]

    def _check(self, entity: str, sample: list[Record], fields: tuple[str, ...]) -> None:
        config = self.source.entities[entity]
        missing = []
        for column in ENTITIES[entity].columns:
            wanted = PRESET[entity].picks.get(column.name)
            if wanted is None or column.name in config.columns or wanted.candidates[0].startswith("·"):
                continue
            field = next(
                (name for name in wanted.candidates for row in sample if _filled(row.get(name))), None
            )
            if field is not None:
                self._taken.setdefault(entity, {})[column.name] = field
            elif sample and column.required:
                missing.append(f"{column.name} (none of {', '.join(wanted.candidates)})")
        if missing:
            raise PermanentError(
                f"source {self.source.name}, {entity} ({self._path(entity)})",
                cause=f"no row has a field for {'; '.join(missing)}. The fields there are: "
                + ", ".join(fields),
                next_step=f"name the field at entities.{entity}.columns in {self.source.file.name}",
            )

    def _row(
        self, entity: str, columns: Sequence[str], record: Record, made: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        row: dict[str, str | None] = {}
        picks = PRESET[entity].picks
        for column in columns:
            if column not in picks:
                row[column] = _text(record.get(column))
                continue
            candidates = picks[column].candidates
            values = (made.get(name) if name in made else _text(record.get(name)) for name in candidates)
            value = next((value for value in values if value is not None), None)
            convert = picks[column].convert
            row[column] = convert(value) if convert else value
        return row

    # --- rows ---

    def _rows(
        self, entity: str, columns: Sequence[str], window: Window | None
    ) -> Iterator[dict[str, str | None]]:
        if entity == "customers":
            for record in self._api.customers(self._path(entity)):
                yield self._row(entity, columns, record, {})
        elif entity == "applications":
            for head, number, part in self._settled(window):
                if part.debit_type == "invoice":
                    key = f"{head.get('id')}:{number}"
                    yield self._row(entity, columns, head, {"·key": key, **_made(part)})
        elif entity == "adjustments":
            yield from self._refunds(columns, window)
        else:
            is_wanted: dict[str, Callable[[bool], bool]] = {
                "invoices": lambda is_red: not is_red,
                "credit_memos": lambda is_red: is_red,
                "receipts": lambda is_red: True,
            }
            for record, amount, is_red in self._documents(entity, window):
                if is_wanted[entity](is_red):
                    made = {"·reference": self._reference(record), AMOUNT: format(amount, "f")}
                    yield self._row(entity, columns, record, made)

    def _documents(self, entity: str, window: Window | None) -> Iterator[tuple[Record, Decimal, bool]]:
        """Documents of customers: the header with its first line, the sum of the lines, whether it is red.

        A red document may come with a negative amount or with a positive one: its direction decides.
        """
        for rows in self._api.rows(self._path(entity), window):
            lines: dict[Any, list[Record]] = {}
            for row in rows:
                lines.setdefault(row.get("id"), []).append(row)
            for document in lines.values():
                head = document[0]
                partner = head.get("bodyItemObjectType") or head.get("objectType") or "1"
                if str(partner) != "1":
                    continue
                name = next((name for name in AMOUNTS if _filled(head.get(name))), AMOUNTS[0])
                amount = sum((Decimal(str(row.get(name) or 0)) for row in document), Decimal(0))
                yield head, abs(amount), str(head.get("direction")) == "-1" or amount < 0

    def _reference(self, record: Record) -> str | None:
        return _text(record.get(self.source.reference))

    def _refunds(self, columns: Sequence[str], window: Window | None) -> Iterator[dict[str, str | None]]:
        """Refunds, each as far as it is verified against a receipt or a red document, and its rest."""
        parts: dict[str, list[_Settled]] = {}
        for _, _, part in self._settled(None):
            if part.debit_type == "refund":
                parts.setdefault(part.debit, []).append(part)
        for record, amount, _ in self._documents("adjustments", window):
            reference, rest = self._reference(record) or "", amount
            common = {"·type": "refund"}
            for number, part in enumerate(parts.get(reference, ()), 1):
                rest -= part.amount
                made = {**common, **_made(part), "·key": f"{reference}:{number}"}
                yield self._row("adjustments", columns, record, made)
            if rest > 0:
                made = {**common, "·key": reference, AMOUNT: format(rest, "f")}
                yield self._row("adjustments", columns, record, made)

    def _settled(self, window: Window | None) -> Iterator[tuple[Record, int, _Settled]]:
        """The parts of all verifications. A row is one side of one; debits meet credits in order."""
        path = self.source.paths.applications
        for rows in self._api.rows(path, window):
            self._check_references(path, rows)
            verifications: dict[Any, list[Record]] = {}
            for row in rows:
                verifications.setdefault(row.get("id"), []).append(row)
            for sides in verifications.values():
                for number, part in enumerate(self._parts(sides), 1):
                    yield sides[0], number, part

    def _parts(self, sides: list[Record]) -> list[_Settled]:
        name = "billid" if self.source.reference == "id" else "billno"
        ordered = sorted(sides, key=lambda row: (str(row.get("billdate")), str(row.get("billno"))))
        debits, credits_ = (
            [
                [
                    types[str(row.get("billtype"))],
                    _text(row.get(name)) or "",
                    abs(Decimal(str(row["billamount"]))),
                ]
                for row in ordered
                if str(row.get("billtype")) in types
            ]
            for types in (DEBITS, CREDITS)
        )
        if len(debits) > 1 and len(credits_) > 1:
            self._note(
                "verifications of several debits with several credits are distributed in order of date"
            )
        parts: list[_Settled] = []
        while debits and credits_:
            amount = min(debits[0][2], credits_[0][2])
            if amount > 0:
                parts.append(_Settled(debits[0][0], debits[0][1], credits_[0][0], credits_[0][1], amount))
            for side in (debits, credits_):
                side[0][2] -= amount
                if side[0][2] == 0:
                    side.pop(0)
        return parts

    def _check_references(self, path: str, rows: list[Record]) -> None:
        """Check that ids arrive whole: a JavaScript number on the way keeps 16 digits of 19."""
        ids = [row.get("billid") for row in rows if isinstance(row.get("billid"), int | Decimal)]
        if self.source.reference == "id" and ids and all(one > 2**53 and one % 1000 == 0 for one in ids):
            raise PermanentError(
                f"source {self.source.name}, {path}",
                cause=f"the ids of the verified documents are rounded ({ids[0]}), so they name none",
                next_step="write `reference: code`: documents are then named by their codes",
            )

    def _note(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)


def _made(part: _Settled) -> dict[str, str | None]:
    return {
        "·credit_type": part.credit_type,
        "·credit_id": part.credit,
        "·invoice_id": part.debit,
        AMOUNT: format(part.amount, "f"),
    }


def _filled(value: Any) -> bool:
    return value is not None and value not in ("", {})


def _text(value: Any) -> str | None:
    """A value as text; a name in several languages is its Chinese one, else the first."""
    if isinstance(value, dict):
        names = [value.get("simplifiedName"), value.get("zh_CN"), *value.values()]
        return next((str(name) for name in names if name), None)
    return text(value)


def _stamp(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


class YonbipApi:
    """The calls of one tenant: its data centre, the signed token, lists until they are whole."""

    def __init__(self, source: YonbipSource, settings: Settings) -> None:
        self._what = f"source {source.name}"
        self._source = source
        self._zone = ZoneInfo(source.timezone)
        auth = source.auth if source.token_url is None else source.auth.model_copy(update={"tenant_id": None})
        self._given = auth.resolve(settings, what=f"{self._what} ({source.file})")
        self._http = HttpClient(
            Api(
                what=self._what,
                authorize=_authorize,
                fetch_token=self._fetch_token,
                judge=judge,
                parse=parse,
                identity=("yonbip", source.token_url or source.registry_url, *self._given.values()),
                secrets=(self._given["app_secret"],),
                buckets=source.limits.buckets(),
                denied="check app key and secret, and that the app may call this API (API 授权)",
            ),
            state=settings.http_state,
            attempts=source.limits.attempts,
            timeout=source.limits.timeout_seconds,
        )
        self._spool = Spool(settings.http_state / f"spool-{source.name}.sqlite", clock=self._http.clock)

    def close(self) -> None:
        self._http.close()
        self._spool.close()

    def now(self) -> datetime:
        return self._http.clock.now()

    def first_rows(self, path: str) -> list[Record]:
        """The first rows of a list: what a tenant's rows have."""
        data = self._post(path, {"pageIndex": "1", "pageSize": "100", "isSum": False})
        return list(data if isinstance(data, list) else (data or {}).get("recordList") or ())

    def customers(self, path: str) -> list[Record]:
        """All customers. The list tells no count: two passes over several pages have to agree."""
        before: set[Any] | None = None
        for _ in range(PASSES):
            rows: list[Record] = []
            page = 1
            while found := self._post(path, {"pageIndex": str(page), "pageSize": str(CUSTOMER_PAGE_ROWS)}):
                rows += found
                page += 1
                if len(found) < CUSTOMER_PAGE_ROWS:
                    break
            ids = {row.get("id") for row in rows}
            # One page cannot be torn; of several, two passes have to agree.
            if len(ids) == len(rows) and (page <= 2 or ids == before):
                return rows
            before = ids
        raise self._moving(path)

    def rows(self, path: str, window: Window | None) -> Iterator[list[Record]]:
        """The rows of documents whose stamp lies in a window, in whole passes; a document is in one pass.

        A read that breaks off is taken up behind the passes that it had, and keeps the end of its first
        attempt: what has changed since then belongs to the next window.
        """

        def fetch(cursor: str | None) -> tuple[str, str | None]:
            waiting: list[Span] = json.loads(cursor) if cursor else [self._span(window)]
            span = waiting.pop(0)
            while parts := self._split(path, span):
                span, *later = parts
                waiting = [*later, *waiting]
            said = json.dumps(self._whole(path, span), ensure_ascii=False, default=_marked)
            return said, json.dumps(waiting) if waiting else None

        start, end = (None, None) if window is None else (window.start, window.end)
        stream = name_of(path, repr(start), repr(end))
        seen: set[Any] = set()
        for said in self._spool.stream(stream, fetch, good_for=timedelta(days=1)):
            # What changed while older passes were read comes again in a newer one, and in the next window.
            rows = [row for row in json.loads(said, object_hook=_unmarked) if row.get("id") not in seen]
            seen |= {row.get("id") for row in rows}
            yield rows

    def _span(self, window: Window | None) -> Span:
        """A window as stamps, both ends included; None: without bounds."""
        if window is None:
            return None, None
        end = min(window.end, self.now() - SETTLING) - timedelta(microseconds=1)
        start = None if window.start is None else _stamp(window.start, self._zone)
        return start, _stamp(end, self._zone)

    def _split(self, path: str, span: Span) -> list[Span]:
        """The older and the newer half of a span that has too many rows for one pass; else nothing."""
        begin, end = span
        if int(self._page(path, 1, span).get("recordCount") or 0) <= PASS_ROWS:
            return []
        middle = _middle(begin or FIRST_DAY, end or _stamp(self.now(), self._zone))
        # Without an upper bound the newer half stays open: nothing newer may be left out.
        return [(begin or FIRST_DAY, middle[0]), (middle[1], end)] if middle else []

    def _whole(self, path: str, span: Span) -> list[Record]:
        """The rows of a span, read until a pass is whole.

        Raises:
            TransientError: rows kept moving between the pages.
        """
        before: Counter[str] | None = None
        for _ in range(PASSES):
            rows, counts = self._one_pass(path, span)
            seen = Counter(json.dumps(row, default=str, sort_keys=True) for row in rows)
            is_whole = counts == {len(rows)} and max(seen.values(), default=1) == 1
            # Two equal lines of one verification look like a repeated row; they come again in the next pass.
            if is_whole or (counts == {len(rows)} and seen == before):
                return rows
            before = seen
        raise self._moving(path)

    def _one_pass(self, path: str, span: Span) -> tuple[list[Record], set[int]]:
        """All pages once: the rows, and the counts of rows that the pages told."""
        rows: list[Record] = []
        counts: set[int] = set()
        page = 1
        while True:
            data = self._page(path, page, span)
            found = data.get("recordList") or ()
            rows += found
            counts.add(int(data.get("recordCount") or 0))
            if not found or page >= int(data.get("pageCount") or 0):
                return rows, counts
            page += 1

    def _page(self, path: str, page: int, span: Span) -> dict[str, Any]:
        stamps = {
            name: value
            for name, value in (("open_pubts_begin", span[0]), ("open_pubts_end", span[1]))
            if value is not None
        }
        body: dict[str, Any] = {"pageIndex": str(page), "pageSize": str(PAGE_ROWS), "isSum": False}
        # Verifications take the stamps beside the page, the documents' lists below `simple`.
        body |= stamps if "verify" in path else {"simple": stamps}
        return dict(self._post(path, body) or {})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._http.send(Call("POST", path, json=body)).data.get("data")

    def _moving(self, path: str) -> TransientError:
        return TransientError(
            f"{self._what}, {path}",
            cause=f"rows kept moving between the pages in {PASSES} passes",
            next_step="the run tries again by itself; read it at a quieter hour",
        )

    def _fetch_token(self, send: Callable[[Call], Answer]) -> Token:
        token_url, gateway = self._source.token_url, self._source.gateway_url
        if token_url is None:
            url = f"{self._source.registry_url.rstrip('/')}/open-auth/dataCenter/getGatewayAddress"
            found = self._granted(send(Call("GET", url, params={"tenantId": self._given["tenant_id"]})))
            token_url, gateway = str(found["tokenUrl"]), str(found["gatewayUrl"])
        stamp = str(int(self.now().timestamp() * 1000))
        signed = f"appKey{self._given['app_key']}timestamp{stamp}"
        digest = hmac.new(self._given["app_secret"].encode(), signed.encode(), hashlib.sha256).digest()
        params = {
            "appKey": self._given["app_key"],
            "timestamp": stamp,
            "signature": base64.b64encode(digest).decode(),
        }
        url = f"{token_url.rstrip('/')}/open-auth/selfAppAuth/base/v1/getAccessToken"
        data = self._granted(send(Call("GET", url, params=params)))
        life = timedelta(seconds=int(data.get("expire") or 7200))
        return Token(str(data["access_token"]), self.now() + life, {"gateway": (gateway or "").rstrip("/")})

    def _granted(self, answer: Answer) -> dict[str, Any]:
        verdict = judge(answer)
        if verdict is None and isinstance(answer.data.get("data"), dict):
            return dict(answer.data["data"])
        said = self._http.redacted(verdict.said if verdict else answer.text[:200])
        if verdict is not None and verdict.fault in {Fault.MINUTE, Fault.RETRY}:
            raise ThrottledError(
                self._what, cause=f"no token: {said}", next_step="the run tries again by itself"
            )
        raise AuthenticationError(
            self._what,
            cause=f"no token: {said}",
            next_step="check tenant id, app key and secret; the app must be enabled for the tenant",
        )


_DECIMAL = "·decimal"


def _marked(number: Any) -> dict[str, str]:
    """An exact number, which JSON would make a text or a float."""
    return {_DECIMAL: str(number)}


def _unmarked(found: dict[str, Any]) -> Any:
    return Decimal(found[_DECIMAL]) if _DECIMAL in found else found


def _middle(begin: str, end: str) -> tuple[str, str] | None:
    """The last second of the older half of a span, and the first of the newer; None when it is too short."""
    first, last = (datetime.fromisoformat(stamp) for stamp in (begin, end))
    half = (last - first) // 2
    if half < timedelta(seconds=1):
        return None
    middle = (first + half).replace(microsecond=0)
    return f"{middle}", f"{middle + timedelta(seconds=1)}"


def _authorize(call: Call, token: Token) -> Call:
    return replace(
        call, url=token.more["gateway"] + call.url, params={**call.params, "access_token": token.value}
    )


def parse(said: str) -> Any:
    """The JSON of an answer; some endpoints refuse a token with a bare sentence.

    Raises:
        ValueError: it is half an answer.
    """
    try:
        return parse_json(said)
    except ValueError:
        if "非法token" in said[:40]:
            return {"code": "310036", "message": said[:40]}
        raise


def judge(answer: Answer) -> Verdict | None:
    """What an answer means: a code, as text or number, in an answer of status 200."""
    data = answer.data if isinstance(answer.data, dict) else {}
    code, message = str(data.get("code")), str(data.get("message"))
    said = f"code {code}: {message}"
    if code == "310404":
        return Verdict(Fault.PERMANENT, said, next_step="correct this endpoint's path below `paths`")
    by_status = judge_status(answer)
    if by_status is not None:
        return by_status
    if code in {"200", "00000"}:
        return None
    if code in {"310036", "310001"} or (code == "999" and "token" in message):
        return Verdict(Fault.TOKEN, said)
    if code in {"310032", "310039", "310042", "310046"}:
        return Verdict(Fault.MINUTE, said)
    if "权限" in message or "授权" in message:
        return Verdict(Fault.DENIED, said)
    return Verdict(Fault.RETRY if code == "None" else Fault.PERMANENT, said)
