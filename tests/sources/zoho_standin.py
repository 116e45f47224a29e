"""A stand-in for Zoho on 127.0.0.1: OAuth, Books v3 and CRM v8, by the rules of their documentation.

Where reports about the real service differ, a switch chooses. The company behind it can be changed between
and during requests, and a plan of faults can be laid.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.sources.http_fakes import TestClock

CREDENTIALS = {
    "client_id": "1000.CLIENTIDAAAA",
    "client_secret": "clientsecret-aaaa",
    "refresh_token": "1000.refreshtoken.aaaa",
}
ORGANIZATION = "10234695"
Row = dict[str, Any]


@dataclass
class Switches:
    """What reports about the real service disagree on."""

    sort_by_modified: Literal["honoured", "ignored", "refused"] = "honoured"
    names_the_order: bool = True
    last_modified_filter: Literal["since", "exact", "ignored"] = "since"
    application_ids: bool = True
    gone_status: Literal[400, 404] = 400
    amounts: Literal["numbers", "texts"] = "numbers"
    times: Literal["offset", "day"] = "offset"
    errors_under_200: bool = False
    updated_time_only: bool = False
    api_domain: bool = True
    any_page_size: bool = True
    has_comments: bool = True


@dataclass
class Fault:
    """What happens, once, to the next request whose path matches: `act` runs first, then the fault."""

    path: str
    kind: Literal["answer", "truncate", "reset", "expire", "none"] = "none"
    status: int = 500
    body: Row = field(default_factory=lambda: {"code": 1000, "message": "Internal error"})
    act: Callable[[], object] | None = None
    headers: dict[str, str] = field(default_factory=dict)


MINUTE = {"code": 44, "message": "For security reasons your organization has been blocked for a minute."}
DAY = {"code": 45, "message": "The API call for this organization has exceeded the maximum call rate limit."}
IN_PROCESS = {"code": 1070, "message": "You have reached the maximum number of in process requests allowed."}


def dump(value: Any) -> str:
    """JSON with exact numbers."""
    marked = json.dumps(value, default=lambda number: f"\0{number}\0")
    return re.sub(r'"\\u0000([-0-9.]+)\\u0000"', r"\1", marked)


class Company:
    """The books: contacts, invoices, payments, credit notes. Every change is stamped with the clock."""

    def __init__(self, clock: TestClock, switches: Switches) -> None:
        self.clock = clock
        self.switches = switches
        self.contacts: dict[str, Row] = {}
        self.invoices: dict[str, Row] = {}
        self.payments: dict[str, Row] = {}
        self.credit_notes: dict[str, Row] = {}
        self.payment_applications: dict[str, Row] = {}
        self.credit_applications: dict[str, Row] = {}
        self.payment_refunds: dict[str, Row] = {}
        self.credit_refunds: dict[str, Row] = {}
        self.comments: dict[str, list[Row]] = {}
        self.accounts: dict[str, Row] = {}
        self.deleted_accounts: list[Row] = []
        self._next = 982000000567100

    def new_id(self) -> str:
        self._next += 7
        return str(self._next)

    def stamp(self) -> str:
        local = self.clock.now() + timedelta(hours=8)
        return f"{local:%Y-%m-%dT%H:%M:%S}+0800" if self.switches.times == "offset" else f"{local:%Y-%m-%d}"

    def _new(self, **row: Any) -> Row:
        return {**row, "created_time": self.stamp(), "last_modified_time": self.stamp()}

    def touch(self, row: Row) -> None:
        row["last_modified_time"] = self.stamp()

    # --- what people do ---

    def contact(self, name: str, *, currency: str = "USD", opening: str | None = None, **more: Any) -> str:
        key = self.new_id()
        self.contacts[key] = self._new(
            contact_id=key, contact_name=name, contact_type="customer", status="active", payment_terms=15,
            currency_code=currency, email=f"{key}@example.com", opening=opening, **more,
        )  # fmt: skip
        return key

    def invoice(
        self, contact: str, day: str, total: str, *, due: str = "", rate: str = "1.0", status: str = "sent",
        currency: str | None = None,
    ) -> str:  # fmt: skip
        key = self.new_id()
        self.invoices[key] = self._new(
            invoice_id=key, invoice_number=f"INV-{len(self.invoices) + 1:05d}", customer_id=contact, date=day,
            due_date=due or day, total=Decimal(total),
            currency_code=currency or self.contacts[contact]["currency_code"],
            exchange_rate=Decimal(rate), status=status, write_off_amount=Decimal("0.0"),
            reference_number="", salesperson_name="Ann",
            custom_fields=[{"index": 1, "label": "Region", "value": "West"}],
        )  # fmt: skip
        return key

    def payment(
        self, contact: str, day: str, amount: str, applied: dict[str, str] | None = None, *,
        rate: str = "1.0", withheld: str = "0.0", currency: str | None = None,
    ) -> str:  # fmt: skip
        key = self.new_id()
        self.payments[key] = self._new(
            payment_id=key, payment_number=str(len(self.payments) + 1), customer_id=contact, date=day,
            amount=Decimal(amount), payment_mode="banktransfer", reference_number=f"TT-{key[-3:]}",
            currency_code=currency or self.contacts[contact]["currency_code"], exchange_rate=Decimal(rate),
            payment_status="paid", account_name="Bank",
        )  # fmt: skip
        for invoice, part in (applied or {}).items():
            self.apply(key, invoice, part, withheld=withheld)
        return key

    def apply(self, payment: str, invoice: str, amount: str, *, withheld: str = "0.0") -> str:
        key = self.new_id()
        self.payment_applications[key] = {
            "payment_id": payment, "invoice_id": invoice, "amount": Decimal(amount),
            "withheld": Decimal(withheld),
        }  # fmt: skip
        self.touch(self.payments[payment])
        self.touch(self.invoices[invoice])
        return key

    def unapply(self, payment: str, invoice: str) -> None:
        for key, row in list(self.payment_applications.items()):
            if (row["payment_id"], row["invoice_id"]) == (payment, invoice):
                del self.payment_applications[key]
        self.touch(self.payments[payment])
        if invoice in self.invoices:
            self.touch(self.invoices[invoice])

    def credit_note(
        self, contact: str, day: str, total: str, applied: dict[str, str] | None = None, *, rate: str = "1.0",
        currency: str | None = None,
    ) -> str:  # fmt: skip
        key = self.new_id()
        self.credit_notes[key] = self._new(
            creditnote_id=key, creditnote_number=f"CN-{len(self.credit_notes) + 1:05d}", customer_id=contact,
            date=day, total=Decimal(total), exchange_rate=Decimal(rate), status="open",
            currency_code=currency or self.contacts[contact]["currency_code"],
        )  # fmt: skip
        for invoice, part in (applied or {}).items():
            self.apply_credit(key, invoice, part, day)
        return key

    def apply_credit(self, note: str, invoice: str, amount: str, day: str) -> str:
        key = self.new_id()
        self.credit_applications[key] = {
            "creditnote_id": note, "invoice_id": invoice, "amount": Decimal(amount), "date": day,
        }  # fmt: skip
        self.touch(self.credit_notes[note])
        self.touch(self.invoices[invoice])
        return key

    def unapply_credit(self, note: str, invoice: str) -> None:
        for key, row in list(self.credit_applications.items()):
            if (row["creditnote_id"], row["invoice_id"]) == (note, invoice):
                del self.credit_applications[key]
        self.touch(self.credit_notes[note])

    def edit(self, kind: str, key: str, **changes: Any) -> None:
        row = getattr(self, kind)[key]
        row.update(changes)
        self.touch(row)

    def void(self, kind: str, key: str) -> None:
        self._free(key)
        self.edit(kind, key, **{"payment_status" if kind == "payments" else "status": "void"})

    def delete(self, kind: str, key: str) -> None:
        self._free(key)
        del getattr(self, kind)[key]

    def _free(self, key: str) -> None:
        """Un-apply everything that a document is part of."""
        for rows in (self.payment_applications, self.credit_applications):
            for name, row in list(rows.items()):
                if key in row.values():
                    del rows[name]

    def write_off(self, invoice: str, day: str) -> None:
        self.edit("invoices", invoice, write_off_amount=self.balances()[invoice])
        self.comments.setdefault(invoice, []).append(
            {"comment_id": self.new_id(), "description": "Invoice has been written off", "date": day}
        )

    def cancel_write_off(self, invoice: str) -> None:
        self.edit("invoices", invoice, write_off_amount=Decimal("0.0"))

    def refund_payment(self, payment: str, day: str, amount: str) -> str:
        key = self.new_id()
        self.payment_refunds[key] = {"payment_id": payment, "date": day, "amount": Decimal(amount)}
        self.touch(self.payments[payment])
        return key

    def refund_credit(self, note: str, day: str, amount: str) -> str:
        key = self.new_id()
        self.credit_refunds[key] = {"creditnote_id": note, "date": day, "amount": Decimal(amount)}
        self.touch(self.credit_notes[note])
        return key

    # --- what is open ---

    def _sums(self, rows: dict[str, Row], field: str) -> dict[str, Decimal]:
        """What applications or refunds take from each document that they name in `field`."""
        sums: dict[str, Decimal] = defaultdict(lambda: Decimal("0.0"))
        for row in rows.values():
            sums[row[field]] += row["amount"] + (row.get("withheld", 0) if field == "invoice_id" else 0)
        return sums

    def balances(self) -> dict[str, Decimal]:
        """What is open of each invoice, payment and credit note."""
        paid = self._sums(self.payment_applications, "invoice_id")
        credited = self._sums(self.credit_applications, "invoice_id")
        used = self._sums(self.payment_applications, "payment_id")
        noted = self._sums(self.credit_applications, "creditnote_id")
        returned = self._sums(self.payment_refunds, "payment_id")
        refunded = self._sums(self.credit_refunds, "creditnote_id")
        left: dict[str, Decimal] = {}
        for key, row in self.invoices.items():
            rest = row["total"] - paid[key] - credited[key] - row["write_off_amount"]
            left[key] = Decimal("0.0") if row["status"] in {"void", "draft"} else rest
        for key, row in self.payments.items():
            rest = row["amount"] - used[key] - returned[key]
            left[key] = Decimal("0.0") if row["payment_status"] == "void" else rest
        for key, row in self.credit_notes.items():
            rest = row["total"] - noted[key] - refunded[key]
            left[key] = Decimal("0.0") if row["status"] == "void" else rest
        return left

    # --- how the service shows it ---

    def list_rows(self, name: str) -> list[Row]:
        if name == "contacts":
            return [{k: v for k, v in row.items() if k != "opening"} for row in self.contacts.values()]
        if name == "invoices":
            left = self.balances()
            return [{**row, "balance": left[key]} for key, row in self.invoices.items()]
        if name == "customerpayments":
            left, refunded = self.balances(), self._sums(self.payment_refunds, "payment_id")
            return [
                {
                    **{k: v for k, v in row.items() if k not in {"currency_code", "exchange_rate"}},
                    "unused_amount": left[key],
                    "bcy_unused_amount": round(left[key] * row["exchange_rate"], 2),
                    "bcy_refunded_amount": refunded[key],
                }
                for key, row in self.payments.items()
            ]
        if name == "creditnotes":
            left = self.balances()
            rows = [{**row, "balance": left[key]} for key, row in self.credit_notes.items()]
            if self.switches.updated_time_only:
                rows = [{**row, "updated_time": row["last_modified_time"]} for row in rows]
                rows = [{k: v for k, v in row.items() if k != "last_modified_time"} for row in rows]
            return rows
        if name == "creditnotes/refunds":
            return [
                {
                    "creditnote_refund_id": key,
                    "creditnote_id": row["creditnote_id"],
                    "date": row["date"],
                    "amount_fcy": row["amount"],
                    "amount_bcy": row["amount"],
                    "description": "",
                }
                for key, row in self.credit_refunds.items()
            ]
        raise KeyError(name)

    def detail(self, name: str, key: str, part: str) -> Row | None:
        """The answer's fields for one object or a part of it; None when it is not there."""
        rows = {
            "contacts": self.contacts, "invoices": self.invoices, "customerpayments": self.payments,
            "creditnotes": self.credit_notes,
        }[name]  # fmt: skip
        row = rows.get(key)
        if row is None:
            return None
        if (name, part) == ("contacts", ""):
            opening = row.get("opening")
            balances = []
            if opening:
                amount, rate = Decimal(opening), Decimal("0.92")
                balances = [{"location_id": "", "opening_balance_amount": amount, "exchange_rate": rate}]
            return {
                "contact": {
                    **row,
                    "opening_balances": balances,
                    "billing_address": {"country": "U.S.A", "state": "CA"},
                }
            }
        if (name, part) == ("customerpayments", ""):
            return {"payment": {**row, "bank_charges": Decimal("1.0"), "invoices": self._applied(key)}}
        if (name, part) == ("customerpayments", "refunds"):
            return {
                "payment_refunds": [
                    {"payment_refund_id": refund, "date": entry["date"], "amount_fcy": entry["amount"]}
                    for refund, entry in self.payment_refunds.items()
                    if entry["payment_id"] == key
                ]
            }
        if (name, part) == ("creditnotes", "invoices"):
            return {
                "invoices_credited": [
                    {
                        "creditnote_id": key,
                        "invoice_id": entry["invoice_id"],
                        "date": entry["date"],
                        "credited_amount": entry["amount"],
                        **({"creditnote_invoice_id": name} if self.switches.application_ids else {}),
                    }
                    for name, entry in self.credit_applications.items()
                    if entry["creditnote_id"] == key
                ]
            }
        if (name, part) == ("invoices", "comments"):
            return {"comments": self.comments.get(key, [])} if self.switches.has_comments else None
        raise KeyError(f"{name}/{part}")

    def _applied(self, payment: str) -> list[Row]:
        return [
            {
                "invoice_id": row["invoice_id"],
                "amount_applied": row["amount"],
                "tax_amount_withheld": row["withheld"],
                **({"invoice_payment_id": key} if self.switches.application_ids else {}),
            }
            for key, row in self.payment_applications.items()
            if row["payment_id"] == payment
        ]

    # --- CRM ---

    def account(self, name: str, *, owner: str = "Ann", **more: Any) -> str:
        key = self.new_id()
        self.accounts[key] = {
            "id": key, "Account_Name": name,
            "Owner": {"name": owner, "id": "1", "email": f"{owner.lower()}@example.com"},
            "Created_Time": self.crm_stamp(), "Modified_Time": self.crm_stamp(), **more,
        }  # fmt: skip
        return key

    def edit_account(self, key: str, **changes: Any) -> None:
        self.accounts[key].update(changes, Modified_Time=self.crm_stamp())

    def delete_account(self, key: str) -> None:
        row = self.accounts.pop(key)
        self.deleted_accounts.append(
            {
                "id": key,
                "display_name": row["Account_Name"],
                "type": "recycle",
                "deleted_time": self.crm_stamp(),
            }
        )

    def crm_stamp(self) -> str:
        return (self.clock.now() + timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%S") + "+08:00"


LISTS = {
    "contacts": ("contacts", "contact_id"),
    "invoices": ("invoices", "invoice_id"),
    "customerpayments": ("customerpayments", "payment_id"),
    "creditnotes": ("creditnotes", "creditnote_id"),
    "creditnotes/refunds": ("creditnote_refunds", "creditnote_refund_id"),
}
SINGULAR = {
    "contacts": "Contact",
    "invoices": "Invoice",
    "customerpayments": "Payment",
    "creditnotes": "Note",
}
TOKEN_LIFE = timedelta(hours=1)


class Zoho:
    """The service. `requests` are the paths that were asked for, `faults` what goes wrong next."""

    def __init__(self, clock: TestClock | None = None, switches: Switches | None = None) -> None:
        self.clock = clock or TestClock()
        self.switches = switches or Switches()
        self.company = Company(self.clock, self.switches)
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.tokens: dict[str, datetime] = {}
        self.tokens_given = 0
        self.token_answer: tuple[int, Row] | None = None
        self.calls_per_minute = 100
        self.calls_left = 1_000_000
        self.largest_page = 200
        self._moments: list[datetime] = []
        self._page_tokens: dict[str, int] = {}
        self._lock = threading.RLock()
        self.answer_headers: dict[str, str] = {}
        self.url = ""

    @contextmanager
    def serving(self) -> Iterator[Zoho]:
        """Listen on 127.0.0.1 until the block ends."""
        server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"zoho": self}))
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def expire_tokens(self) -> None:
        self.tokens.clear()

    def answer(self, method: str, path: str, headers: dict[str, str], body: str) -> tuple[int, str, str]:
        """(status, text, what happens to it on the way: '', 'truncate' or 'reset')."""
        with self._lock:
            parts = urlsplit(path)
            self.requests.append(parts.path)
            self.answer_headers = {}
            fault = next((one for one in self.faults if re.search(one.path, path)), None)
            if fault is not None:
                self.faults.remove(fault)
                if fault.act is not None:
                    fault.act()
                if fault.kind == "expire":
                    self.expire_tokens()
                self.answer_headers = fault.headers
                if fault.kind == "answer":
                    return self._shown(fault.status, fault.body)
                if fault.kind == "reset":
                    return 0, "", "reset"
            status, data = self._answer(method, parts.path, parts.query, headers, body)
            status, text, _ = self._shown(status, data)
            return status, text, "truncate" if fault is not None and fault.kind == "truncate" else ""

    def _shown(self, status: int, data: Row | None) -> tuple[int, str, str]:
        under_200 = self.switches.errors_under_200 and data is not None and isinstance(data.get("code"), int)
        return (200 if under_200 else status), "" if data is None else dump(data), ""

    def _answer(
        self, method: str, path: str, query: str, headers: dict[str, str], body: str
    ) -> tuple[int, Row | None]:
        if path == "/oauth/v2/token":
            return self._token(dict(parse_qsl(body)))
        token = headers.get("authorization", "")
        known = self.tokens.get(token.removeprefix("Zoho-oauthtoken "))
        is_crm = path.startswith("/crm/")
        if not token.startswith("Zoho-oauthtoken ") or known is None or known <= self.clock.now():
            if is_crm:
                return 401, {"code": "INVALID_TOKEN", "details": {}, "message": "invalid", "status": "error"}
            return 401, {"code": 57, "message": "You are not authorized to perform this operation"}
        throttled = self._throttled()
        if throttled is not None:
            return 429, (
                {"code": "TOO_MANY_REQUESTS", "details": {}, "message": "limit", "status": "error"}
                if is_crm
                else throttled
            )
        # A form parser reads an unencoded plus as a space.
        params = {name: unquote(text) for name, text in parse_qsl(query)}
        if is_crm:
            return self._crm(path, params, headers)
        if params.get("organization_id") != ORGANIZATION:
            return 401, {"code": 57, "message": "You are not authorized to perform this operation"}
        return self._books(path.removeprefix("/books/v3/"), params)

    def _token(self, form: Row) -> tuple[int, Row]:
        if self.token_answer is not None:
            return self.token_answer
        if form.get("client_id") != CREDENTIALS["client_id"]:
            return 200, {"error": "invalid_client"}
        if form.get("client_secret") != CREDENTIALS["client_secret"]:
            return 200, {"error": "invalid_client_secret"}
        if form.get("refresh_token") != CREDENTIALS["refresh_token"]:
            return 200, {"error": "invalid_code"}
        self.tokens_given += 1
        token = f"1000.token{self.tokens_given:04d}.bbbb"
        self.tokens[token] = self.clock.now() + TOKEN_LIFE
        domain = {"api_domain": self.url} if self.switches.api_domain else {}
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600, **domain}

    def _throttled(self) -> Row | None:
        now = self.clock.now()
        self._moments = [moment for moment in self._moments if now - moment < timedelta(minutes=1)]
        if len(self._moments) >= self.calls_per_minute:
            return MINUTE
        if self.calls_left <= 0:
            return DAY
        self._moments.append(now)
        self.calls_left -= 1
        return None

    # --- Books ---

    def _books(self, path: str, params: dict[str, str]) -> tuple[int, Row]:
        if path in LISTS:
            return self._list(path, params)
        name, _, rest = path.partition("/")
        key, _, part = rest.partition("/")
        if name not in SINGULAR or not key:
            return 404, {"code": 5, "message": "Invalid URL Passed"}
        found = self.company.detail(name, key, part)
        if found is None:
            return self.switches.gone_status, {"code": 1002, "message": f"{SINGULAR[name]} does not exist."}
        return 200, {"code": 0, "message": "success", **found}

    def _list(self, path: str, params: dict[str, str]) -> tuple[int, Row]:
        plural, key = LISTS[path]
        rows = self.company.list_rows(path)
        since = params.get("last_modified_time")
        if since is not None:
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", since):
                return 400, {"code": 4, "message": "Invalid value passed for last_modified_time"}
            if self.switches.last_modified_filter == "since":
                rows = [row for row in rows if row["last_modified_time"] >= since]
            elif self.switches.last_modified_filter == "exact":
                rows = [row for row in rows if row["last_modified_time"] == since]
        column, descending = params.get("sort_column", "created_time"), params.get("sort_order") == "D"
        if column == "last_modified_time" and path != "contacts":
            if self.switches.sort_by_modified == "refused":
                return 400, {"code": 4, "message": "Invalid value passed for sort_column"}
            if self.switches.sort_by_modified == "ignored":
                column, descending = "created_time", True
        if path == "creditnotes/refunds":
            column = "date"
        field = (
            column
            if not (column == "last_modified_time" and "updated_time" in (rows or [{}])[0])
            else ("updated_time")
        )
        rows.sort(key=lambda row: (row[field], row[key]), reverse=descending)
        size = min(int(params.get("per_page", 200)), self.largest_page)
        size = size if self.switches.any_page_size else self.largest_page
        page = int(params.get("page", 1))
        start = (page - 1) * size
        context = {"page": page, "per_page": size, "has_more_page": start + size < len(rows)}
        if self.switches.names_the_order:
            context |= {"sort_column": column, "sort_order": "D" if descending else "A"}
        cut = rows[start : start + size]
        if self.switches.amounts == "texts":
            cut = [{k: str(v) if isinstance(v, Decimal) else v for k, v in row.items()} for row in cut]
        return 200, {"code": 0, "message": "success", plural: cut, "page_context": context}

    # --- CRM ---

    def _crm(self, path: str, params: dict[str, str], headers: dict[str, str]) -> tuple[int, Row | None]:
        page, size = int(params.get("page", 1)), min(int(params.get("per_page", 200)), 200)
        since = self._local(headers.get("if-modified-since"))
        if path == "/crm/v8/Accounts/deleted":
            rows = [row for row in self.company.deleted_accounts if not since or row["deleted_time"] > since]
            return self._crm_page(rows, page, size) if rows else (304 if since else 204, None)
        if path != "/crm/v8/Accounts":
            return 404, {"code": "INVALID_URL_PATTERN", "details": {}, "message": "url", "status": "error"}
        fields = params.get("fields", "").split(",")
        if fields == [""] or len(fields) > 50:
            return 400, {"code": "REQUIRED_PARAM_MISSING", "details": {"param": "fields"}, "status": "error"}
        start = (page - 1) * size
        if "page_token" in params:
            if "page" in params or params["page_token"] not in self._page_tokens:
                return 400, {"code": "INVALID_DATA", "details": {}, "message": "token", "status": "error"}
            start = self._page_tokens[params["page_token"]]
        elif start + size > 2000:
            return 400, {"code": "DISCRETE_PAGINATION_LIMIT_EXCEEDED", "details": {}, "status": "error"}
        rows = sorted(
            self.company.accounts.values(),
            key=lambda row: (row[params.get("sort_by", "id")], row["id"]),
            reverse=params.get("sort_order", "desc") == "desc",
        )
        if since:
            rows = [row for row in rows if row["Modified_Time"] > since]
        if not rows:
            return (304 if since else 204), None
        shown = [{name: row.get(name) for name in ("id", *fields)} for row in rows]
        return self._crm_page(shown, page, size, start=start)

    def _local(self, since: str | None) -> str | None:
        """A moment in the organization's zone, as the rows write it."""
        if since is None:
            return None
        moment = datetime.fromisoformat(since) + timedelta(hours=8)
        return moment.strftime("%Y-%m-%dT%H:%M:%S") + "+08:00"

    def _crm_page(
        self, rows: list[Row], page: int, size: int, *, start: int | None = None
    ) -> tuple[int, Row]:
        first = (page - 1) * size if start is None else start
        more = first + size < len(rows)
        token = f"page{first + size}" if more else None
        if token:
            self._page_tokens[token] = first + size
        info = {"per_page": size, "page": page, "more_records": more, "next_page_token": token}
        return 200, {"data": rows[first : first + size], "info": info}


class _Server(ThreadingHTTPServer):
    """Threads that end with the test, and no word about connections that were broken on purpose."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be quiet about those; a mistake of the stand-in itself is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Carries requests to the stand-in, and damages answers on the way where the plan says so."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one piece: else each answer waits for an acknowledgement
    disable_nagle_algorithm = True
    zoho: Zoho

    def log_message(self, *args: Any) -> None:
        """Be quiet."""

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, text, damage = self.zoho.answer(self.command, self.path, headers, body)
        if damage == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
            return
        data = text.encode()
        if damage == "truncate":
            data = data[: len(data) // 2]
        self.send_response(status)
        self.send_header("content-type", "application/json")
        for name, value in self.zoho.answer_headers.items():
            self.send_header(name, value)
        if status not in {204, 304}:
            self.send_header("content-length", str(len(data)))
        self.end_headers()
        if status not in {204, 304}:
            self.wfile.write(data)

    do_GET = do_POST = _respond  # noqa: N815 (names of the base class)
