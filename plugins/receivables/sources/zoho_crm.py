"""Zoho CRM (API v8) as a source of customers: `kind: zoho_crm`. See docs/sources/zoho.md.

CRM invoices carry no payments, so receivables come from Zoho Books; the CRM knows owners and segments.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import Field, model_validator

from receivables.settings import Settings
from receivables.sources.base import SourceBatch, Window
from receivables.sources.http import (
    Answer,
    Call,
    Fault,
    HttpEntity,
    Verdict,
    batches,
    judge_status,
)
from receivables.sources.http_state import Clock
from receivables.sources.zoho import ZohoSource, open_client

log = logging.getLogger(__name__)

Row = dict[str, Any]

SCOPES = ("ZohoCRM.modules.accounts.READ",)
_PAGE = 200
# Rows that can be reached by page number; behind them only a page token leads on.
_NUMBERED = 2000
_FIELDS = (
    "Account_Name", "Owner", "Parent_Account", "Industry", "Account_Type", "Billing_Country", "Billing_State",
    "Currency", "Rating", "Created_Time", "Modified_Time",
)  # fmt: skip
_COLUMNS = (
    "customer_id", "customer_name", "parent_customer_id", "segment", "industry", "region", "currency_code",
    "credit_rating", "collector", "salesperson", "created_at", "updated_at", "owner_email", "country",
)  # fmt: skip


class CrmEntity(HttpEntity):
    """The customers of Zoho CRM."""

    fields: tuple[str, ...] = Field(
        (), max_length=50 - len(_FIELDS), description="API names of more fields; each becomes a column."
    )


class ZohoCrmSource(ZohoSource):
    """The accounts of an organization in Zoho CRM."""

    kind: Literal["zoho_crm"]
    version: str = Field("v8", description="Of the API.")
    module: str = Field("Accounts", description="API name of the module that holds the customers.")
    entities: dict[str, CrmEntity] = Field(
        default_factory=lambda: {"customers": CrmEntity()}, description="Only customers."
    )

    @model_validator(mode="after")
    def _has_only_customers(self) -> ZohoCrmSource:
        unknown = [name for name in self.entities if name != "customers"]
        if unknown:
            raise ValueError(
                f"Zoho CRM has no {', '.join(unknown)} that count; it has customers. Read the others from"
                " kind zoho_books"
            )
        return self


def judge(answer: Answer) -> Verdict | None:
    """What an answer of Zoho CRM means: 204 and 304 are empty lists, errors have words for codes."""
    data = answer.data if isinstance(answer.data, dict) else {}
    code = str(data.get("code") or "")
    said = f"HTTP {answer.status} {code}: {data.get('message', '')}"
    if not code or code == "SUCCESS":
        return judge_status(answer)
    if code in {"INVALID_TOKEN", "AUTHENTICATION_FAILURE"} or answer.status == 401:
        return Verdict(Fault.TOKEN, said)
    if code in {"OAUTH_SCOPE_MISMATCH", "NO_PERMISSION"} or answer.status == 403:
        return Verdict(Fault.DENIED, said)
    if code == "TOO_MANY_REQUESTS" or answer.status == 429:
        # The same code for concurrency and for the credits of the day: they are used up when none are left.
        if answer.headers.get("x-api-credits-remaining") == "0":
            return Verdict(Fault.DAY, said)
        return Verdict(Fault.MINUTE, said)
    if answer.status >= 500 or code == "INTERNAL_ERROR":
        return Verdict(Fault.RETRY, said)
    return Verdict(Fault.PERMANENT, said)


class ZohoCrmConnector:
    """Reads the accounts of one organization."""

    def __init__(self, source: ZohoCrmSource, settings: Settings, *, clock: Clock | None = None) -> None:
        self.source = source
        self._client = open_client(source, settings, judge=judge, scopes=SCOPES, account="crm", clock=clock)

    def close(self) -> None:
        self._client.close()

    def describe(self, entity: str) -> tuple[str, ...]:
        """The canonical columns that accounts fill, some of the CRM's own, and the fields asked for."""
        return (*_COLUMNS, *self.source.entities[entity].fields)

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """Accounts that changed in the window; all that are there when the entity is full."""
        if self.source.entities[entity].mode == "full":
            rows: Iterable[Row] = self.accounts(None)
        else:
            rows = (row for row in self.accounts(window.start) if changed_in(row, window))
        yield from batches(map(customer_of, rows), self.describe(entity), origin="zoho_crm/customers")

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """The ids of all accounts that are there.

        An account that goes while the pages are read can hide another. The feed of deleted accounts tells,
        and then the list is read once more.
        """
        start = self._client.clock.now()
        present = {row["id"] for row in self.accounts(None)}
        if self._deleted_since(start):
            log.info("source %s: accounts went while the list was read; it is read again", self.source.name)
            present |= {row["id"] for row in self.accounts(None)}
            present -= self._deleted_since(start)
        rows = ({"customer_id": key} for key in sorted(present))
        yield from batches(rows, self.describe(entity), origin="zoho_crm/customers")

    def accounts(self, since: datetime | None) -> Iterator[Row]:
        """Accounts in the order of their ids, each once: an order that no edit changes."""
        fields = (*_FIELDS, *self.source.entities["customers"].fields)
        params = {"fields": ",".join(fields), "sort_by": "id", "sort_order": "asc"}
        # The header is exclusive; rows at the moment itself count.
        return self._pages(self.source.module, params, since - timedelta(seconds=1) if since else None)

    def _deleted_since(self, since: datetime) -> set[str]:
        feed = f"{self.source.module}/deleted"
        return {row["id"] for row in self._pages(feed, {"type": "all"}, since - timedelta(minutes=1))}

    def _pages(self, path: str, params: dict[str, str], since: datetime | None) -> Iterator[Row]:
        seen: set[str] = set()
        token: str | None = None
        page = 1
        while True:
            place = {"page_token": token} if token and page * _PAGE > _NUMBERED else {"page": str(page)}
            call = Call(
                "GET", f"/crm/{self.source.version}/{path}", {**params, **place, "per_page": str(_PAGE)}
            )
            if since is not None:
                moment = since.astimezone(UTC).isoformat(timespec="seconds")
                call = call.with_headers(If_Modified_Since=moment)
            answer = self._client.send(call)
            if answer.data is None:  # 304: nothing has changed; 204: there is nothing
                return
            for row in answer.data.get("data") or ():
                if row["id"] not in seen:
                    seen.add(row["id"])
                    yield row
            info = answer.data.get("info") or {}
            if not info.get("more_records"):
                return
            token = info.get("next_page_token") or None
            page += 1


def changed_in(row: Row, window: Window) -> bool:
    """Whether an account changed in the window; one that does not say when may have."""
    try:
        moment = datetime.fromisoformat(str(row.get("Modified_Time")))
    except ValueError:
        return True
    return (window.start is None or moment >= window.start) and moment < window.end


def _named(value: Any, part: str = "name") -> Any:
    """The name of a looked-up record, or the value itself."""
    return value.get(part) if isinstance(value, dict) else value


def customer_of(row: Row) -> Row:
    """An account as canonical columns, and its own fields."""
    return {
        **{name: _named(value) for name, value in row.items()},
        "customer_id": row["id"],
        "customer_name": row.get("Account_Name"),
        "parent_customer_id": _named(row.get("Parent_Account"), "id"),
        "segment": row.get("Account_Type"),
        "industry": row.get("Industry"),
        "region": row.get("Billing_State"),
        "currency_code": row.get("Currency"),
        "credit_rating": row.get("Rating"),
        "collector": _named(row.get("Owner")),
        "salesperson": _named(row.get("Owner")),
        "created_at": row.get("Created_Time"),
        "updated_at": row.get("Modified_Time"),
        "owner_email": _named(row.get("Owner"), "email"),
        "country": row.get("Billing_Country"),
    }
