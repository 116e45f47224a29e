"""YonBIP: signed tokens, header × line rows, pages whose rows move, verifications, removals, a storm."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from receivables.errors import ConfigError, PermanentError, TransientError
from receivables.settings import Settings
from receivables.sources import yonbip
from receivables.sources.http import AuthenticationError
from receivables.sources.kinds import open_connector
from tests.sources.china import (
    MONDAY,
    TUESDAY,
    JumpingClock,
    check_storm_leaves_no_trace,
    current,
    installation,
    use_clock,
)
from tests.sources.setup import Case
from tests.standins.server import Answer, Fault, Request
from tests.standins.yonbip import (
    APP_KEY,
    APP_SECRET,
    COLLECTION,
    CUSTOMERS,
    RECEIVABLE,
    REFUND,
    TENANT,
    VERIFY,
    YonBIP,
    is_list,
)

RECEIVABLES = 260  # two lines each: two pages

VARIABLES = {"YONBIP_APP_KEY": APP_KEY, "YONBIP_APP_SECRET": APP_SECRET, "YONBIP_TENANT_ID": TENANT}


class Company:
    """A small tenant, and what happens in it on Tuesday."""

    def __init__(self, server: YonBIP, *, receivables: int = RECEIVABLES) -> None:
        self.server = server
        self.customer = server.customer("通用客户1")
        self.receivables = []
        for number in range(receivables):
            server.tick(seconds=7)
            amounts = [Decimal("60.00"), Decimal("40.00") + number]
            self.receivables.append(self.invoice(amounts))
        self.memo = self.invoice([Decimal("30.00")], red=True)
        self.receipts = [
            server.put(COLLECTION, customer=self.customer, day=date(2026, 2, 10), amounts=[Decimal("50.00")])
            for _ in range(8)
        ]
        self.refund = server.put(
            REFUND, customer=self.customer, day=date(2026, 2, 20), amounts=[Decimal("20.00")], currency="USD"
        )
        self.verifications = [
            self.settle([(receivable, "50.00")], [("receipt", COLLECTION, receipt, "50.00")])
            for receivable, receipt in zip(self.receivables[:5], self.receipts, strict=False)
        ]
        self.settle(
            [(self.receivables[5], "30.00"), (self.receivables[6], "50.00")],
            [
                ("receipt", COLLECTION, self.receipts[5], "50.00"),
                ("red_invoice", RECEIVABLE, self.memo, "30.00"),
            ],
        )
        server.verify(
            [
                ("refund", REFUND, self.refund, Decimal("15.00")),
                ("receipt", COLLECTION, self.receipts[6], Decimal("15.00")),
            ],
            date(2026, 2, 20),
        )

    def invoice(self, amounts: list[Decimal], *, red: bool = False) -> str:
        return self.server.put(
            RECEIVABLE,
            customer=self.customer,
            day=date(2026, 1, 31),
            amounts=amounts,
            red=red,
            due=date(2026, 3, 31),
        )

    def settle(self, debits: list[tuple[str, str]], credits: list[tuple[str, str, str, str]]) -> str:
        return self.server.verify(
            [
                *(("invoice", RECEIVABLE, key, Decimal(amount)) for key, amount in debits),
                *((kind, path, key, Decimal(amount)) for kind, path, key, amount in credits),
            ],
            date(2026, 2, 12),
        )

    def tuesday(self) -> None:
        """Un-approved, terminated, deleted, un-verified, edited, new."""
        server = self.server
        server.now = datetime.fromisoformat("2026-03-03 09:00")
        server.touch(RECEIVABLE, self.receivables[10], verifyState=0)
        server.touch(RECEIVABLE, self.receivables[11], verifyState=3)
        server.delete(RECEIVABLE, self.receivables[12])
        server.delete(VERIFY, self.verifications[3])
        server.delete(COLLECTION, self.receipts[7])
        server.put(
            RECEIVABLE,
            key=self.receivables[13],
            customer=self.customer,
            day=date(2026, 1, 31),
            amounts=[Decimal("1.00"), Decimal("2.00"), Decimal("3.00")],
        )
        new = self.invoice([Decimal("9.00")])
        self.settle([(new, "9.00")], [("receipt", COLLECTION, self.receipts[3], "9.00")])


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server() -> Iterator[YonBIP]:
    with YonBIP() as running:
        yield running


@pytest.fixture
def clock(server: YonBIP, monkeypatch: pytest.MonkeyPatch) -> JumpingClock:
    return use_clock(monkeypatch, server)


def bip(home: Settings, server: YonBIP, more: str = "", *, name: str = "bip") -> Case:
    return installation(
        home,
        name,
        f"kind: yonbip\nregistry_url: {server.url}\ndefault_company_id: HD-CN\n"
        f"default_currency_code: CNY\n{more}",
    )


def check_monday(case: Case, company: Company, names: dict[str, str] | None = None) -> None:
    """Everything that Monday holds; `names` gives documents another name than their id."""

    def name(key: str) -> str:
        return names[key] if names else key

    invoices = current(case, "invoices", "customer_id", "amount", "currency_code", "status", "invoice_date")
    assert len(invoices) == len(company.receivables)
    assert invoices[name(company.receivables[3])] == (
        company.customer, Decimal("103.0000"), "CNY", "posted", date(2026, 1, 31),
    )  # fmt: skip
    assert current(case, "credit_memos", "amount") == {name(company.memo): (Decimal("30.0000"),)}
    assert len(current(case, "receipts", "amount")) == 8
    applied = current(case, "applications", "credit_type", "credit_id", "invoice_id", "amount", "applied_on")
    first = [
        ("receipt", name(receipt), name(receivable), Decimal("50.0000"))
        for receivable, receipt in zip(company.receivables[:5], company.receipts, strict=False)
    ]
    assert set(first) <= {row[:4] for row in applied.values()}
    by_debit: dict[str, Decimal] = {}
    by_credit: dict[str, Decimal] = {}
    for _, credit, debit, amount, _ in applied.values():
        by_debit[debit] = by_debit.get(debit, Decimal(0)) + amount
        by_credit[credit] = by_credit.get(credit, Decimal(0)) + amount
    assert by_debit[name(company.receivables[5])] == Decimal("30")
    assert by_debit[name(company.receivables[6])] == Decimal("50")
    assert by_credit[name(company.receipts[5])] == Decimal("50")
    assert by_credit[name(company.memo)] == Decimal("30")
    assert {row[4] for row in applied.values()} == {date(2026, 2, 12)}
    refunds = current(case, "adjustments", "adjustment_type", "amount", "credit_id", "currency_code")
    assert set(refunds.values()) == {
        ("refund", Decimal("15.0000"), name(company.receipts[6]), "USD"),
        ("refund", Decimal("5.0000"), None, "USD"),
    }
    assert current(case, "customers", "customer_name", "segment", "is_active") == {
        company.customer: ("通用客户1", "01", True)
    }
    assert case.refused() == []


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"code_type": "number", "bad_token": "text", "red_amounts": "positive"},
        {"bad_token": "999", "order": "id", "bill_ids": "number"},
        {"currency": "code", "with_due_date": True},
    ],
    ids=str,
)
def test_a_tenant_arrives_whatever_the_documents_leave_open(
    home: Settings, monkeypatch: pytest.MonkeyPatch, switches: dict[str, Any]
) -> None:
    with YonBIP(**switches) as server:
        use_clock(monkeypatch, server)
        company = Company(server)
        case = bip(home, server)
        case.run(MONDAY)
        check_monday(case, company)
        due = current(case, "invoices", "due_date")[company.receivables[0]][0]
        assert due == (date(2026, 3, 31) if server.with_due_date else None)
        server.expire_tokens()
        server.requests.clear()
        case.extract(TUESDAY)
        assert server.calls("getAccessToken") == 1


def test_rounded_ids_are_noticed_and_codes_do_instead(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with YonBIP(bill_ids="rounded") as server:
        use_clock(monkeypatch, server)
        company = Company(server, receivables=20)
        with pytest.raises(PermanentError, match=r"rounded.*reference: code"):
            bip(home, server).extract(MONDAY)
        case = bip(home, server, "reference: code\n", name="by_code")
        case.run(MONDAY)
        codes = {
            key: document.head["code"]
            for path in (RECEIVABLE, COLLECTION, REFUND)
            for key, document in server.lists[path].items()
        }
        check_monday(case, company, codes)


def test_tuesdays_changes_reach_raw_as_drafts_voids_and_removals(
    home: Settings, server: YonBIP, clock: JumpingClock
) -> None:
    company = Company(server)
    case = bip(home, server)
    case.run(MONDAY)
    company.tuesday()
    report = case.run(TUESDAY)
    invoices = current(case, "invoices", "status", "amount")
    assert invoices[company.receivables[10]][0] == "draft"
    assert invoices[company.receivables[11]][0] == "void"
    assert company.receivables[12] not in invoices
    assert invoices[company.receivables[13]] == ("posted", Decimal("6.0000"))
    assert company.receipts[7] not in current(case, "receipts", "amount")
    applied = current(case, "applications", "invoice_id")
    assert (company.receivables[3],) not in applied.values()
    assert case.query("select _known_on from raw_bip.applications where _is_removed") == [(TUESDAY,)]
    loaded = {entity.entity: (entity.new, entity.changed, entity.removed) for entity in report.entities}
    assert loaded["invoices"] == (1, 3, 1)
    assert case.refused() == []


def test_a_list_too_long_for_one_pass_is_split_by_time(
    home: Settings, server: YonBIP, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yonbip, "PASS_ROWS", 100)
    company = Company(server)
    case = bip(home, server)
    case.run(MONDAY)
    check_monday(case, company)


def test_a_long_read_that_broke_off_goes_on_behind_the_passes_that_it_had(
    home: Settings, server: YonBIP, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yonbip, "PASS_ROWS", 100)
    company = Company(server)
    case = bip(home, server)
    with (
        server.plan(Fault("page", is_list(RECEIVABLE), after=12, times=99)),
        pytest.raises(TransientError),
    ):
        case.extract(MONDAY)
    first = spans(server)
    server.requests.clear()
    clock.sleep(3600)
    case.run(MONDAY)
    check_monday(case, company)
    again = spans(server)
    assert first[0][0] is None, "the whole window is asked for"
    assert again[0][0] > yonbip.FIRST_DAY, "not the passes that it had"
    assert max(end for _, end in again[:20]) == first[0][1], "the end of the first attempt holds"


def spans(server: YonBIP) -> list[tuple[Any, Any]]:
    """The first and last stamps that receivables were asked for by, without the look at their fields."""
    windows = [request.body.get("simple") for request in server.requests if is_list(RECEIVABLE)(request)]
    return [(one.get("open_pubts_begin"), one.get("open_pubts_end")) for one in windows if one]


def test_a_document_that_changes_while_older_ones_are_read_comes_once(
    home: Settings, server: YonBIP, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yonbip, "PASS_ROWS", 4)
    company = Company(server, receivables=10)

    def touch() -> None:
        server.tick(hours=1)
        server.put(REFUND, key=company.refund, customer=company.customer, day=MONDAY, amounts=[Decimal(1)])

    others = [
        server.put(REFUND, customer=company.customer, day=MONDAY, amounts=[Decimal(number)])
        for number in range(2, 8)
        if not server.tick(hours=1)
    ]
    case = bip(home, server)

    def is_behind_it(request: Request) -> bool:
        window = request.body.get("simple") or {}
        return bool(is_list(REFUND)(request)) and (window.get("open_pubts_begin") or "") > "2026-03-02 10"

    with server.plan(Fault("change", is_behind_it, change=touch)):
        case.run(MONDAY)
    assert case.refused() == []
    refunds = current(case, "adjustments", "amount")
    assert set(others) < {key.split(":")[0] for key in refunds}


def test_rows_that_move_between_pages_are_neither_skipped_nor_doubled(
    home: Settings, server: YonBIP, clock: JumpingClock
) -> None:
    company = Company(server)
    case = bip(home, server)

    def touch() -> None:
        server.tick(seconds=1)
        server.touch(RECEIVABLE, company.receivables[2])  # the newest come first: it jumps to the first page

    with server.plan(Fault("change", is_list(RECEIVABLE, page=2), change=touch)):
        case.run(MONDAY)
    check_monday(case, company)


def test_rows_that_never_stop_moving_fail_the_read(
    home: Settings, server: YonBIP, clock: JumpingClock
) -> None:
    company = Company(server)

    def touch() -> None:
        server.tick(seconds=1)
        server.touch(RECEIVABLE, company.receivables[2 + server.struck["change"]])

    with (
        server.plan(Fault("change", is_list(RECEIVABLE, page=2), times=99, change=touch)),
        pytest.raises(TransientError, match="kept moving"),
    ):
        bip(home, server).extract(MONDAY)


def test_employees_documents_are_not_receivables_from_customers(
    home: Settings, server: YonBIP, clock: JumpingClock
) -> None:
    company = Company(server, receivables=10)
    for line in server.lists[RECEIVABLE][company.receivables[9]].lines:
        line["bodyItemObjectType"] = "2"
    case = bip(home, server)
    case.run(MONDAY)
    assert company.receivables[9] not in current(case, "invoices", "amount")


def test_a_check_says_which_fields_the_tenant_sends(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with YonBIP() as server:
        use_clock(monkeypatch, server)
        company = Company(server, receivables=10)
        case = bip(home, server)
        with open_connector(case.source, home) as connector:
            assert "currency_code comes from bodyItemOriCurrencyName" in connector.notes("invoices")  # type: ignore[attr-defined]
        for document in server.lists[RECEIVABLE].values():
            document.head["theDate"] = document.head.pop("billDate")
        with pytest.raises(PermanentError, match=r"invoice_date \(none of billDate\).*theDate"):
            case.extract(MONDAY)
        case = bip(home, server, "entities:\n  invoices:\n    columns: {invoice_date: theDate}\n", name="own")
        with open_connector(case.source, home) as connector:
            assert "theDate" in connector.describe("invoices")
        assert company.receivables


# --- tokens ---


def test_all_entities_share_one_token_that_the_data_centre_gives(
    home: Settings, server: YonBIP, clock: JumpingClock
) -> None:
    Company(server, receivables=10)
    bip(home, server).run(MONDAY)
    assert server.calls("getAccessToken") == 1
    assert server.calls("getGatewayAddress") == 1


def test_both_addresses_stand_instead_of_the_tenant_id(
    home: Settings, server: YonBIP, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("YONBIP_TENANT_ID")
    company = Company(server, receivables=10)
    case = bip(
        home, server, f"token_url: {server.url}/iuap-api-auth\ngateway_url: {server.url}/iuap-api-gateway\n"
    )
    case.run(MONDAY)
    check_monday(case, company)
    assert server.calls("getGatewayAddress") == 0


def test_wrong_credentials_end_the_run_and_stand_in_no_message(
    home: Settings, server: YonBIP, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("YONBIP_APP_SECRET", "another-secret-77")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AuthenticationError, match="签名错误") as error:
        bip(home, server).extract(MONDAY)
    assert "another-secret-77" not in str(error.value) + caplog.text


def test_every_missing_credential_is_named_at_once(
    home: Settings, server: YonBIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match="YONBIP_APP_KEY, YONBIP_APP_SECRET, YONBIP_TENANT_ID"):
        bip(home, server).extract(MONDAY)


def test_an_endpoint_that_the_tenant_does_not_publish_is_named(
    home: Settings, server: YonBIP, clock: JumpingClock
) -> None:
    Company(server, receivables=10)
    with pytest.raises(PermanentError, match=r"310404.*paths"):
        bip(home, server, "paths: {receipts: /yonbip/EFI/other/list}\n").extract(MONDAY)


# --- the storm ---


def storm(server: YonBIP, company: Company) -> list[Fault]:
    """Tuesday happens while it is read: tokens end, answers break, rows move."""
    return [
        Fault("answer", is_list(CUSTOMERS), answer=server.error("310032", "访问频率超过限制")),
        Fault("reset", is_list(RECEIVABLE)),
        Fault("truncate", is_list(RECEIVABLE), after=2),
        Fault("change", is_list(RECEIVABLE, page=2), change=company.tuesday),
        Fault("change", is_list(COLLECTION), after=1, change=server.expire_tokens),
        Fault("page", is_list(COLLECTION), after=3, times=2),
        Fault("answer", is_list(VERIFY), answer=Answer("非法token", 200, "text/plain")),
        Fault("truncate", is_list(VERIFY), after=2),
    ]


def test_after_a_storm_raw_is_what_a_quiet_day_leaves(
    home: Settings, server: YonBIP, clock: JumpingClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    company = Company(server)
    check_storm_leaves_no_trace(
        lambda name: bip(home, server, name=name), server, lambda: storm(server, company)
    )
    for secret in (APP_SECRET, "yb-token-1"):
        assert secret not in caplog.text
