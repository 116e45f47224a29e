"""A company in the stand-in of Zoho, its story over some days, and the source that reads it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from receivables.settings import Settings
from receivables.sources import http
from tests.sources.http_fakes import TestClock
from tests.sources.mirror import Mirror
from tests.sources.setup import Case, write_source
from tests.sources.zoho_standin import CREDENTIALS, ORGANIZATION, Company, Switches, Zoho

ZONE = ZoneInfo("Asia/Shanghai")
FIRST = date(2026, 3, 2)
VARIABLES = {f"ZOHO_{name.upper()}": value for name, value in CREDENTIALS.items()}


def end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), ZONE).astimezone(UTC)


def at(day: date, hour: int = 11) -> datetime:
    return datetime.combine(day, time(hour), ZONE).astimezone(UTC)


@contextmanager
def zoho_books(
    home: Settings, monkeypatch: pytest.MonkeyPatch, *, switches: Switches | None = None, more: str = ""
) -> Iterator[tuple[Zoho, Case]]:
    """A stand-in that serves, and a source file that points at it."""
    clock = TestClock(at(FIRST))
    monkeypatch.setattr(http, "SYSTEM_CLOCK", clock.clock)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with Zoho(clock, switches).serving() as zoho:
        where = f"accounts_url: {zoho.url}\n"
        if not zoho.switches.api_domain:
            where += f"api_url: {zoho.url}\n"
        text = (
            f"kind: zoho_books\norganization_id: '{ORGANIZATION}'\ntimezone: Asia/Shanghai\n"
            f"default_company_id: HD-EU\ndefault_currency_code: EUR\n{where}{more}"
        )
        yield zoho, write_source(home, text, name="zoho")


@contextmanager
def zoho_crm(
    home: Settings, monkeypatch: pytest.MonkeyPatch, *, more: str = ""
) -> Iterator[tuple[Zoho, Case]]:
    """A CRM that serves, and a source file that points at it."""
    clock = TestClock(at(FIRST))
    monkeypatch.setattr(http, "SYSTEM_CLOCK", clock.clock)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with Zoho(clock).serving() as zoho:
        text = f"kind: zoho_crm\ntimezone: Asia/Shanghai\naccounts_url: {zoho.url}\n{more}"
        yield zoho, write_source(home, text, name="crm")


def found(company: Company) -> dict[str, str]:
    """The company on its first day: every kind of document that Zoho Books knows."""
    clock = company.clock
    clock.time = at(FIRST - timedelta(days=40))
    ids: dict[str, str] = {}
    ids["bowman"] = company.contact("Bowman and Co", currency="USD", opening="55.50")
    ids["hans"] = company.contact("Hans GmbH", currency="EUR")
    ids["sato"] = company.contact("佐藤商事", currency="JPY")
    clock.time = at(FIRST - timedelta(days=30))
    for number in range(1, 8):
        day = (FIRST - timedelta(days=60 - number)).isoformat()
        ids[f"b{number}"] = company.invoice(ids["bowman"], day, f"{number}00.40", rate="0.92")
        ids[f"h{number}"] = company.invoice(ids["hans"], day, f"{number}10.10", due=FIRST.isoformat())
        clock.sleep(60)
    ids["s1"] = company.invoice(ids["sato"], "2026-02-01", "50000", rate="0.0061")
    ids["draft"] = company.invoice(ids["hans"], "2026-02-20", "99.99", status="draft")
    clock.time = at(FIRST - timedelta(days=10))
    ids["p1"] = company.payment(
        ids["bowman"], "2026-02-10", "400.80", {ids["b1"]: "100.40", ids["b2"]: "200.40"}, rate="0.93"
    )
    ids["p2"] = company.payment(ids["hans"], "2026-02-12", "200.00", {ids["h2"]: "200.00"}, withheld="10.10")
    ids["p3"] = company.payment(ids["sato"], "2026-02-12", "20000", rate="0.0062")
    ids["c1"] = company.credit_note(ids["bowman"], "2026-02-15", "80.00", {ids["b3"]: "50.00"}, rate="0.92")
    ids["c2"] = company.credit_note(ids["hans"], "2026-02-16", "33.33")
    clock.time = at(FIRST)
    return ids


def second_day(company: Company, ids: dict[str, str]) -> None:
    """Un-applied, edited and moved money; a write-off; refunds; what was back-dated."""
    company.unapply(ids["p1"], ids["b2"])
    company.apply(ids["p1"], ids["b4"], "250.00")
    company.apply(ids["p3"], ids["s1"], "15000")
    company.write_off(ids["b7"], "2026-03-02")
    company.refund_payment(ids["p3"], "2026-03-03", "1000")
    company.refund_credit(ids["c1"], "2026-03-03", "10.00")
    company.apply_credit(ids["c2"], ids["h3"], "33.33", "2026-03-03")
    ids["back"] = company.payment(ids["hans"], "2026-01-15", "110.10", {ids["h1"]: "110.10"})
    ids["new"] = company.invoice(ids["hans"], "2026-03-03", "12.34")
    company.edit("invoices", ids["draft"], status="sent")


def third_day(company: Company, ids: dict[str, str]) -> None:
    """Voids and hard deletes, and a back-dated payment that is edited."""
    company.void("invoices", ids["h4"])
    company.void("credit_notes", ids["c1"])
    company.delete("payments", ids["p2"])
    company.delete("invoices", ids["b6"])
    company.cancel_write_off(ids["b7"])
    company.unapply(ids["back"], ids["h1"])
    company.edit("payments", ids["back"], amount=Decimal("60.00"), date="2026-01-10")
    company.apply(ids["back"], ids["h1"], "60.00")
    company.unapply_credit(ids["c2"], ids["h3"])
    company.edit("contacts", ids["hans"], contact_name="Hans AG")


DAYS: tuple[Callable[[Company, dict[str, str]], None], ...] = (second_day, third_day)


def live_through(zoho: Zoho, load: Callable[[date], Any], *, settle: int = 0) -> dict[str, str]:
    """The company's first days: what happens in the day, then the load in the night after it."""
    ids = found(zoho.company)
    zoho.clock.time = at(FIRST + timedelta(days=1), 1)
    load(FIRST)
    days = (*DAYS, *[lambda company, ids: None] * settle)
    for number, happen in enumerate(days, start=1):
        day = FIRST + timedelta(days=number)
        zoho.clock.time = at(day)
        happen(zoho.company, ids)
        zoho.clock.time = at(day + timedelta(days=1), 1)
        load(day)
    return ids


def open_amounts(mirror: Mirror) -> dict[str, Decimal]:
    """What is open on each document, from the rows that were delivered."""
    left: dict[str, Decimal] = defaultdict(Decimal)
    for entity, key in (
        ("invoices", "invoice_id"), ("credit_memos", "credit_memo_id"), ("receipts", "receipt_id"),
    ):  # fmt: skip
        for row in mirror.values(entity):
            if row["status"] == "posted":
                left[row[key]] += row["amount"]
    for row in mirror.values("applications"):
        left[row["invoice_id"]] -= row["amount"] + (row["discount_amount"] or 0)
        left[row["credit_id"]] -= row["amount"]
    for row in mirror.values("adjustments"):
        if row["adjustment_type"] == "write_off":
            left[row["invoice_id"]] -= row["amount"]
        elif row["adjustment_type"] == "refund" and row["credit_id"] in left:
            left[row["credit_id"]] -= row["amount"]
    return {key: amount for key, amount in left.items() if amount}


def open_in_zoho(company: Company) -> dict[str, Decimal]:
    """What the service itself says is open on each document."""
    return {key: amount for key, amount in company.balances().items() if amount}
