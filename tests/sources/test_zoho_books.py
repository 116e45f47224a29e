"""Zoho Books: the same books under every behaviour that is reported of the service, and after every fault."""

from __future__ import annotations

import json
import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from receivables.errors import ConfigError
from receivables.settings import Settings
from receivables.sources import check_source, open_connector
from receivables.sources.base import Window
from receivables.sources.http import AuthenticationError
from receivables.sources.http_state import QuotaError, ThrottledError
from tests.sources.http_fakes import Script
from tests.sources.mirror import Mirror
from tests.sources.setup import write_source
from tests.sources.zoho_fixture import (
    FIRST,
    VARIABLES,
    at,
    end_of,
    found,
    live_through,
    open_amounts,
    open_in_zoho,
    zoho_books,
)
from tests.sources.zoho_standin import DAY, IN_PROCESS, MINUTE, Fault, Switches

NO_SWEEP = "".join(
    f"  {name}: {{sweep: false, overlap: 1h}}\n"
    for name in ("customers", "invoices", "credit_memos", "receipts", "applications", "adjustments")
)
FULL = NO_SWEEP.replace("sweep: false, overlap: 1h", "mode: full")

SWITCHES: dict[str, dict[str, Any]] = {
    "as documented": {},
    "sorting by change is ignored": {"sort_by_modified": "ignored"},
    "sorting by change is ignored in silence": {"sort_by_modified": "ignored", "names_the_order": False},
    "sorting by change is refused": {"sort_by_modified": "refused"},
    "the order is not named": {"names_the_order": False},
    "the filter is exact": {"last_modified_filter": "exact"},
    "the filter is ignored": {"last_modified_filter": "ignored"},
    "applications have no id": {"application_ids": False},
    "gone is 404": {"gone_status": 404},
    "amounts are texts": {"amounts": "texts"},
    "times are days": {"times": "day"},
    "errors come under 200": {"errors_under_200": True},
    "credit notes say updated_time": {"updated_time_only": True},
    "the token names no address": {"api_domain": False},
    "pages have one size": {"any_page_size": False},
    "histories cannot be read": {"has_comments": False},
}


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
def test_the_books_agree_every_night(
    home: Settings, monkeypatch: pytest.MonkeyPatch, switches: dict[str, Any]
) -> None:
    with zoho_books(home, monkeypatch, switches=Switches(**switches)) as (zoho, case):
        zoho.largest_page = 6
        mirror = Mirror(case)

        def load(day: date) -> None:
            mirror.load(end_of(day))
            assert open_amounts(mirror) == open_in_zoho(zoho.company), f"on {day}"

        live_through(zoho, load)


