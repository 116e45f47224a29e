"""Zoho Books (API v3) as a source: `kind: zoho_books`. See docs/sources/zoho.md.

Lists are the truth about what is there; a detail is asked for only when its list row is not the one that the
spool knows. Nothing relies on the service's "changed since" filter, whose meaning differs between reports.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from receivables.errors import PermanentError, TransientError
from receivables.settings import Settings
from receivables.sources import own_balance
from receivables.sources.base import SourceBatch, Window
from receivables.sources.config import Text
from receivables.sources.http import (
    Answer,
    AuthenticationError,
    Call,
    Fault,
    GoneError,
    HttpEntity,
    Verdict,
    batches,
    judge_status,
    parse_json,
)
from receivables.sources.http_state import Clock, Spool
from receivables.sources.offset_pages import OffsetPages, Page
from receivables.sources.zoho import ZohoSource, open_client
from receivables.sources.zoho_crm import (
    CrmEntity,
    ZohoCrmConnector,
    ZohoCrmSource,
    changed_in,
    customer_of,
)
from receivables.yamlfile import StrictModel

log = logging.getLogger(__name__)

Row = dict[str, Any]

SCOPES = (
    "ZohoBooks.contacts.READ",
    "ZohoBooks.invoices.READ",
    "ZohoBooks.customerpayments.READ",
    "ZohoBooks.creditnotes.READ",
)
_PAGE = 200
# What is kept of a list's row; lists are long.
_FIELDS = {
    "account_name", "amount", "amount_bcy", "amount_fcy", "balance", "bcy_refunded_amount",
    "bcy_unused_amount", "company_name", "contact_id", "contact_name", "created_time", "creditnote_id",
    "creditnote_number", "creditnote_refund_id", "currency_code", "custom_fields", "customer_id",
    "customer_name", "date", "description", "due_date", "email", "exchange_rate", "invoice_id",
    "invoice_number", "last_modified_time", "location_id", "outstanding_receivable_amount",
    "payment_expected_date", "payment_id", "payment_mode", "payment_number", "payment_status",
    "payment_terms", "phone", "reference_number", "salesperson_name", "status", "total",
    "unused_amount", "unused_credits_receivable_amount", "updated_time", "write_off_amount",
    "zcrm_account_id",
}  # fmt: skip
# Documents not yet sent, and payments that brought no money.
_DRAFT = {"draft", "pending_approval", "approved", "rejected", "pending", "initiated", "failure", "failed"}
_WRITE_OFF = re.compile(r"(?i)writ\w*[ -]*off")

_RECORDED = ("created_at", "updated_at")
COLUMNS: dict[str, tuple[str, ...]] = {
    "customers": (
        "customer_id", "customer_name", "country_code", "region", "currency_code", "payment_terms_days",
        "credit_limit_amount", "segment", "industry", "collector", "salesperson", "email", "language",
        "is_active", *_RECORDED,
        "company_name", "phone", "country", "crm_account_id", "outstanding_amount", "unused_credits_amount",
    ),
    "invoices": (
        "invoice_id", "customer_id", "invoice_date", "amount", "invoice_number", "due_date", "currency_code",
        "exchange_rate", "status", "reference", "salesperson", *_RECORDED,
        "zoho_status", "balance_amount", "write_off_amount", "payment_expected_date", "location_id",
    ),
    "credit_memos": (
        "credit_memo_id", "customer_id", "credit_memo_date", "amount", "currency_code", "credit_memo_number",
        "exchange_rate", "status", *_RECORDED,
        "zoho_status", "balance_amount", "reference", "location_id",
    ),
    "receipts": (
        "receipt_id", "customer_id", "receipt_date", "amount", "currency_code", "receipt_number", "method",
        "bank_reference", "exchange_rate", "status", *_RECORDED,
        "unused_amount", "bank_charges", "account_name", "location_id",
    ),
    "applications": (
        "application_id", "credit_type", "credit_id", "invoice_id", "amount", "applied_on",
        "discount_amount", *_RECORDED,
    ),
    "adjustments": (
        "adjustment_id", "adjustment_type", "adjustment_date", "amount", "customer_id", "invoice_id",
        "credit_type", "credit_id", "reason", "currency_code", "exchange_rate", "status", *_RECORDED,
    ),
    own_balance.ENTITY: own_balance.COLUMNS,
}  # fmt: skip
_DEFAULT = tuple(name for name in COLUMNS if name != "gl_balances")


class BooksEntity(HttpEntity):
    """One entity of Zoho Books."""

    custom_fields: tuple[str, ...] = Field(
        (), description="Labels of custom fields; each becomes a column `cf:<label>` for `columns`."
    )


class CrmLink(StrictModel):
    """Owner and segment from the accounts of Zoho CRM, with the same refresh token."""

    version: str = Field("v8", description="Of the CRM's API.")
    module: str = Field("Accounts", description="API name of the module that holds the customers.")
    segment: str = Field("Account_Type", description="API name of the field that is the segment.")


class ZohoBooksSource(ZohoSource):
    """An organization in Zoho Books."""

    kind: Literal["zoho_books"]
    organization_id: Text = Field(description="Settings > Organization profile; ${VARIABLE} is not needed.")
    version: str = Field("v3", description="Of the API.")
    contact_details: bool = Field(
        True, description="One call for each new or changed contact: country, credit limit, opening balance."
    )
    crm: CrmLink | None = Field(
        None, description="{}: customers get collector, salesperson and segment from Zoho CRM."
    )
    opening_balance_date: date | None = Field(
        None, description="The day of the contacts' opening balances; default: the day each was created."
    )
    entities: dict[str, BooksEntity] = Field(
        default_factory=lambda: {name: BooksEntity() for name in _DEFAULT},
        description="Default: all but gl_balances, each as it is. Naming some leaves out the others.",
    )

    @model_validator(mode="after")
    def _entities_are_there(self) -> ZohoBooksSource:
        unknown = [name for name in self.entities if name not in COLUMNS]
        if unknown:
            raise ValueError(f"Zoho Books has no {', '.join(unknown)}; it has {', '.join(COLUMNS)}")
        balances = self.entities.get(own_balance.ENTITY)
        if balances is not None:
            self.entities[own_balance.ENTITY] = own_balance.of_every_night(self, balances)
        return self


@dataclass(frozen=True)
class _List:
    """A list of the service: its path, the field that holds the rows, and the id of a row."""

    path: str
    plural: str
    key: str
    params: tuple[tuple[str, str], ...] = ()

    @property
    def singular(self) -> str:
        return {"customerpayments": "payment"}.get(self.plural, self.plural.removesuffix("s"))


CONTACTS = _List("contacts", "contacts", "contact_id", (("contact_type", "customer"),))
INVOICES = _List("invoices", "invoices", "invoice_id")
PAYMENTS = _List("customerpayments", "customerpayments", "payment_id")
CREDIT_NOTES = _List("creditnotes", "creditnotes", "creditnote_id")
CREDIT_REFUNDS = _List("creditnotes/refunds", "creditnote_refunds", "creditnote_refund_id")
# What the spool holds of the rows of a list.
_KEPT = {
    CONTACTS.path: ("contacts",),
    INVOICES.path: ("write_off_day",),
    PAYMENTS.path: ("customerpayments", "customerpayments/refunds"),
    CREDIT_NOTES.path: ("creditnotes/invoices",),
}


def judge(answer: Answer) -> Verdict | None:
    """What an answer of Zoho Books means: its own code first, under whatever HTTP status it comes."""
    data = answer.data if isinstance(answer.data, dict) else {}
    code = data.get("code")
    if code is None:
        verdict = judge_status(answer)
        if verdict is None and answer.status == 200:
            return Verdict(Fault.RETRY, "the answer has no `code`")
        return verdict
    if code == 0:
        return None
    said = f"code {code}: {data.get('message', '')}"
    if code == 44:
        return Verdict(Fault.MINUTE, said)
    if code == 45:
        return Verdict(
            Fault.DAY,
            said,
            next_step="nothing is lost: run again when Zoho counts anew (a day), it goes on where it stopped;"
            " `limits.calls_per_day` leaves calls for others",
        )
    if code == 1070:
        return Verdict(Fault.RETRY, said, wait=5)
    if code in {14, 57} or answer.status == 401:
        return Verdict(Fault.TOKEN, said)
    if code == 1002:
        return Verdict(Fault.GONE, said)
    if code == 5:
        return Verdict(Fault.PERMANENT, said, next_step="correct `version` or `api_url`")
    if code == 1000 or answer.status >= 500:
        return Verdict(Fault.RETRY, said)
    if answer.status == 429:
        return Verdict(Fault.MINUTE, said)
    if answer.status == 404:
        return Verdict(Fault.GONE, said)
    return Verdict(Fault.PERMANENT, said)


class ZohoBooksConnector:
    """Reads one organization."""

    def __init__(self, source: ZohoBooksSource, settings: Settings, *, clock: Clock | None = None) -> None:
        self.source = source
        self._client = open_client(
            source,
            settings,
            judge=judge,
            scopes=SCOPES,
            account=source.organization_id,
            clock=clock,
        )
        self._spool = Spool(settings.http_state / f"{source.name}.sqlite", clock=self._client.clock)
        self._zone = ZoneInfo(source.timezone)
        self._lists: dict[str, list[Row]] = {}
        self._unsorted: set[str] = set()
        self._met: dict[str, None] = {}
        self._settings = settings
        self._end: datetime | None = None
        self._makers: dict[str, Callable[[Window], Iterator[Row]]] = {
            "customers": self._customers,
            "invoices": self._invoices,
            "credit_memos": self._credit_memos,
            "receipts": self._receipts,
            "applications": self._applications,
            "adjustments": self._adjustments,
            "gl_balances": self._balances,
        }

    def close(self) -> None:
        self._spool.close()
        self._client.close()

    def describe(self, entity: str) -> tuple[str, ...]:
        """The canonical columns that Zoho Books fills, some of its own, and the custom fields asked for."""
        fields = self.source.entities[entity].custom_fields
        return (*COLUMNS[entity], *(f"cf:{label}" for label in fields))

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """Rows of documents that changed in the window; all that are there when the entity is full."""
        self._end = window.end
        rows = self._makers[entity](window)
        yield from batches(rows, self.describe(entity), origin=f"zoho_books/{entity}")

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """All rows that are there now.

        A document that changed after the window of the last read keeps the rows that it had then: its new
        ones belong to the next business day.
        """
        whole = Window(None, self._end) if self._end else None
        rows = self._keys(entity, whole)
        yield from batches(rows, self.describe(entity), origin=f"zoho_books/{entity}")

    def notes(self, entity: str) -> tuple[str, ...]:
        """Which of the behaviours that are reported of Zoho Books this organization has shown so far."""
        return tuple(self._met)

    def _note(self, sentence: str) -> None:
        if sentence not in self._met:
            self._met[sentence] = None
            log.info("source %s: %s", self.source.name, sentence)

    # --- lists ---

    def _call(self, path: str, **params: str) -> Answer:
        return self._client.send(
            Call(
                "GET",
                f"/books/{self.source.version}/{path}",
                {"organization_id": self.source.organization_id, **params},
            )
        )

    def _page(self, of: _List, page: int, size: int, order: dict[str, str]) -> Page:
        paging = {"page": str(page), "per_page": str(size), **dict(of.params)}
        try:
            answer = self._call(of.path, **paging, **(order if of.path not in self._unsorted else {}))
        except (AuthenticationError, GoneError):
            raise
        except PermanentError as error:
            if not order or of.path in self._unsorted:
                raise
            self._note(f"{of.path} takes no order ({error.cause})")
            self._unsorted.add(of.path)
            answer = self._call(of.path, **paging)
        rows = answer.data.get(of.plural)
        context = answer.data.get("page_context") or {}
        if not isinstance(rows, list):
            raise TransientError(
                f"source {self.source.name}, {of.path}",
                cause=f"the answer has no list `{of.plural}`",
                next_step="the run tries again by itself; if it stays so, the API's version has changed",
            )
        return Page(
            rows,
            has_more=bool(context.get("has_more_page")),
            sorted_by=context.get("sort_column"),
            size=int(context.get("per_page") or size),
        )

    def _pages(self, of: _List, **order: str) -> OffsetPages:
        return OffsetPages(
            lambda page, size: self._page(of, page, size, order),
            key=of.key,
            largest=_PAGE,
            what=f"source {self.source.name}, {of.path}",
        )

    def _all(self, of: _List) -> list[Row]:
        """Every row of a list, once per connector: a read and its sweep speak of the same rows."""
        if of.path not in self._lists:
            order = {} if of is CREDIT_REFUNDS else {"sort_column": "created_time", "sort_order": "A"}
            self._lists[of.path] = [
                _slim(of, row) for page in self._pages(of, **order).whole() for row in page
            ]
            present = {str(row[of.key]) for row in self._lists[of.path]}
            for kind in _KEPT.get(of.path, ()):
                self._spool.prune(kind, present)
        return self._lists[of.path]

    def _changed(self, entity: str, of: _List, window: Window) -> Iterator[Row]:
        """The rows of a list that changed in the window; all rows when the entity is read in full."""
        config = self.source.entities[entity]
        if config.mode == "full":
            yield from self._all(of)
            return
        rows: Iterable[Row]
        if window.start is None or config.sweep or of.path in self._lists:
            rows = self._all(of)
        else:
            rows = self._newest_first(of, window.start)
        yield from (row for row in rows if self._is_in(row, window))

    def _newest_first(self, of: _List, start: datetime) -> Iterable[Row]:
        """Rows changed since `start`, newest first; every row when the service does not sort by change.

        Sorting by change is undocumented for most lists, and ignored by some: its own word on the order and
        the order itself are checked as long as pages come.
        """
        found: list[Row] = []
        newest: datetime | None = None
        pages = self._pages(of, sort_column="last_modified_time", sort_order="D")
        for page in pages.forward():
            moments = [self._moment(row) for row in page]
            known = [moment for moment in moments if moment is not None]
            falls = all(later <= earlier for earlier, later in pairwise(known))
            follows = newest is None or not known or known[0] <= newest
            is_named = pages.sorted_by in {None, "last_modified_time"} and of.path not in self._unsorted
            if not (is_named and falls and follows and len(known) == len(moments)):
                self._note(
                    f"{of.path} is not sorted by time of change (it says: {pages.sorted_by}): all is read"
                )
                return self._all(of)
            found += [_slim(of, row) for row in page]
            newest = known[-1] if known else newest
            if newest is not None and newest < start:
                break
        self._note(f"{of.path} is sorted by time of change")
        return found

    def _moment(self, row: Row, field: str = "last_modified_time") -> datetime | None:
        """When a row changed. Credit notes may say `updated_time` where others say `last_modified_time`."""
        given = row.get(field) or (row.get("updated_time") if field == "last_modified_time" else None)
        if not given:
            return None
        try:
            moment = datetime.fromisoformat(str(given))
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=self._zone)

    def _is_in(self, row: Row, window: Window) -> bool:
        """Whether a row changed in the window; one that does not say when may have."""
        moment = self._moment(row)
        if moment is None:
            return True
        return (window.start is None or moment >= window.start) and moment < window.end

    # --- details ---

    def _details(
        self,
        of: _List,
        rows: Iterable[Row],
        *,
        part: str = "",
        field: str | None = None,
        window: Window | None = None,
    ) -> Iterator[tuple[Row, Any]]:
        """Rows with their detail, or with a sub-list (`part`, rows in `field`), out of the spool if it knows.

        With a window, a row that changed after its end comes with the detail that was kept before, if any.
        """
        kind = f"{of.path}/{part}".rstrip("/")
        waiting = list(rows)
        for start in range(0, len(waiting), _PAGE):
            with self._spool.turn(kind.replace("/", "-")):
                found = [
                    (row, self._detail(of, row, kind=kind, part=part, window=window))
                    for row in waiting[start : start + _PAGE]
                ]
            for row, text in found:
                if text is not None:
                    yield row, parse_json(text)[field or of.singular]

    def _detail(self, of: _List, row: Row, *, kind: str, part: str, window: Window | None) -> str | None:
        key = str(row[of.key])
        if window is not None and not self._is_in(row, window):
            return self._spool.document(kind, key)
        version = row["version"]
        text = self._spool.document(kind, key, version)
        if text is None:
            try:
                text = self._call(f"{of.path}/{key}/{part}".rstrip("/")).text
            except GoneError:
                return None  # deleted since the list was read: the next sweep finds it gone
            self._spool.keep(kind, key, version, text)
        return text

    # --- entities ---

    def _keys(self, entity: str, window: Window | None) -> Iterator[Row]:
        whole = window or Window(None, datetime(9999, 1, 1, tzinfo=UTC))
        if entity == "customers":
            yield from ({"customer_id": row["contact_id"]} for row in self._all(CONTACTS))
        elif entity == "invoices":
            yield from ({"invoice_id": row["invoice_id"]} for row in self._all(INVOICES))
        elif entity == "credit_memos":
            yield from ({"credit_memo_id": row["creditnote_id"]} for row in self._all(CREDIT_NOTES))
        elif entity == "receipts":
            yield from ({"receipt_id": row["payment_id"]} for row in self._all(PAYMENTS))
        elif entity == "applications":
            yield from self._applied_payments(self._all(PAYMENTS), window=whole)
            yield from self._applied_credits(self._all(CREDIT_NOTES), window=whole)
        elif entity == "adjustments":
            yield from self._written_off_keys(whole)
            yield from self._refunded_payments(self._all(PAYMENTS), window=whole)
            yield from self._refunded_credits(None)
            yield from self._opening_balances(self._all(CONTACTS), window=whole)

    def _customers(self, window: Window) -> Iterator[Row]:
        # An account changes without its contact: with a CRM, every contact is looked at.
        accounts = _Accounts(self._crm_accounts()) if self.source.crm else None
        rows = self._all(CONTACTS) if accounts else self._changed("customers", CONTACTS, window)
        is_full = self.source.entities["customers"].mode == "full"
        pairs: Iterable[tuple[Row, Row]] = (
            self._details(CONTACTS, rows) if self.source.contact_details else ((row, {}) for row in rows)
        )
        for row, detail in pairs:
            address = detail.get("billing_address") or {}
            account = accounts.of(row, detail) if accounts else None
            if accounts and not is_full and not self._is_changed(row, account, window):
                continue
            yield {
                "customer_id": row["contact_id"],
                "customer_name": row.get("contact_name") or row.get("customer_name"),
                "country_code": address.get("country_code"),
                "region": address.get("state"),
                "currency_code": row.get("currency_code"),
                "payment_terms_days": row.get("payment_terms"),
                "credit_limit_amount": detail.get("credit_limit"),
                "email": row.get("email"),
                "language": detail.get("language_code"),
                "is_active": {"active": True, "inactive": False}.get(str(row.get("status"))),
                **_recorded(row),
                "company_name": row.get("company_name"),
                "phone": row.get("phone"),
                "country": address.get("country"),
                "crm_account_id": detail.get("zcrm_account_id") or row.get("zcrm_account_id"),
                "outstanding_amount": row.get("outstanding_receivable_amount"),
                "unused_credits_amount": row.get("unused_credits_receivable_amount"),
                **self._from_crm(row, account, window),
                **_custom_fields({**row, **detail}),
            }

    def _crm_accounts(self) -> list[Row]:
        link = self.source.crm or CrmLink()
        shared = {name: getattr(self.source, name) for name in ("data_centre", "accounts_url", "api_url")}
        crm = ZohoCrmSource(
            kind="zoho_crm",
            auth=self.source.auth,
            limits=self.source.limits,
            timezone=self.source.timezone,
            version=link.version,
            module=link.module,
            entities={"customers": CrmEntity(fields=(link.segment,))},
            **shared,
        )
        crm._file = self.source.file
        with closing(ZohoCrmConnector(crm, self._settings, clock=self._client.clock)) as connector:
            return list(connector.accounts(None))

    def _is_changed(self, row: Row, account: Row | None, window: Window) -> bool:
        """Whether a contact or its account changed in the window, and the contact not after it."""
        if not self._is_in(row, Window(None, window.end)):
            return False
        return self._is_in(row, window) or (account is not None and changed_in(account, window))

    def _from_crm(self, row: Row, account: Row | None, window: Window) -> Row:
        if account is None:
            return {}
        found = customer_of(account)
        link = self.source.crm or CrmLink()
        moments = [self._moment(row), self._moment({"last_modified_time": account.get("Modified_Time")})]
        known = [moment for moment in moments if moment is not None and moment < window.end]
        return {
            "segment": found.get(link.segment),
            "industry": found["industry"],
            "collector": found["collector"],
            "salesperson": found["salesperson"],
            "crm_account_id": account["id"],
            **({"updated_at": max(known).isoformat()} if known else {}),
        }

    def _invoices(self, window: Window) -> Iterator[Row]:
        for row in self._changed("invoices", INVOICES, window):
            yield {
                "invoice_id": row["invoice_id"],
                "customer_id": row["customer_id"],
                "invoice_date": row["date"],
                "amount": row["total"],
                "invoice_number": row.get("invoice_number"),
                "due_date": row.get("due_date"),
                "currency_code": row.get("currency_code"),
                "exchange_rate": row.get("exchange_rate"),
                "status": _status(row.get("status")),
                "reference": row.get("reference_number"),
                "salesperson": row.get("salesperson_name"),
                **_recorded(row),
                "zoho_status": row.get("status"),
                "balance_amount": row.get("balance"),
                "write_off_amount": row.get("write_off_amount"),
                "payment_expected_date": row.get("payment_expected_date"),
                "location_id": row.get("location_id"),
                **_custom_fields(row),
            }

    def _credit_memos(self, window: Window) -> Iterator[Row]:
        for row in self._changed("credit_memos", CREDIT_NOTES, window):
            yield {
                "credit_memo_id": row["creditnote_id"],
                "customer_id": row["customer_id"],
                "credit_memo_date": row["date"],
                "amount": row["total"],
                "currency_code": row.get("currency_code"),
                "credit_memo_number": row.get("creditnote_number"),
                "exchange_rate": row.get("exchange_rate"),
                "status": _status(row.get("status")),
                **_recorded(row),
                "zoho_status": row.get("status"),
                "balance_amount": row.get("balance"),
                "reference": row.get("reference_number"),
                "location_id": row.get("location_id"),
                **_custom_fields(row),
            }

    def _receipts(self, window: Window) -> Iterator[Row]:
        for row, detail in self._details(PAYMENTS, self._changed("receipts", PAYMENTS, window)):
            yield {
                "receipt_id": row["payment_id"],
                "customer_id": row["customer_id"],
                "receipt_date": row["date"],
                "amount": row["amount"],
                "currency_code": detail.get("currency_code"),
                "receipt_number": row.get("payment_number"),
                "method": row.get("payment_mode"),
                "bank_reference": row.get("reference_number"),
                "exchange_rate": detail.get("exchange_rate"),
                "status": _status(row.get("payment_status")),
                **_recorded(row),
                "unused_amount": row.get("unused_amount"),
                "bank_charges": detail.get("bank_charges"),
                "account_name": row.get("account_name"),
                "location_id": row.get("location_id"),
                **_custom_fields({**row, **detail}),
            }

    def _applications(self, window: Window) -> Iterator[Row]:
        yield from self._applied_payments(self._changed("applications", PAYMENTS, window))
        yield from self._applied_credits(self._changed("applications", CREDIT_NOTES, window))

    def _applied_payments(self, rows: Iterable[Row], *, window: Window | None = None) -> Iterator[Row]:
        for row, detail in self._details(PAYMENTS, rows, window=window):
            if _status(row.get("payment_status")) != "posted":
                continue
            for applied in detail.get("invoices") or ():
                key = applied.get("invoice_payment_id")
                self._note_ids("payments", has_ids=key is not None)
                key = key or f"{row['payment_id']}-{applied['invoice_id']}"
                yield {
                    "application_id": f"payment-{key}",
                    "credit_type": "receipt",
                    "credit_id": row["payment_id"],
                    "invoice_id": applied["invoice_id"],
                    "amount": applied["amount_applied"],
                    "applied_on": row["date"],
                    # Tax that the customer keeps back settles the invoice and is no cash.
                    "discount_amount": _positive(applied.get("tax_amount_withheld")),
                    "updated_at": row.get("last_modified_time"),
                }

    def _applied_credits(self, rows: Iterable[Row], *, window: Window | None = None) -> Iterator[Row]:
        posted = (row for row in rows if _status(row.get("status")) == "posted")
        pairs = self._details(CREDIT_NOTES, posted, part="invoices", field="invoices_credited", window=window)
        for row, applied_rows in pairs:
            for applied in applied_rows:
                key = applied.get("creditnote_invoice_id")
                self._note_ids("credit notes", has_ids=key is not None)
                key = key or f"{row['creditnote_id']}-{applied['invoice_id']}"
                yield {
                    "application_id": f"creditnote-{key}",
                    "credit_type": "credit_memo",
                    "credit_id": row["creditnote_id"],
                    "invoice_id": applied["invoice_id"],
                    "amount": applied["credited_amount"],
                    "applied_on": applied.get("date") or row["date"],
                    "updated_at": row.get("last_modified_time"),
                }

    def _note_ids(self, of: str, *, has_ids: bool) -> None:
        made = "ids of their own" if has_ids else "no ids: document and invoice make the key"
        self._note(f"applications of {of} have {made}")

    def _adjustments(self, window: Window) -> Iterator[Row]:
        yield from self._written_off(self._changed("adjustments", INVOICES, window))
        yield from self._refunded_payments(self._changed("adjustments", PAYMENTS, window))
        yield from self._refunded_credits(window)
        yield from self._opening_balances(self._changed("adjustments", CONTACTS, window))

    def _written_off(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            if _positive(row.get("write_off_amount")) and _status(row.get("status")) == "posted":
                yield {
                    "adjustment_id": f"writeoff-{row['invoice_id']}",
                    "adjustment_type": "write_off",
                    "adjustment_date": self._written_off_on(row),
                    "amount": row["write_off_amount"],
                    "customer_id": row["customer_id"],
                    "invoice_id": row["invoice_id"],
                    "reason": "written off",
                    "currency_code": row.get("currency_code"),
                    "exchange_rate": row.get("exchange_rate"),
                    "updated_at": row.get("last_modified_time"),
                }

    def _written_off_keys(self, window: Window) -> Iterator[Row]:
        """Write-offs that stand; of an invoice changed after the window, whether one stood before."""
        rows = self._all(INVOICES)
        yield from self._written_off(row for row in rows if self._is_in(row, window))
        for row in rows:
            key = str(row["invoice_id"])
            if not self._is_in(row, window) and self._spool.document("write_off_day", key) is not None:
                yield {"adjustment_id": f"writeoff-{key}"}

    def _written_off_on(self, row: Row) -> str:
        """The day of a write-off: from the invoice's history, else the day on which it was first seen.

        The day is kept for as long as the amount stays: a later edit of the invoice does not move it.
        """
        key, version = str(row["invoice_id"]), str(row["write_off_amount"])
        kept = self._spool.document("write_off_day", key, version)
        if kept is not None:
            return kept
        try:
            comments = self._call(f"invoices/{key}/comments").data.get("comments") or []
        except (GoneError, PermanentError):
            comments = []
            self._note("histories cannot be read: a write-off has the day of the change that brought it")
        days = [
            str(comment["date"])[:10]
            for comment in comments
            if comment.get("date") and _WRITE_OFF.search(str(comment.get("description")))
        ]
        moment = self._moment(row)
        seen = moment.astimezone(self._zone).date().isoformat() if moment else str(row["date"])
        day = max(days, default=seen)
        self._spool.keep("write_off_day", key, version, day)
        return day

    def _refunded_payments(self, rows: Iterable[Row], *, window: Window | None = None) -> Iterator[Row]:
        refunded = [
            row
            for row in rows
            if row.get("bcy_refunded_amount") is None or _positive(row["bcy_refunded_amount"])
        ]
        some = (
            row
            for row, detail in self._details(PAYMENTS, refunded, window=window)
            if _positive(row.get("bcy_refunded_amount")) or _positive(detail.get("amount_refunded"))
        )
        pairs = self._details(PAYMENTS, some, part="refunds", field="payment_refunds", window=window)
        for row, refunds in pairs:
            for refund in refunds:
                yield {
                    "adjustment_id": f"refund-{refund['payment_refund_id']}",
                    "credit_type": "receipt",
                    "credit_id": row["payment_id"],
                    "customer_id": row["customer_id"],
                    **_refund(refund, row),
                }

    def _refunded_credits(self, window: Window | None) -> Iterator[Row]:
        """All refunds of credit notes, whether or not they moved the note's time of change."""
        before = Window(None, window.end) if window else None
        refunds = self._all(CREDIT_REFUNDS)
        notes = {row["creditnote_id"]: row for row in self._all(CREDIT_NOTES)} if refunds else {}
        for refund in refunds:
            note = notes.get(refund["creditnote_id"])
            if note is not None and (before is None or self._is_in(note, before)):
                yield {
                    "adjustment_id": f"creditrefund-{refund['creditnote_refund_id']}",
                    "credit_type": "credit_memo",
                    "credit_id": refund["creditnote_id"],
                    "customer_id": note["customer_id"],
                    **_refund(refund, note),
                }

    def _opening_balances(self, rows: Iterable[Row], *, window: Window | None = None) -> Iterator[Row]:
        if not self.source.contact_details:
            return
        for row, detail in self._details(CONTACTS, rows, window=window):
            created = self._moment(row, "created_time")
            day = self.source.opening_balance_date or (
                created.astimezone(self._zone).date() if created else None
            )
            for balance in detail.get("opening_balances") or ():
                amount = Decimal(str(balance.get("opening_balance_amount") or 0))
                if amount and day:
                    place = balance.get("location_id") or balance.get("branch_id")
                    yield {
                        "adjustment_id": f"opening-{row['contact_id']}" + (f"-{place}" if place else ""),
                        "adjustment_type": "journal_debit" if amount > 0 else "journal_credit",
                        "adjustment_date": day.isoformat(),
                        "amount": abs(amount),
                        "customer_id": row["contact_id"],
                        "reason": "opening balance",
                        "currency_code": row.get("currency_code"),
                        "exchange_rate": _positive(balance.get("exchange_rate")),
                        **_recorded(row),
                    }

    def _balances(self, window: Window) -> Iterator[Row]:
        """What Zoho itself says is open at the end of the day, in the organization's currency."""
        rows = {of.path: self._all(of) for of in (INVOICES, CREDIT_NOTES, PAYMENTS)}
        until = Window(None, own_balance.day_over(window, self._zone))
        later = [row for some in rows.values() for row in some if not self._is_in(row, until)]
        if later:
            reason = f"{len(later)} documents changed after {until.end.isoformat()}"
            self._note(own_balance.none_because(self.source, reason))
            return
        day = own_balance.last_day(window, self._zone).isoformat()
        invoices, notes, payments = (
            [row for row in rows[of.path] if row["date"] <= day] for of in (INVOICES, CREDIT_NOTES, PAYMENTS)
        )
        openings = list(self._opening_balances(self._all(CONTACTS)))
        signed = [
            *(_in_base(row, "balance") for row in invoices if _status(row.get("status")) == "posted"),
            *(-_in_base(row, "balance") for row in notes if _status(row.get("status")) == "posted"),
            *(-Decimal(str(row.get("bcy_unused_amount") or 0)) for row in payments),
            *(_in_base(row, "amount") for row in openings if row["adjustment_type"] == "journal_debit"),
            *(-_in_base(row, "amount") for row in openings if row["adjustment_type"] == "journal_credit"),
        ]
        yield own_balance.row(self.source, window, self._zone, sum(signed, Decimal(0)))


