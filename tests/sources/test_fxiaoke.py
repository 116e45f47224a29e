"""Fxiaoke: token styles, keyset pages, a tenant's own fields, removals, a storm that leaves no trace."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from receivables.errors import ConfigError, PermanentError, TransientError
from receivables.settings import Settings
from receivables.sources import check_source
from receivables.sources.http import AuthenticationError
from receivables.sources.http_state import QuotaError
from receivables.sources.kinds import open_connector
from tests.sources.china import (
    MONDAY,
    TUESDAY,
    JumpingClock,
    check_storm_leaves_no_trace,
    current,
    installation,
    notes,
    notes_after_read,
    raw_of_all,
    use_clock,
)
from tests.sources.setup import Case
from tests.standins.fxiaoke import (
    APP_ID,
    APP_SECRET,
    CRM_USER,
    EA,
    OPEN_USER,
    PERMANENT_CODE,
    SHANGHAI,
    Fxiaoke,
    is_query,
)
from tests.standins.server import Answer, Fault

ORDERS = 230  # three pages

# Where one entity shows the rule, the others are not read.
ONLY_ORDERS = "without: [customers, instalments, credit_memos, receipts, applications, adjustments]\n"

VARIABLES = {
    "FXIAOKE_APP_ID": APP_ID,
    "FXIAOKE_APP_SECRET": APP_SECRET,
    "FXIAOKE_PERMANENT_CODE": PERMANENT_CODE,
    "FXIAOKE_USER": OPEN_USER,
    "FXIAOKE_EA": EA,
}


class Company:
    """A small company in the CRM, and what happens to it on Tuesday."""

    def __init__(self, server: Fxiaoke, *, orders: int = ORDERS) -> None:
        self.server = server
        put = server.put
        self.customer = put(
            "AccountObj", name="鲍曼家具", account_level="1", industry_level1="A1", tel="010-1"
        )
        self.orders = [
            put(
                "SalesOrderObj",
                account_id=self.customer,
                order_amount=Decimal("100.00") + number,
                order_time=date(2026, 1, 31),
            )
            for number in range(orders)
        ]
        first = self.orders[0]
        self.plans = [
            put(
                "PaymentPlanObj",
                account_id=self.customer,
                order_id=first,
                plan_payment_amount=Decimal(amount),
                plan_payment_time=day,
            )
            for amount, day in (("60.00", date(2026, 2, 28)), ("40.00", date(2026, 3, 31)))
        ]
        self.receipts = [self.pay(order, Decimal("40.00")) for order in self.orders[:120]]
        self.refund = put(
            "RefundObj",
            account_id=self.customer,
            refunded_amount=Decimal("7.50"),
            refunded_time=date(2026, 2, 20),
        )
        self.returned = put(
            "ReturnedGoodsInvoiceObj",
            account_id=self.customer,
            order_id=self.orders[5],
            returned_goods_inv_amount=Decimal("11.00"),
            returned_goods_time=date(2026, 2, 21),
        )

    def pay(self, order: str, amount: Decimal) -> tuple[str, str]:
        plan = self.plans[1] if order == self.orders[0] else None
        receipt = self.server.put(
            "PaymentObj", account_id=self.customer, payment_amount=amount, payment_time=date(2026, 2, 10)
        )
        line = self.server.put(
            "OrderPaymentObj",
            account_id=self.customer,
            payment_id=receipt,
            order_id=order,
            payment_plan_id=plan,
            payment_amount=amount,
        )
        return receipt, line

    def tuesday(self) -> None:
        """An order voided, a payment voided and deleted, an application moved and one undone, edits."""
        self.server.now = datetime(2026, 3, 3, 9, 0, tzinfo=SHANGHAI)
        self.server.invalidate("SalesOrderObj", self.orders[200])
        self.server.invalidate("PaymentObj", self.receipts[7][0])
        self.server.tick(minutes=1)
        self.server.delete("PaymentObj", self.receipts[7][0])
        self.server.delete("OrderPaymentObj", self.receipts[7][1])
        self.server.put("OrderPaymentObj", _id=self.receipts[9][1], order_id=self.orders[150])
        self.server.invalidate("OrderPaymentObj", self.receipts[10][1])
        self.server.put("SalesOrderObj", _id=self.orders[120], order_amount=Decimal("999.99"))
        self.server.put("PaymentObj", _id=self.receipts[11][0], payment_time=date(2026, 1, 15))
        self.server.delete("PaymentPlanObj", self.plans[0])
        self.pay(self.orders[160], Decimal("12.34"))


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server() -> Iterator[Fxiaoke]:
    with Fxiaoke() as running:
        yield running


@pytest.fixture
def clock(server: Fxiaoke, monkeypatch: pytest.MonkeyPatch) -> JumpingClock:
    return use_clock(monkeypatch, server)


def crm(home: Settings, server: Fxiaoke, more: str = "", *, name: str = "crm") -> Case:
    return installation(
        home,
        name,
        f"kind: fxiaoke\nhost: {server.url}\ndefault_company_id: HD-CN\ndefault_currency_code: CNY\n{more}",
    )


# --- what arrives ---


def test_the_orders_preset_delivers_customers_orders_plans_receipts_and_what_they_settle(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    company = Company(server)
    case = crm(home, server)
    case.run(MONDAY)
    customer, first = company.customer, company.orders[0]
    assert current(case, "customers", "customer_name", "segment", "industry", "salesperson", "is_active") == {
        customer: ("鲍曼家具", "重点客户", "制造业", OPEN_USER, True)
    }
    invoices = current(case, "invoices", "customer_id", "invoice_date", "amount", "status", "invoice_number")
    assert len(invoices) == ORDERS
    assert invoices[first] == (customer, date(2026, 1, 31), Decimal("100.0000"), "posted", "SAL-000001")
    assert current(case, "instalments", "due_date", "amount") == {
        f"{first}|1": (date(2026, 2, 28), Decimal("60.0000")),
        f"{first}|2": (date(2026, 3, 31), Decimal("40.0000")),
    }
    receipt, line = company.receipts[0]
    assert current(case, "receipts", "receipt_date", "amount", "status")[receipt] == (
        date(2026, 2, 10), Decimal("40.0000"), "posted",
    )  # fmt: skip
    applied = current(case, "applications", "credit_id", "invoice_id", "applied_on", "instalment_number")
    assert applied[line] == (receipt, first, MONDAY, 2)
    assert len(applied) == 120
    assert current(case, "adjustments", "adjustment_type", "amount", "adjustment_date") == {
        company.refund: ("refund", Decimal("7.5000"), date(2026, 2, 20))
    }
    assert current(case, "credit_memos", "invoice_id", "amount") == {
        company.returned: (company.orders[5], Decimal("11.0000"))
    }
    assert case.refused() == []


def test_no_page_is_asked_for_by_offset_and_none_is_larger_than_a_hundred(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    Company(server)
    crm(home, server).run(MONDAY)
    asked = [
        request.body["data"]["search_query_info"]
        for request in server.requests
        if request.path.endswith("/data/query")
    ]
    assert {(info["offset"], info["limit"]) for info in asked} == {(0, 100)}
    assert all(info["orders"] == [{"fieldName": "_id", "isAsc": True}] for info in asked)
    assert all(info["fieldProjection"] for info in asked)


@pytest.mark.parametrize(
    ("style", "switches"),
    [
        ("body", {}),
        ("header", {"invalid_rows": "hidden"}),
        ("body", {"deleted_rows": "returned"}),
        ("header", {"total_by_default": True, "total_name": "totalSize"}),
        ("body", {"invalid_rows": "hidden", "empty_fields": "null", "id_digits": 32}),
        ("header", {"custom_path_for_standard": True, "between_includes_end": False}),
    ],
    ids=str,
)
def test_tuesdays_changes_arrive_whatever_the_service_leaves_open(
    home: Settings, monkeypatch: pytest.MonkeyPatch, switches: dict[str, Any], style: str
) -> None:
    if style == "header":
        monkeypatch.setenv("FXIAOKE_USER", CRM_USER)
    with Fxiaoke(**switches) as server:
        use_clock(monkeypatch, server)
        company = Company(server)
        case = crm(home, server, f"style: {style}\n")
        case.run(MONDAY)
        company.tuesday()
        case.run(TUESDAY)
    invoices = current(case, "invoices", "status", "amount")
    if server.invalid_rows == "hidden":
        assert company.orders[200] not in invoices
    else:
        assert invoices[company.orders[200]][0] == "void"
    assert {status for key, (status, _) in invoices.items() if key != company.orders[200]} == {"posted"}
    assert invoices[company.orders[120]][1] == Decimal("999.9900")
    receipts = current(case, "receipts", "receipt_date")
    assert company.receipts[7][0] not in receipts
    assert receipts[company.receipts[11][0]] == (date(2026, 1, 15),)
    applications = current(case, "applications", "invoice_id", "amount")
    assert company.receipts[7][1] not in applications
    assert company.receipts[10][1] not in applications
    assert applications[company.receipts[9][1]][0] == company.orders[150]
    assert len(applications) == 119
    assert Decimal("12.3400") in {amount for _, amount in applications.values()}
    assert set(current(case, "instalments", "amount")) == {f"{company.orders[0]}|1"}
    gone = case.query("select _known_on from raw_crm.applications where _is_removed")
    assert gone == [(TUESDAY,), (TUESDAY,)]
    assert case.refused() == []


def test_the_second_day_reads_only_what_changed_and_the_keys(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    company = Company(server)
    server.tick(hours=2)
    company.pay(company.orders[170], Decimal("1.00"))
    server.put("SalesOrderObj", _id=company.orders[171], order_amount=Decimal("2.00"))
    case = crm(home, server)
    case.run(MONDAY)
    company.tuesday()
    server.requests.clear()
    report = case.run(TUESDAY)
    loaded = {
        entity.entity: (entity.rows, entity.new, entity.changed, entity.removed) for entity in report.entities
    }
    assert loaded["invoices"] == (3, 0, 2, 0)  # the last of Monday is read again: the overlap
    assert loaded["receipts"] == (3, 1, 1, 1)
    keys = [
        request.body["data"]["search_query_info"]["fieldProjection"]
        for request in server.requests
        if is_query("SalesOrderObj")(request)
    ]
    assert ["_id", "is_deleted", "life_status"] in keys


def test_a_document_under_approval_is_a_draft_until_it_is_approved(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    company = Company(server, orders=121)
    server.put("SalesOrderObj", _id=company.orders[3], life_status="under_review")
    server.put("OrderPaymentObj", _id=company.receipts[3][1], life_status="ineffective")
    case = crm(home, server)
    case.run(MONDAY)
    assert current(case, "invoices", "status")[company.orders[3]] == ("draft",)
    assert company.receipts[3][1] not in current(case, "applications", "amount")
    server.now = datetime(2026, 3, 3, 9, 0, tzinfo=SHANGHAI)
    server.put("SalesOrderObj", _id=company.orders[3], life_status="in_change")
    server.put("OrderPaymentObj", _id=company.receipts[3][1], life_status="normal")
    case.run(TUESDAY)
    assert current(case, "invoices", "status")[company.orders[3]] == ("posted",)
    assert company.receipts[3][1] in current(case, "applications", "amount")


def test_a_receipt_line_without_an_order_is_money_on_account(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    company = Company(server, orders=120)
    server.put("OrderPaymentObj", _id=company.receipts[4][1], order_id=None)
    case = crm(home, server)
    case.run(MONDAY)
    assert company.receipts[4][0] in current(case, "receipts", "amount")
    assert company.receipts[4][1] not in current(case, "applications", "amount")
    assert case.refused() == []


def test_people_are_not_landed_beyond_their_ids(home: Settings, server: Fxiaoke, clock: JumpingClock) -> None:
    company = Company(server, orders=120)
    case = crm(home, server, "entities:\n  customers:\n    columns: {collector: created_by__r}\n")
    with pytest.raises(PermanentError, match="created_by__r"):
        case.run(MONDAY)
    case = crm(home, server, name="plain")
    case.run(MONDAY)
    assert "张三" not in str(raw_of_all(case))
    assert company.customer in current(case, "customers", "customer_name")


# --- what the tenant says is open ---

BALANCE = "entities:\n  gl_balances: {}\n"


@pytest.mark.parametrize("returns_are_open", [True, False])
def test_the_balance_of_the_crm_is_delivered_for_a_day_that_has_not_moved_since(
    home: Settings, monkeypatch: pytest.MonkeyPatch, returns_are_open: bool
) -> None:
    """Orders less receipts, money on account, a return and a refund, whatever the formula leaves out."""
    with Fxiaoke(returns_are_open=returns_are_open) as server:
        use_clock(monkeypatch, server)
        company = Company(server, orders=120)
        server.put("OrderPaymentObj", _id=company.receipts[4][1], order_id=None)
        case = crm(home, server, BALANCE)
        case.run(MONDAY)
        orders = sum((Decimal(100 + number) for number in range(120)), Decimal(0))
        expected = orders - 120 * 40 - Decimal("11.00") + Decimal("7.50")
        query = "select balance_date, balance_amount, account from raw_crm.gl_balances"
        assert case.query(query) == [(MONDAY, expected, "fxiaoke")]
        said = notes_after_read(case, "gl_balances", MONDAY)
        has = "neither returns nor refunds" if returns_are_open else "returns"
        assert said == (f"its open amounts have {has} in them",)
        server.now = datetime(2026, 3, 3, 0, 1, tzinfo=SHANGHAI)
        server.put("PaymentObj", _id=company.receipts[0][0], remark="later")
        assert "1 records changed after" in str(notes_after_read(case, "gl_balances", MONDAY))


def test_a_field_of_the_open_amount_that_nobody_knows_is_asked_for(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    fields = server.fields["AccountsReceivableNoteObj"]
    fields["left__c"] = fields.pop("no_settled_amount")
    case = crm(home, server, f"preset: ar_module\n{BALANCE}")
    with pytest.raises(PermanentError, match=r"no_settled_amount.*columns.balance_amount"):
        notes_after_read(case, "gl_balances", MONDAY)
    customer = server.put("AccountObj", name="客户")
    for day in (date(2026, 2, 1), date(2026, 3, 9)):
        server.put(
            "AccountsReceivableNoteObj", account_id=customer, note_date=day,
            price_tax_amount=Decimal("50.00"), left__c=Decimal("30.00"),
        )  # fmt: skip
    named = "entities:\n  gl_balances: {columns: {balance_amount: left__c}}\n"
    case = crm(home, server, f"preset: ar_module\n{named}")
    case.run(MONDAY)
    assert current(case, "gl_balances", "balance_amount") == {f"HD-CN|{MONDAY}||fxiaoke": (Decimal("30.0"),)}


# --- a tenant's own fields ---


def test_the_receivables_module_is_read_through_the_fields_that_the_tenant_has(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    fields = server.fields["AccountsReceivableNoteObj"]
    fields["ar_amount"] = fields.pop("price_tax_amount")
    customer = server.put("AccountObj", name="客户")
    note = server.put(
        "AccountsReceivableNoteObj",
        account_id=customer,
        note_date=date(2026, 2, 1),
        due_date=date(2026, 3, 1),
        ar_amount=Decimal("50.00"),
    )
    receipt = server.put(
        "PaymentObj", account_id=customer, payment_amount=Decimal("20.00"), payment_time=date(2026, 2, 5)
    )
    match = server.put(
        "MatchNoteDetailObj",
        ar_id=note, payment_id=receipt, this_match_amount=Decimal("20.00"), match_date=date(2026, 2, 6),
    )  # fmt: skip
    case = crm(home, server, "preset: ar_module\nwithout: [credit_memos, adjustments]\n")
    case.run(MONDAY)
    assert current(case, "invoices", "due_date", "amount") == {note: (date(2026, 3, 1), Decimal("50.0000"))}
    assert current(case, "applications", "credit_id", "invoice_id", "applied_on") == {
        match: (receipt, note, date(2026, 2, 6))
    }
    assert "amount comes from ar_amount: there is no price_tax_amount" in notes(case, "invoices")


def test_a_field_that_the_tenant_lacks_is_named_with_those_that_it_has(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    del server.fields["AccountsReceivableNoteObj"]["price_tax_amount"]
    server.fields["AccountsReceivableNoteObj"]["field_9__c"] = ("currency", "应收总额")
    case = crm(home, server, "preset: ar_module\n")
    with pytest.raises(PermanentError) as error:
        case.extract(MONDAY)
    assert "nothing gives amount (none of price_tax_amount, ar_amount" in str(error.value)
    assert "field_9__c 应收总额" in str(error.value)
    case = crm(
        home,
        server,
        "preset: ar_module\nentities:\n  invoices:\n    columns: {amount: field_9__c}\n",
        name="own",
    )
    with open_connector(case.source, home) as connector:
        assert "field_9__c" in connector.describe("invoices")


def test_a_check_says_which_fields_feed_what_and_which_others_there_are(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    Company(server, orders=120)
    del server.fields["SalesOrderObj"]["order_time"]
    case = crm(home, server)
    with server.lock:
        for order in server.tenant["SalesOrderObj"].values():
            order["submit_time"] = order.pop("order_time")
    report = check_source(home, case.name)
    orders = next(entity for entity in report.entities if entity.entity == "invoices")
    assert report.is_ok
    assert orders.rows == 120
    assert "invoice_date comes from submit_time: there is no order_time" in orders.notes
    assert any("receivable_amount 待回款金额(元)" in note for note in orders.notes)


def test_an_entity_out_of_a_custom_object_is_a_few_lines(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    customer = server.put("AccountObj", name="客户")
    promise = server.put(
        "Promise__c",
        customer__c=customer, promised_amount__c=Decimal("10.00"), promised_date__c=date(2026, 3, 20),
        agreed_date__c=date(2026, 3, 1),
    )  # fmt: skip
    case = crm(
        home,
        server,
        """\