def test_reading_all_each_night_gives_the_same_books(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with zoho_books(home, monkeypatch, more=f"entities:\n{FULL}") as (zoho, case):
        mirror = Mirror(case)
        live_through(zoho, lambda day: mirror.load(end_of(day)))
        assert open_amounts(mirror) == open_in_zoho(zoho.company)


@pytest.mark.parametrize(
    "name",
    [name for name in SWITCHES if "sort" in name or "order" in name or "docu" in name or "time" in name],
)
def test_without_a_sweep_every_change_comes_at_night_and_what_is_gone_within_the_week(
    home: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    switches = Switches(**SWITCHES[name])
    with zoho_books(home, monkeypatch, switches=switches, more=f"entities:\n{NO_SWEEP}") as (zoho, case):
        zoho.largest_page = 6
        mirror = Mirror(case)
        company = zoho.company

        def load(day: date) -> None:
            mirror.load(end_of(day))
            for entity, rows in (("invoices", company.invoices), ("credit_memos", company.credit_notes)):
                held = {key[0]: row["amount"] for key, row in mirror.rows[entity].items()}
                assert {key: row["total"] for key, row in rows.items()}.items() <= held.items()

        live_through(zoho, load)
        assert open_amounts(mirror) != open_in_zoho(company)
        zoho.clock.time = at(FIRST + timedelta(days=9), 1)
        mirror.load(end_of(FIRST + timedelta(days=8)))
        assert open_amounts(mirror) == open_in_zoho(company)


def rows_of(mirror: Mirror) -> dict[str, list[dict[str, Any]]]:
    return {
        entity: sorted(rows.values(), key=str)
        for entity, rows in mirror.rows.items()
        if entity != "gl_balances"
    }


PATHS = ("/contacts", "/invoices", "/customerpayments", "/creditnotes", "refunds")


def storm(zoho: Any, seed: int) -> None:
    """Three of four requests fail for a while, each in a way that the seed chooses."""
    chance = random.Random(seed)
    answers = [
        (429, MINUTE),
        (429, IN_PROCESS),
        (500, {"code": 1000, "message": "Internal error"}),
        (503, {}),
    ]
    for path in PATHS:
        # The token expires in the middle; a second refusal in a row would be a missing right.
        zoho.faults += [Fault(path), Fault(path, "expire")]
        for number in range(16):
            status, body = chance.choice(answers)
            kind = "none" if number % 4 == 0 else chance.choice(["answer", "truncate", "reset"])
            zoho.faults.append(Fault(path, kind, status, dict(body)))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [1, 2])
def test_after_a_storm_the_books_are_those_of_a_quiet_run(
    tmp_path: Path, home: Settings, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    with zoho_books(home, monkeypatch) as (zoho, case):
        quiet = Mirror(case)
        live_through(zoho, lambda day: quiet.load(end_of(day)))
        calm_calls = len(zoho.requests)
    other = Settings(
        root=home.root, home=tmp_path / "other", sources_dir=home.sources_dir, config_file=home.config_file
    )
    with zoho_books(other, monkeypatch) as (zoho, case):
        stormy = Mirror(case)

        def load(day: date) -> None:
            storm(zoho, seed + day.toordinal())
            stormy.load(end_of(day))

        live_through(zoho, load)
        assert len(zoho.requests) > calm_calls + 60
    assert rows_of(stormy) == rows_of(quiet)


def test_a_row_that_goes_between_two_pages_hides_no_other(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_books(home, monkeypatch) as (zoho, case):
        ids = found(zoho.company)
        zoho.largest_page = 6
        zoho.clock.time = at(FIRST + timedelta(days=1), 1)
        with open_connector(case.source, case.settings) as connector:
            zoho.faults.append(
                Fault(r"/invoices\?.*[?&]page=3", act=lambda: zoho.company.delete("invoices", ids["b1"]))
            )
            batches = list(connector.read("invoices", Window(None, end_of(FIRST))))
            read = {key for batch in batches for key in batch.table["invoice_id"].to_pylist()}
        assert not zoho.faults, "the page was asked for"
        assert read >= set(zoho.company.invoices)


def test_a_row_that_changes_between_two_pages_is_not_taken_for_removed(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_books(home, monkeypatch, switches=Switches(sort_by_modified="ignored")) as (zoho, case):
        ids = found(zoho.company)
        zoho.largest_page = 6
        mirror = Mirror(case)
        zoho.clock.time = at(FIRST + timedelta(days=1), 1)
        mirror.load(end_of(FIRST))
        zoho.faults.append(
            Fault(
                r"/invoices\?.*page=3", act=lambda: zoho.company.edit("invoices", ids["h7"], total=Decimal(1))
            )
        )
        mirror.load(end_of(FIRST))
        assert (ids["h7"],) in mirror.rows["invoices"]


def test_what_happens_after_the_day_waits_for_its_own_day(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_books(home, monkeypatch) as (zoho, case):
        ids = found(zoho.company)
        mirror = Mirror(case)
        zoho.clock.time = at(FIRST + timedelta(days=1), 1)
        mirror.load(end_of(FIRST))
        before = open_amounts(mirror)
        zoho.company.unapply(ids["p1"], ids["b2"])
        zoho.company.write_off(ids["b5"], "2026-03-03")
        mirror.load(end_of(FIRST))
        assert open_amounts(mirror) == before
        mirror.load(end_of(FIRST + timedelta(days=1)))
        assert open_amounts(mirror) == open_in_zoho(zoho.company) != before


def test_a_day_without_calls_left_costs_nothing_that_had_arrived(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_books(home, monkeypatch) as (zoho, case):
        company = zoho.company
        customer = company.contact("Big", currency="EUR")
        for number in range(60):
            invoice = company.invoice(customer, "2026-02-01", "10.00")
            company.payment(customer, "2026-02-02", "10.00", {invoice: "10.00"})
            zoho.clock.sleep(number)
        zoho.clock.time = at(FIRST + timedelta(days=1), 1)
        mirror = Mirror(case)
        attempts = 0
        while "adjustments" not in mirror.read_whole_at:
            attempts += 1
            zoho.calls_left = 30
            try:
                mirror.load(end_of(FIRST))
            except QuotaError as error:
                assert "goes on where it stopped" in str(error)
            zoho.clock.sleep(3600)
        details = [path for path in zoho.requests if path.startswith("/books/v3/customerpayments/")]
        assert attempts > 2
        assert len(set(details)) == 60
        assert len(details) < 60 + attempts, "only the call that was refused is made again"
        assert open_amounts(mirror) == open_in_zoho(company) == {}


def test_payments_are_asked_for_once_while_they_stay_the_same(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_books(home, monkeypatch) as (zoho, case):
        live_through(zoho, lambda day: Mirror(case).load(end_of(day)))
        zoho.requests.clear()
        Mirror(case).load(end_of(FIRST + timedelta(days=2)))
        assert [path for path in zoho.requests if path.count("/") > 3 and "refunds" not in path] == []


def test_the_details_of_what_was_deleted_are_let_go_after_a_month(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_books(home, monkeypatch) as (zoho, case):
        live_through(zoho, lambda day: Mirror(case).load(end_of(day)))
        kept = home.http_state / "zoho.sqlite"
        present = {*zoho.company.payments, *zoho.company.credit_notes, *zoho.company.contacts}

        def keys() -> set[str]:
            with closing(sqlite3.connect(kept)) as connection:
                rows = connection.execute("select key from documents where kind <> 'write_off_day'")
                return {key for (key,) in rows.fetchall()}

        deleted = keys() - present
        assert deleted
        zoho.clock.sleep(40 * 86_400)
        zoho.requests.clear()
        Mirror(case).load(zoho.clock.now())
        assert keys() == present & keys()
        assert [path for path in zoho.requests if path.count("/") > 3 and "refunds" not in path] == []


def test_all_tasks_share_one_token(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with zoho_books(home, monkeypatch) as (zoho, case):
        found(zoho.company)
        Mirror(case).load(end_of(FIRST))
        assert zoho.tokens_given == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ZOHO_REFRESH_TOKEN", "refresh token is not valid here"),
        ("ZOHO_CLIENT_SECRET", "client secret is wrong"),
        ("ZOHO_CLIENT_ID", "client id is not known here"),
    ],
)
def test_wrong_credentials_are_told_apart_although_the_service_says_200(
    home: Settings, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    with zoho_books(home, monkeypatch) as (_, case):
        monkeypatch.setenv(name, "1000.something.wrong")
        with pytest.raises(AuthenticationError, match=words) as caught:
            Mirror(case).load(end_of(FIRST))
        assert "1000.something" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 400])
def test_too_many_tokens_is_a_pause_in_any_language(
    home: Settings, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with zoho_books(home, monkeypatch) as (zoho, case):
        zoho.token_answer = (status, {"error_description": "请稍后再试", "error": "Access Denied"})
        for _ in range(2):
            with pytest.raises(ThrottledError, match="no more access tokens"):
                Mirror(case).load(end_of(FIRST))
        assert len(zoho.requests) == 1


def test_a_missing_right_is_named_after_one_new_token(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_books(home, monkeypatch) as (zoho, case):
        text = case.file.read_text().replace("10234695", "999")
        case.file.write_text(text)
        with pytest.raises(AuthenticationError, match=r"ZohoBooks\.invoices\.READ"):
            Mirror(case).load(end_of(FIRST))
        assert zoho.tokens_given == 2


def test_the_minute_is_kept_by_ourselves_and_waited_for_when_others_used_it_up(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_books(home, monkeypatch) as (zoho, case):
        found(zoho.company)
        zoho.clock.time = at(FIRST + timedelta(days=1), 1)
        zoho.calls_per_minute = 10
        mirror = Mirror(case)
        mirror.load(end_of(FIRST))
        assert open_amounts(mirror) == open_in_zoho(zoho.company)
        assert zoho.clock.now() > at(FIRST + timedelta(days=1), 1) + timedelta(minutes=1)


def test_the_day_is_over_under_200_too(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with zoho_books(home, monkeypatch, switches=Switches(errors_under_200=True)) as (zoho, case):
        zoho.faults.append(Fault("/contacts", "answer", 429, DAY))
        with pytest.raises(QuotaError):
            Mirror(case).load(end_of(FIRST))


def test_a_write_off_has_the_day_of_the_history_else_the_day_it_was_seen(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for has_comments, expected in ((True, date(2026, 3, 1)), (False, date(2026, 3, 2))):
        switches = Switches(has_comments=has_comments)
        case_home = Settings(
            root=home.root, home=home.home / str(has_comments), sources_dir=home.sources_dir,
            config_file=home.config_file,
        )  # fmt: skip
        with zoho_books(case_home, monkeypatch, switches=switches) as (zoho, case):
            ids = found(zoho.company)
            zoho.company.write_off(ids["b7"], "2026-03-01")
            zoho.clock.time = at(FIRST + timedelta(days=1), 1)
            mirror = Mirror(case)
            mirror.load(end_of(FIRST))
            zoho.clock.time = at(FIRST + timedelta(days=1))
            zoho.company.edit("invoices", ids["b7"], reference_number="a later edit")
            mirror.load(end_of(FIRST + timedelta(days=1)))
            (row,) = [row for row in mirror.values("adjustments") if row["adjustment_type"] == "write_off"]
            assert (row["adjustment_date"], row["amount"]) == (expected, Decimal("700.4000"))


def test_withheld_tax_settles_the_invoice_and_is_no_cash(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_books(home, monkeypatch) as (zoho, case):
        ids = found(zoho.company)
        mirror = Mirror(case)
        mirror.load(end_of(FIRST))
        (row,) = [row for row in mirror.values("applications") if row["credit_id"] == ids["p2"]]
        assert (row["amount"], row["discount_amount"]) == (Decimal("200.0000"), Decimal("10.1000"))


def test_an_opening_balance_is_owed_without_an_invoice(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_books(home, monkeypatch, more="opening_balance_date: 2025-12-31\n") as (zoho, case):
        ids = found(zoho.company)
        mirror = Mirror(case)
        mirror.load(end_of(FIRST))
        (row,) = [row for row in mirror.values("adjustments") if row["adjustment_type"] == "journal_debit"]
        assert (row["customer_id"], row["amount"]) == (ids["bowman"], Decimal("55.5000"))
        assert row["adjustment_date"] == date(2025, 12, 31)


def test_a_custom_field_can_feed_a_column(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    more = 'entities: {invoices: {custom_fields: [Region], columns: {contract_id: "cf:Region"}}}\n'
    with zoho_books(home, monkeypatch, more=more) as (zoho, case):
        found(zoho.company)
        mirror = Mirror(case)
        mirror.load(end_of(FIRST))
        assert {row["contract_id"] for row in mirror.values("invoices")} == {"West"}
        assert set(mirror.rows) == {"invoices"}


BALANCES = "entities:\n  gl_balances: {}\n"


def test_the_services_own_balance_is_delivered_for_a_day_that_has_not_moved_since(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_books(home, monkeypatch, more=BALANCES) as (zoho, case):
        ids = found(zoho.company)
        company = zoho.company
        left = company.balances()
        expected = Decimal(0)
        for rows, sign in ((company.invoices, 1), (company.payments, -1), (company.credit_notes, -1)):
            expected += sum(sign * round(left[key] * row["exchange_rate"], 2) for key, row in rows.items())
        company.invoice(ids["hans"], "2026-03-20", "1000.00")  # in no balance of today
        zoho.clock.time = at(FIRST + timedelta(days=1), 1)
        mirror = Mirror(case)
        mirror.load(end_of(FIRST))
        (row,) = mirror.values("gl_balances")
        assert (row["balance_date"], row["balance_amount"]) == (FIRST, expected + Decimal("51.06"))
        company.edit("invoices", ids["b1"], reference_number="after the day")
        again = Mirror(case)
        again.load(end_of(FIRST))
        assert again.values("gl_balances") == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("entities: {disputes: {}}\n", "has no disputes"),
        ("data_centre: mars\n", "data_centre"),
        ("auth: {client_secret: abc}\n", "client_secret stands in the file"),
    ],
)
def test_a_wrong_setting_says_what_is_possible(
    home: Settings, monkeypatch: pytest.MonkeyPatch, more: str, words: str
) -> None:
    with zoho_books(home, monkeypatch, more=more) as (_, case), pytest.raises(ConfigError, match=words):
        _ = case.source


def test_the_credentials_may_be_an_airflow_connection(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zoho_books(home, monkeypatch, more="auth: {airflow_connection: zoho}\n") as (zoho, case):
        found(zoho.company)
        for name in VARIABLES:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AIRFLOW_CONN_ZOHO", '{"login": "1000.CLIENTIDAAAA", "extra": {}}')
        with pytest.raises(ConfigError, match="lacks client_secret, refresh_token"):
            Mirror(case).load(end_of(FIRST))
        monkeypatch.setenv(
            "AIRFLOW_CONN_ZOHO",
            "http://1000.CLIENTIDAAAA:clientsecret-aaaa@zoho/?refresh_token=1000.refreshtoken.aaaa",
        )
        mirror = Mirror(case)
        mirror.load(end_of(FIRST))
        assert len(mirror.values("customers")) == 3


def test_a_check_reads_little_and_says_what_it_met(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    switches = Switches(application_ids=False, has_comments=False)
    with zoho_books(home, monkeypatch, switches=switches) as (zoho, _):
        customer = zoho.company.contact("Big", currency="EUR")
        for _number in range(250):
            invoice = zoho.company.invoice(customer, "2026-02-01", "10.00")
            zoho.company.payment(customer, "2026-02-02", "10.00", {invoice: "10.00"})
        zoho.company.write_off(zoho.company.invoice(customer, "2026-02-01", "1.00"), "2026-02-28")
        report = check_source(home, "zoho")
        assert report.is_ok, report
        by_entity = {one.entity: one for one in report.entities}
        assert (by_entity["receipts"].rows, by_entity["receipts"].is_partial) == (200, True)
        assert by_entity["customers"].rows == 1
        assert len([path for path in zoho.requests if path.startswith("/books/v3/customerpayments/")]) == 200
        said = by_entity["adjustments"].notes
        assert "applications of payments have no ids: document and invoice make the key" in said
        assert "histories cannot be read: a write-off has the day of the change that brought it" in said


def test_the_order_that_was_met_is_said(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for sort, words in (
        ("honoured", "is sorted"),
        ("ignored", "is not sorted"),
        ("refused", "takes no order"),
    ):
        switches = Switches(sort_by_modified=sort)  # type: ignore[arg-type]
        with zoho_books(home, monkeypatch, switches=switches, more=f"entities:\n{NO_SWEEP}") as (zoho, case):
            found(zoho.company)
            with open_connector(case.source, case.settings) as connector:
                list(connector.read("invoices", Window(at(FIRST), end_of(FIRST))))
                assert [one for one in connector.notes("invoices") if words in one]  # type: ignore[attr-defined]


def test_entities_that_are_read_at_once_share_token_limits_and_answers(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Airflow does it: a task for each entity, four of them at a time."""
    with zoho_books(home, monkeypatch) as (zoho, case):
        customer = zoho.company.contact("Big", currency="EUR")
        for _number in range(40):
            invoice = zoho.company.invoice(customer, "2026-02-01", "10.00")
            zoho.company.payment(customer, "2026-02-02", "10.00", {invoice: "10.00"})
        zoho.clock.time = at(FIRST + timedelta(days=1), 1)

        def read(entity: str) -> int:
            with open_connector(case.source, case.settings) as connector:
                batches = connector.read(entity, Window(None, end_of(FIRST)))
                return sum(batch.table.num_rows for batch in batches)

        entities = list(case.source.entity_configs)
        with ThreadPoolExecutor(4) as tasks:
            rows = dict(zip(entities, tasks.map(read, entities), strict=True))
        assert (rows["invoices"], rows["receipts"], rows["applications"]) == (40, 40, 40)
        assert zoho.tokens_given == 1
        details = [path for path in zoho.requests if path.startswith("/books/v3/customerpayments/")]
        assert len(details) == len(set(details)) == 40
        (limits,) = home.http_state.glob("limits-*.json")
        counts = json.loads(limits.read_text())["buckets"]["calls_per_minute"]
        assert sum(counts.values()) == len(zoho.requests)


@pytest.mark.parametrize(
    ("centre", "accounts", "api"),
    [
        ("us", "accounts.zoho.com", "www.zohoapis.com"),
        ("eu", "accounts.zoho.eu", "www.zohoapis.eu"),
        ("in", "accounts.zoho.in", "www.zohoapis.in"),
        ("au", "accounts.zoho.com.au", "www.zohoapis.com.au"),
        ("jp", "accounts.zoho.jp", "www.zohoapis.jp"),
        ("cn", "accounts.zoho.com.cn", "www.zohoapis.com.cn"),
        ("sa", "accounts.zoho.sa", "www.zohoapis.sa"),
        ("ca", "accounts.zohocloud.ca", "www.zohoapis.ca"),
    ],
)
def test_each_data_centre_is_asked_at_its_own_address(
    home: Settings, monkeypatch: pytest.MonkeyPatch, centre: str, accounts: str, api: str
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.path == "/oauth/v2/token":
            return httpx.Response(200, json={"access_token": "1000.token.aaaa", "expires_in": 3600})
        page = {"has_more_page": False, "per_page": 200}
        return httpx.Response(200, json={"code": 0, "contacts": [], "page_context": page})

    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **how: real(**{**how, "transport": Script([answer])}))
    case = write_source(home, f"kind: zoho_books\norganization_id: '1'\ndata_centre: {centre}\n", name="zoho")
    with open_connector(case.source, case.settings) as connector:
        assert list(connector.read("customers", Window(None, end_of(FIRST)))) == []
    assert asked == [accounts, api]