def _slim(of: _List, row: Row) -> Row:
    """The fields that are read, and `version`: what a detail is kept under.

    It changes whenever the list shows the document otherwise. A contact's row shows its balance, which moves
    with every invoice and is not part of its description.
    """
    if of is CONTACTS:
        version = f"{row.get('last_modified_time')}/{row.get('status')}"
    else:
        text = json.dumps(row, sort_keys=True, default=str)
        version = hashlib.sha256(text.encode()).hexdigest()[:32]
    return {**{name: row[name] for name in _FIELDS if name in row}, "version": version}


class _Accounts:
    """The accounts of the CRM, found by the id that a contact names, else by a name that one account has."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._by_id = {str(row["id"]): row for row in rows}
        names = Counter(row.get("Account_Name") for row in self._by_id.values())
        self._by_name = {
            row.get("Account_Name"): row
            for row in self._by_id.values()
            if names[row.get("Account_Name")] == 1
        }

    def of(self, row: Row, detail: Row) -> Row | None:
        """The account of a contact, None when it has none."""
        named = detail.get("zcrm_account_id") or row.get("zcrm_account_id")
        if named:
            return self._by_id.get(str(named))
        return self._by_name.get(row.get("contact_name"))


def _recorded(row: Row) -> Row:
    return {
        "created_at": row.get("created_time"),
        "updated_at": row.get("last_modified_time") or row.get("updated_time"),
    }


def _status(word: Any) -> str:
    if word == "void":
        return "void"
    return "draft" if word in _DRAFT else "posted"


def _positive(value: Any) -> Any:
    """The number, or None when it is none or zero."""
    return value if value not in (None, "") and Decimal(str(value)) > 0 else None


def _refund(refund: Row, document: Row) -> Row:
    amount = (
        _positive(refund.get("amount_fcy")) or _positive(refund.get("amount")) or refund.get("amount_bcy")
    )
    return {
        "adjustment_type": "refund",
        "adjustment_date": refund["date"],
        "amount": amount,
        "reason": refund.get("description"),
        "currency_code": refund.get("currency_code") or document.get("currency_code"),
        "exchange_rate": _positive(refund.get("exchange_rate")),
        "updated_at": document.get("last_modified_time") or document.get("updated_time"),
    }


def _in_base(row: Row, field: str) -> Decimal:
    return own_balance.in_base(Decimal(str(row.get(field) or 0)), Decimal(str(row.get("exchange_rate") or 1)))


def _custom_fields(row: Row) -> Row:
    return {
        f"cf:{field.get('label')}": field.get("value")
        for field in row.get("custom_fields") or ()
        if isinstance(field, dict)
    }
