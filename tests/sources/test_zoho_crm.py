"""Zoho CRM: accounts with their owners, by what changed, and gone when they are gone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from receivables.errors import ConfigError
from receivables.settings import Settings
from receivables.sources import open_connector
from receivables.sources.http import AuthenticationError
from receivables.sources.http_state import QuotaError
from tests.sources.mirror import Mirror, keys
from tests.sources.zoho_fixture import FIRST, at, end_of, zoho_books, zoho_crm
from tests.sources.zoho_standin import Fault

NEXT = FIRST + timedelta(days=1)


def test_accounts_come_with_owner_and_segment(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    more = "entities: {customers: {fields: [Tier], columns: {credit_rating: Tier}}}\n"
    with zoho_crm(home, monkeypatch, more=more) as (zoho, case):
        parent = zoho.company.account("Holding")
        zoho.company.account(
            "Bowman", owner="Li", Account_Type="Wholesale", Currency="USD", Tier="A",
            Parent_Account={"name": "Holding", "id": parent},
        )  # fmt: skip
        mirror = Mirror(case)
        mirror.load(end_of(FIRST))
        row = next(row for row in mirror.values("customers") if row["customer_name"] == "Bowman")
        assert (row["segment"], row["collector"], row["currency_code"]) == ("Wholesale", "Li", "USD")
        assert (row["parent_customer_id"], row["credit_rating"]) == (parent, "A")


def test_what_changed_comes_and_what_is_deleted_goes(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with zoho_crm(home, monkeypatch) as (zoho, case):
        first, second = zoho.company.account("One"), zoho.company.account("Two")
        mirror = Mirror(case)
        mirror.load(end_of(FIRST))
        zoho.clock.time = at(NEXT)
        zoho.company.edit_account(first, Account_Name="Uno")
        zoho.company.delete_account(second)
        zoho.clock.time = at(NEXT + timedelta(days=1), 1)
        mirror.load(end_of(NEXT))
        assert [(row["customer_id"], row["customer_name"]) for row in mirror.values("customers")] == [
            (first, "Uno")
        ]


def test_an_empty_module_and_a_day_without_changes_are_no_faults(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_crm(home, monkeypatch) as (zoho, case):
        mirror = Mirror(case)
        mirror.load(end_of(FIRST))
        zoho.company.account("One")
        mirror.load(end_of(FIRST))
        zoho.clock.time = at(NEXT + timedelta(days=2))
        mirror.load(end_of(NEXT))
        assert len(mirror.values("customers")) == 1


def test_behind_two_thousand_rows_a_token_leads_on(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with zoho_crm(home, monkeypatch) as (zoho, case):
        ids = {zoho.company.account(f"Account {number}") for number in range(2405)}
        with open_connector(case.source, case.settings) as connector:
            assert keys("customers", list(connector.sweep("customers"))) == {(one,) for one in ids}


def test_an_account_that_goes_between_two_pages_hides_no_other(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_crm(home, monkeypatch) as (zoho, case):
        ids = [zoho.company.account(f"Account {number}") for number in range(405)]
        zoho.faults.append(Fault("[?&]page=2", act=lambda: zoho.company.delete_account(ids[3])))
        with open_connector(case.source, case.settings) as connector:
            swept = keys("customers", list(connector.sweep("customers")))
        assert swept == {(one,) for one in ids if one != ids[3]}


def test_faults_are_told_apart(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with zoho_crm(home, monkeypatch) as (zoho, case):
        zoho.company.account("One")
        busy = {"code": "TOO_MANY_REQUESTS", "details": {}, "message": "busy", "status": "error"}
        failed = {"code": "INTERNAL_ERROR", "details": {}, "message": "oops", "status": "error"}
        zoho.faults += [
            Fault("Accounts", "expire"),
            Fault("Accounts", "answer", 429, busy),
            Fault("Accounts", "answer", 500, failed),
            Fault("Accounts", "truncate"),
            Fault("Accounts", "reset"),
        ]
        mirror = Mirror(case)
        mirror.load(end_of(FIRST))
        assert len(mirror.values("customers")) == 1
        zoho.faults.append(
            Fault(
                "Accounts", "answer", 403, {"code": "OAUTH_SCOPE_MISMATCH", "message": "scope", "details": {}}
            )
        )
        with pytest.raises(AuthenticationError, match=r"ZohoCRM\.modules\.accounts\.READ"):
            mirror.load(end_of(FIRST))
        zoho.faults.append(Fault("Accounts", "answer", 429, busy, headers={"X-API-CREDITS-REMAINING": "0"}))
        with pytest.raises(QuotaError):
            mirror.load(end_of(FIRST))


def test_only_customers_are_read_from_the_crm(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    more = "entities: {invoices: {}}\n"
    with zoho_crm(home, monkeypatch, more=more) as (_, case), pytest.raises(ConfigError, match="zoho_books"):
        _ = case.source


def test_customers_of_the_books_get_owner_and_segment_from_the_crm(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = "crm: {segment: Tier}\nentities: {customers: {}}\n"
    with zoho_books(home, monkeypatch, more=more) as (zoho, case):
        company = zoho.company
        linked = company.account("Bowman Holding", owner="Li", Tier="A")
        company.account("Hans GmbH", owner="Eva", Tier="B")
        for _number in range(2):
            company.account("Twice", owner="Nobody", Tier="Z")
        company.contact("Bowman and Co", zcrm_account_id=linked)
        for name in ("Hans GmbH", "Twice"):
            company.contact(name)
        mirror = Mirror(case)
        mirror.load(end_of(FIRST))
        assert {
            row["customer_name"]: (row["collector"], row["segment"]) for row in mirror.values("customers")
        } == {
            "Bowman and Co": ("Li", "A"),
            "Hans GmbH": ("Eva", "B"),
            "Twice": (None, None),
        }
        zoho.clock.time = at(NEXT)
        company.edit_account(linked, Owner={"name": "Max", "id": "2", "email": "max@example.com"})
        zoho.clock.time = at(NEXT + timedelta(days=1), 1)
        mirror.load(end_of(NEXT))
        owners = {row["customer_name"]: row["collector"] for row in mirror.values("customers")}
        assert owners == {"Bowman and Co": "Max", "Hans GmbH": "Eva", "Twice": None}
        assert zoho.tokens_given == 2, "one for each night, for both services"