preset: none
entities:
  promises:
    object: Promise__c
    mode: full
    columns:
      promise_id: _id
      customer_id: customer__c
      promised_on: agreed_date__c
      promised_date: promised_date__c
      amount: promised_amount__c
""",
    )
    case.run(MONDAY)
    assert current(case, "promises", "customer_id", "promised_date", "amount") == {
        promise: (customer, date(2026, 3, 20), Decimal("10.0000"))
    }


# --- who calls, and how often ---


def test_all_entities_and_runs_share_one_token(home: Settings, server: Fxiaoke, clock: JumpingClock) -> None:
    Company(server, orders=120)
    case = crm(home, server)
    case.run(MONDAY)
    case.run(TUESDAY)
    assert server.calls("/cgi/corpAccessToken/get/V2") == 1


@pytest.mark.parametrize("style", ["body", "header"])
def test_a_token_that_expires_between_two_pages_is_fetched_anew_once(
    home: Settings, server: Fxiaoke, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch, style: str
) -> None:
    if style == "header":
        monkeypatch.setenv("FXIAOKE_USER", CRM_USER)
    Company(server)
    case = crm(home, server, f"style: {style}\n{ONLY_ORDERS}")
    with server.plan(Fault("change", is_query("SalesOrderObj", after="page"), change=server.expire_tokens)):
        case.run(MONDAY)
    token_path = "/cgi/corpAccessToken/get/V2" if style == "body" else "/oauth2.0/token"
    assert server.calls(token_path) == 2
    assert len(current(case, "invoices", "amount")) == ORDERS


def test_the_user_may_be_named_by_mobile(
    home: Settings, server: Fxiaoke, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    Company(server, orders=120)
    monkeypatch.delenv("FXIAOKE_USER")
    monkeypatch.setenv("FXIAOKE_MOBILE", "13800000000")
    case = crm(home, server, "auth: {user: null, user_mobile: '${FXIAOKE_MOBILE}'}\n" + ONLY_ORDERS)
    case.run(MONDAY)
    assert len(current(case, "invoices", "amount")) == 120


def test_every_missing_credential_is_named_at_once(
    home: Settings, server: Fxiaoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name)
    with pytest.raises(
        ConfigError, match="FXIAOKE_APP_ID, FXIAOKE_APP_SECRET, FXIAOKE_PERMANENT_CODE, FXIAOKE_USER"
    ):
        crm(home, server).extract(MONDAY)


def test_wrong_credentials_end_the_run_and_stand_in_no_message(
    home: Settings, server: Fxiaoke, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("FXIAOKE_PERMANENT_CODE", "wrong-code-98765")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AuthenticationError) as error:
        crm(home, server).extract(MONDAY)
    assert "20015" in str(error.value)
    for secret in ("wrong-code-98765", APP_SECRET):
        assert secret not in str(error.value) + caplog.text


def test_a_whole_run_logs_no_secret(
    home: Settings, server: Fxiaoke, clock: JumpingClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    Company(server, orders=120)
    with server.plan(Fault("page", is_query("PaymentObj")), Fault("reset", is_query("SalesOrderObj"))):
        crm(home, server).run(MONDAY)
    for secret in (APP_SECRET, PERMANENT_CODE, "T1-xxxx"):
        assert secret not in caplog.text


def test_an_object_that_the_user_may_not_see_is_named(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    Company(server, orders=120)
    server.denied = {"PaymentObj"}
    with pytest.raises(AuthenticationError, match=r"object PaymentObj.*without") as error:
        crm(home, server).extract(MONDAY)
    assert "20014" in str(error.value)


@pytest.mark.parametrize("code", [14001, 30004, -1, -2, 50009])
def test_a_code_that_asks_for_patience_is_waited_for(
    home: Settings, server: Fxiaoke, clock: JumpingClock, code: int
) -> None:
    Company(server, orders=120)
    case = crm(home, server, ONLY_ORDERS)
    with server.plan(
        Fault("answer", is_query("SalesOrderObj"), times=2, answer=server.error(code, "稍后再试"))
    ):
        case.run(MONDAY)
    assert len(current(case, "invoices", "amount")) == 120
    assert clock.slept >= (40 if code in {14001, 30004} else 1)


def test_code_10013_is_a_bad_token_unless_it_speaks_of_the_offset(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    Company(server, orders=120)
    case = crm(home, server, ONLY_ORDERS)
    with server.plan(Fault("answer", is_query("SalesOrderObj"), answer=server.error(10013, "参数错误"))):
        case.run(MONDAY)
    assert server.calls("/cgi/corpAccessToken/get/V2") == 2
    offset = server.error(10013, "offset out of range 10000")
    with (
        server.plan(Fault("answer", is_query("SalesOrderObj"), answer=offset)),
        pytest.raises(PermanentError),
    ):
        case.extract(TUESDAY)
    assert server.calls("/cgi/corpAccessToken/get/V2") == 2


def test_a_tenant_without_bought_calls_is_told_to_buy_some(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    server.no_quota = True
    with pytest.raises(PermanentError, match="buy a pack of API calls"):
        crm(home, server).extract(MONDAY)


def test_a_daily_quota_that_runs_out_keeps_what_was_read_and_the_next_run_goes_on(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    Company(server)
    case = crm(home, server, ONLY_ORDERS)
    server.daily_quota = 3  # the description and two of three pages
    with pytest.raises(QuotaError, match="after midnight in China"):
        case.extract(MONDAY)
    server.daily_quota = None
    server.requests.clear()
    case.run(MONDAY)
    firsts = [
        request
        for request in server.requests
        if is_query("SalesOrderObj")(request)
        and "order_amount" in request.body["data"]["search_query_info"]["fieldProjection"]
    ]
    assert len(firsts) == 1
    assert len(current(case, "invoices", "amount")) == ORDERS


def test_a_quota_that_is_used_up_before_a_token_is_given_is_the_days_quota(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    used_up = server.error(30002, "the daily quota is used up")
    case = crm(home, server, ONLY_ORDERS)
    with (
        server.plan(Fault("answer", lambda request: request.path.endswith("get/V2"), answer=used_up)),
        pytest.raises(QuotaError, match="after midnight in China"),
    ):
        case.extract(MONDAY)


def test_a_read_that_broke_off_keeps_the_end_of_its_first_attempt(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    company = Company(server)
    case = crm(home, server, ONLY_ORDERS)
    case.run(MONDAY)
    server.now = datetime.now(SHANGHAI)
    day = server.now.date() + timedelta(days=1)  # its end lies ahead: what is read ends a minute ago
    for order in company.orders:
        server.put("SalesOrderObj", _id=order, order_amount=Decimal("1.00"))
    clock.skew += 120
    server.advance(120)
    server.daily_quota = 2
    with pytest.raises(QuotaError):
        case.extract(day)
    # One row of a page that is kept, and one behind it, change before the next attempt.
    server.daily_quota = None
    server.tick(seconds=60)
    for order in (company.orders[0], company.orders[-1]):
        server.put("SalesOrderObj", _id=order, order_amount=Decimal("2.00"))
    clock.skew += 3600
    server.advance(3600)
    case.run(day)
    case.run(day, run="later")
    amounts = current(case, "invoices", "amount")
    assert [amounts[company.orders[place]] for place in (0, 1, -1)] == [
        (Decimal("2.0000"),), (Decimal("1.0000"),), (Decimal("2.0000"),),
    ]  # fmt: skip


# --- the storm ---


def storm(server: Fxiaoke, company: Company) -> list[Fault]:
    """Tuesday happens while it is read: throttling, an expired token, broken answers, rows that change."""
    orders, lines = is_query("SalesOrderObj"), is_query("OrderPaymentObj")
    return [
        Fault("answer", is_query("AccountObj"), answer=server.error(30004, "calls exceed the limit")),
        Fault("reset", orders),
        Fault("truncate", orders, after=1),
        Fault("change", is_query("SalesOrderObj", after="page"), change=company.tuesday),
        Fault("page", is_query("PaymentObj"), times=2),
        Fault("change", is_query("PaymentObj", after="page"), change=server.expire_tokens),
        Fault("answer", lines, answer=server.error(-1, "系统繁忙")),
        Fault("truncate", lines, after=1),
        Fault("answer", is_query("RefundObj"), answer=Answer("", 503)),
    ]


def test_after_a_storm_raw_is_what_a_quiet_day_leaves(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    company = Company(server)
    check_storm_leaves_no_trace(
        lambda name: crm(home, server, name=name), server, lambda: storm(server, company)
    )


def test_a_service_that_stays_down_fails_the_extract_and_loads_nothing(
    home: Settings, server: Fxiaoke, clock: JumpingClock
) -> None:
    Company(server, orders=120)
    case = crm(home, server)
    with (
        server.plan(Fault("page", is_query("PaymentObj"), times=99)),
        pytest.raises(TransientError, match=r"object PaymentObj.*502"),
    ):
        case.extract(MONDAY)
    assert not home.warehouse.exists()
