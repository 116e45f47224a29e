"""Kingdee K/3 Cloud: sessions, fields that differ, matches told from either side, removals, a storm."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import pytest

from receivables.errors import ConfigError, PermanentError
from receivables.settings import Settings
from receivables.sources.http import AuthenticationError
from receivables.sources.http_state import ThrottledError
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
    use_clock,
)
from tests.sources.setup import Case
from tests.standins.kingdee import (
    ACCOUNT_SET,
    APP_ID,
    APP_SECRET,
    PASSWORD,
    USER,
    Kingdee,
    is_query,
)
from tests.standins.server import Answer, Fault

RECEIVABLES = 25
PAGE = 10

VARIABLES = {"KINGDEE_ACCOUNT_SET": ACCOUNT_SET, "KINGDEE_USER": USER, "KINGDEE_PASSWORD": PASSWORD}


class Company:
    """A small account set, and what happens in it on Tuesday."""

    def __init__(self, server: Kingdee) -> None:
        self.server = server
        put = server.put
        for name in ("CUST0001", "CUST0002"):
            put("BD_Customer", FNumber=name, FName=f"客户{name[-1]}", FForbidStatus="A", FSELLER="李四")
        # The copy of a customer in another organisation.
        put("BD_Customer", FNumber="CUST0001", FName="客户1(分配)", FForbidStatus="B")
        self.receivables = [self.invoice(Decimal(100 + number)) for number in range(RECEIVABLES)]
        self.memo = self.invoice(Decimal("-30.00"))
        self.other = put(
            "AR_OtherRecAble",
            FDATE=date(2026, 2, 3),
            FENDDATE_H=date(2026, 3, 3),
            FCONTACTUNITTYPE="BD_Customer",
            FCONTACTUNIT="CUST0002",
            FCURRENCYID="PRE007",
            FAMOUNTFOR=Decimal("70.00"),
            FEXCHANGERATE=Decimal("7.1"),
        )
        put(
            "AR_OtherRecAble",
            FDATE=date(2026, 2, 3),
            FCONTACTUNITTYPE="BD_Empinfo",
            FCONTACTUNIT="EMP1",
            FCURRENCYID="PRE001",
            FAMOUNTFOR=Decimal("5.00"),
        )
        self.receipts = [self.receipt([Decimal("40.00"), Decimal("10.00")]) for _ in range(12)]
        self.matches = [
            server.match(
                ("AR_receivable", self.receivables[number]),
                ("AR_RECEIVEBILL", self.receipts[number]),
                Decimal("50.00"),
                date(2026, 2, 12),
            )
            for number in range(8)
        ]
        self.memo_match = server.match(
            ("AR_receivable", self.receivables[20]),
            ("AR_receivable", self.memo),
            Decimal("30.00"),
            date(2026, 2, 14),
        )
        self.refund = put(
            "AR_REFUNDBILL",
            FDATE=date(2026, 2, 20),
            FCONTACTUNITTYPE="BD_Customer",
            FCONTACTUNIT="CUST0001",
            FCURRENCYID="PRE001",
            FREFUNDAMOUNTFOR=Decimal("20.00"),
        )
        server.match(
            ("AR_REFUNDBILL", self.refund),
            ("AR_RECEIVEBILL", self.receipts[9]),
            Decimal("15.00"),
            date(2026, 2, 20),
        )
        self.loss = put(
            "AR_BADDebtLoss",
            FDATE=date(2026, 2, 25),
            FCONTACTUNITTYPE="BD_Customer",
            FCONTACTUNIT="CUST0001",
            FCURRENCYID="PRE001",
            FREMARK="破产",
            entries={
                "FEntity": [
                    {
                        "FLOSSAMOUNTFOR": Decimal("9.00"),
                        "FSRCBILLNO": server.number("AR_receivable", self.receivables[21]),
                    }
                ]
            },
        )
        put(
            "BD_Rate",
            FCyForID="PRE007",
            FCyToID="PRE001",
            FExchangeRate=Decimal("7.1"),
            FBegDate=date(2026, 2, 1),
        )

    def invoice(self, amount: Decimal) -> int:
        self.server.tick(seconds=7)
        half = (amount / 2).quantize(Decimal("0.01"))
        return self.server.put(
            "AR_receivable",
            FDATE=date(2026, 1, 31),
            FENDDATE_H=date(2026, 3, 31),
            FCUSTOMERID="CUST0001",
            FCURRENCYID="PRE001",
            FALLAMOUNTFOR=amount,
            FEXCHANGERATE=Decimal(1),
            FSALEERID="李四",
            entries={
                "FEntityPlan": [
                    {"FENDDATE": date(2026, 2, 28), "FPAYAMOUNTFOR": half},
                    {"FENDDATE": date(2026, 3, 31), "FPAYAMOUNTFOR": amount - half},
                ]
            },
        )

    def receipt(self, amounts: list[Decimal]) -> int:
        self.server.tick(seconds=7)
        return self.server.put(
            "AR_RECEIVEBILL",
            FDATE=date(2026, 2, 10),
            FCONTACTUNITTYPE="BD_Customer",
            FCONTACTUNIT="CUST0001",
            FCURRENCYID="PRE001",
            entries={"FRECEIVEBILLENTRY": [{"FRECTOTALAMOUNTFOR": amount} for amount in amounts]},
        )

    def tuesday(self) -> None:
        """Un-audited, cancelled, deleted, un-matched, edited, new."""
        server = self.server
        server.now = datetime.fromisoformat("2026-03-03 09:00")
        server.unaudit("AR_receivable", self.receivables[10])
        server.cancel("AR_receivable", self.receivables[11])
        server.delete("AR_receivable", self.receivables[12])
        server.delete("AR_Match", self.matches[3])
        server.delete("AR_RECEIVEBILL", self.receipts[11])
        server.put("AR_receivable", FID=self.receivables[13], FENDDATE_H=date(2026, 5, 31))
        server.put(
            "AR_receivable",
            FID=self.receivables[14],
            entries={"FEntityPlan": [{"FENDDATE": date(2026, 4, 30), "FPAYAMOUNTFOR": Decimal("114.00")}]},
        )
        new = self.invoice(Decimal("77.00"))
        server.match(("AR_receivable", new), ("AR_RECEIVEBILL", self.receipts[10]), Decimal("50.00"), TUESDAY)


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server() -> Iterator[Kingdee]:
    with Kingdee() as running:
        yield running


@pytest.fixture
def clock(server: Kingdee, monkeypatch: pytest.MonkeyPatch) -> JumpingClock:
    return use_clock(monkeypatch, server)


def erp(home: Settings, server: Kingdee, more: str = "", *, name: str = "erp") -> Case:
    return installation(
        home,
        name,
        f"kind: kingdee\nbase_url: {server.url}/k3cloud\npage_rows: {PAGE}\n"
        f"default_company_id: HD-CN\ndefault_currency_code: CNY\n{more}",
    )


def check_monday(case: Case, company: Company, *, has_plans: bool = True) -> None:
    """Everything that Monday holds, whatever the account set calls it."""
    invoices = current(case, "invoices", "customer_id", "amount", "currency_code", "status", "due_date")
    assert len(invoices) == RECEIVABLES + 1
    assert invoices[f"AR_receivable:{company.receivables[0]}"] == (
        "CUST0001", Decimal("100.0000"), "CNY", "posted", date(2026, 3, 31),
    )  # fmt: skip
    assert invoices[f"AR_OtherRecAble:{company.other}"][:3] == ("CUST0002", Decimal("70.0000"), "USD")
    assert current(case, "credit_memos", "amount", "status") == {
        f"AR_receivable:{company.memo}": (Decimal("30.0000"), "posted")
    }
    plans = current(case, "instalments", "due_date", "amount")
    assert len(plans) == (2 * RECEIVABLES if has_plans else 0)
    if has_plans:
        assert plans[f"AR_receivable:{company.receivables[0]}|1"] == (date(2026, 2, 28), Decimal("50.0000"))
    receipts = current(case, "receipts", "amount", "receipt_date")
    assert set(receipts.values()) == {(Decimal("50.0000"), date(2026, 2, 10))}
    assert len(receipts) == 12
    applied = current(case, "applications", "credit_type", "credit_id", "invoice_id", "amount", "applied_on")
    assert sorted(row[:4] for row in applied.values()) == sorted(
        [
            *(
                (
                    "receipt",
                    f"AR_RECEIVEBILL:{company.receipts[number]}",
                    f"AR_receivable:{company.receivables[number]}",
                    Decimal("50.0000"),
                )
                for number in range(8)
            ),
            (
                "credit_memo",
                f"AR_receivable:{company.memo}",
                f"AR_receivable:{company.receivables[20]}",
                Decimal("30.0000"),
            ),
        ]
    )
    assert {row[4] for row in applied.values()} == {date(2026, 2, 12), date(2026, 2, 14)}
    adjustments = current(
        case, "adjustments", "adjustment_type", "amount", "invoice_id", "credit_id", "reason"
    )
    assert sorted(adjustments.values(), key=str) == sorted(
        [
            ("refund", Decimal("15.0000"), None, f"AR_RECEIVEBILL:{company.receipts[9]}", None),
            ("refund", Decimal("5.0000"), None, None, None),
            ("write_off", Decimal("9.0000"), f"AR_receivable:{company.receivables[21]}", None, "破产"),
        ],
        key=str,
    )
    assert current(case, "customers", "customer_name", "is_active") == {
        "CUST0001": ("客户1", True), "CUST0002": ("客户2", True),
    }  # fmt: skip
    assert current(case, "exchange_rates", "rate") == {"2026-02-01|USD|CNY|": (Decimal("7.10000000"),)}
    assert case.refused() == []


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"metadata": "denied"},
        {"error_shape": "list", "currency_code": False},
        {"error_shape": "object", "match_rows": "receivable", "limit_cap": 7},
        {"match_rows": "receipt", "renamed": {"FCUSTOMERID": "FCustId", "FALLAMOUNTFOR": "FAMOUNTFOR_H"}},
        {"match_sign": "positive", "metadata": "denied", "renamed": {"FCUSTOMERID": "FCustId"}},
    ],
    ids=str,
)
def test_an_account_set_arrives_whatever_it_calls_its_fields(
    home: Settings, monkeypatch: pytest.MonkeyPatch, switches: dict[str, Any]
) -> None:
    with Kingdee(**switches) as server:
        use_clock(monkeypatch, server)
        company = Company(server)
        case = erp(home, server)
        case.run(MONDAY)
        check_monday(case, company)


@pytest.mark.parametrize("metadata", ["open", "denied"])
def test_a_due_date_that_the_lines_only_repeat_makes_no_plan(
    home: Settings, monkeypatch: pytest.MonkeyPatch, metadata: Literal["open", "denied"]
) -> None:
    """One name for the header's due date and the plan's: the header's answers, and counts for the whole."""
    with Kingdee(metadata=metadata, renamed={"FENDDATE_H": "FENDDATE"}) as server:
        use_clock(monkeypatch, server)
        company = Company(server)
        case = erp(home, server)
        case.run(MONDAY)
        check_monday(case, company, has_plans=False)
        with open_connector(case.source, case.settings) as connector:
            connector.describe("instalments")
            assert list(connector.sweep("instalments")) == []
            (said,) = (note for note in connector.notes("instalments") if "left out" in note)  # type: ignore[attr-defined]
        assert "FENDDATE is the header's" in said


def test_a_header_amount_beside_a_field_of_the_lines_is_counted_once(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without metadata and without a due date in the header, each row of the plan repeats the amount."""
    with Kingdee(metadata="denied", without_fields=("FENDDATE_H",)) as server:
        use_clock(monkeypatch, server)
        company = Company(server)
        case = erp(home, server)
        case.run(MONDAY)
        amounts = current(case, "invoices", "amount", "due_date")
    assert amounts[f"AR_receivable:{company.receivables[0]}"] == (Decimal("100.0000"), date(2026, 2, 28))
    assert len(amounts) == RECEIVABLES + 1


@pytest.mark.parametrize("audits_are_changes", [True, False])
def test_tuesdays_changes_reach_raw_as_drafts_voids_and_removals(
    home: Settings, monkeypatch: pytest.MonkeyPatch, audits_are_changes: bool
) -> None:
    with Kingdee(audits_are_changes=audits_are_changes) as server:
        use_clock(monkeypatch, server)
        check_tuesday(home, server)


def check_tuesday(home: Settings, server: Kingdee) -> None:
    """What Tuesday brings, whether or not audits leave a time of change."""
    company = Company(server)
    server.tick(hours=3)
    server.put("AR_receivable", FID=company.receivables[24])  # Tuesday's window begins behind the others
    case = erp(home, server)
    case.run(MONDAY)
    company.tuesday()
    server.requests.clear()
    report = case.run(TUESDAY)
    key = [f"AR_receivable:{receivable}" for receivable in company.receivables]
    invoices = current(case, "invoices", "status", "due_date")
    assert invoices[key[10]][0] == "draft"
    assert invoices[key[11]][0] == "void"
    assert key[12] not in invoices
    assert invoices[key[13]] == ("posted", date(2026, 5, 31))
    assert f"{key[14]}|2" not in current(case, "instalments", "amount")
    assert current(case, "instalments", "amount")[f"{key[14]}|1"] == (Decimal("114.0000"),)
    applied = current(case, "applications", "invoice_id")
    assert (key[3],) not in applied.values()
    assert len(applied) == 9
    assert f"AR_RECEIVEBILL:{company.receipts[11]}" not in current(case, "receipts", "amount")
    assert case.query("select distinct _known_on from raw_erp.applications where _is_removed") == [(TUESDAY,)]
    loaded = {entity.entity: (entity.changed, entity.removed, entity.new) for entity in report.entities}
    assert loaded["invoices"] == (4, 1, 1)
    server.audit("AR_receivable", company.receivables[10])
    case.run(TUESDAY, run="audited-again")
    assert current(case, "invoices", "status")[key[10]] == ("posted",)


def test_a_page_never_cuts_a_document_in_two(home: Settings, server: Kingdee, clock: JumpingClock) -> None:
    lines = [Decimal(number) for number in range(1, 10)]
    receipts = [
        server.put(
            "AR_RECEIVEBILL",
            FDATE=date(2026, 2, 10),
            FCONTACTUNITTYPE="BD_Customer",
            FCONTACTUNIT="CUST0001",
            FCURRENCYID="PRE001",
            entries={"FRECEIVEBILLENTRY": [{"FRECTOTALAMOUNTFOR": line} for line in lines[:count]]},
        )
        for count in (4, 9, 3, 5, 1)
    ]
    case = erp(home, server)
    case.run(MONDAY)
    assert current(case, "receipts", "amount") == {
        f"AR_RECEIVEBILL:{receipt}": (Decimal(sum(lines[:count])),)
        for receipt, count in zip(receipts, (4, 9, 3, 5, 1), strict=True)
    }
    server.put(
        "AR_RECEIVEBILL",
        FID=receipts[0],
        entries={"FRECEIVEBILLENTRY": [{"FRECTOTALAMOUNTFOR": Decimal(1)}] * PAGE},
    )
    with pytest.raises(PermanentError, match=r"more lines than a page holds.*page_rows"):
        case.run(TUESDAY)


def test_a_check_says_what_the_account_set_has(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with Kingdee(
        renamed={"FCUSTOMERID": "FCustId"}, currency_code=False, without_forms=("AR_OtherRecAble",)
    ) as server:
        use_clock(monkeypatch, server)
        Company(server)
        found = notes(erp(home, server), "invoices")
    assert "AR_receivable: customer_id comes from FCustId.FNumber: there is no FCUSTOMERID.FNumber" in found
    assert (
        "AR_receivable: currency_code comes from FCURRENCYID.FNumber: there is no FCURRENCYID.FCODE" in found
    )
    assert "there is no form AR_OtherRecAble" in found


def test_a_check_says_that_recovered_bad_debts_are_not_read(
    home: Settings, server: Kingdee, clock: JumpingClock
) -> None:
    Company(server)
    case = erp(home, server)
    assert "recovered" not in str(notes(case, "adjustments"))
    server.put("AR_BADDEBTRECOVEY", FDATE=TUESDAY)
    assert "bad debts were recovered (AR_BADDEBTRECOVEY)" in str(notes(case, "adjustments"))
    server.denied = {"AR_BADDEBTRECOVEY"}
    assert "recovered" not in str(notes(case, "adjustments"))


def test_a_field_of_the_source_file_wins_over_the_likely_ones(
    home: Settings, server: Kingdee, clock: JumpingClock
) -> None:
    Company(server)
    case = erp(
        home,
        server,
        "entities:\n  receipts:\n    columns: {customer_id: FPAYUNIT.FNumber}\n"
        "  invoices:\n    forms: [AR_receivable]\n    columns:\n"
        "      company_id: {from: FSETTLEORGID.FNumber, values: {'100': HD-CN}, else: HD-EU}\n",
    )
    for receivable in server.bills["AR_receivable"].values():
        receivable.head["FSETTLEORGID"] = "100"
    for receipt in server.bills["AR_RECEIVEBILL"].values():
        receipt.head["FPAYUNIT"] = "PAYER"
    case.run(MONDAY)
    assert set(current(case, "receipts", "customer_id").values()) == {("PAYER",)}
    assert set(current(case, "invoices", "company_id").values()) == {("HD-CN",)}


def test_an_amount_that_no_field_gives_is_named_with_the_fields_that_there_are(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Kingdee(renamed={"FALLAMOUNTFOR": "F_ABCD_Amount"}) as server:
        use_clock(monkeypatch, server)
        Company(server)
        with pytest.raises(PermanentError, match=r"nothing gives amount.*F_ABCD_Amount 价税合计"):
            erp(home, server).extract(MONDAY)


# --- what the account set says is open ---

BALANCE = "entities:\n  gl_balances: {}\n"


def balance(case: Case) -> list[tuple[Any, ...]]:
    return case.query(f"select balance_date, balance_amount, account from raw_{case.name}.gl_balances")


@pytest.mark.parametrize("metadata", ["open", "denied"])
def test_the_balance_of_the_account_set_is_delivered_for_a_day_that_has_not_moved_since(
    home: Settings, monkeypatch: pytest.MonkeyPatch, metadata: Literal["open", "denied"]
) -> None:
    """Receivables less what receipts, the memo and a bad debt settled, money on account, a refund's rest."""
    with Kingdee(metadata=metadata) as server:
        use_clock(monkeypatch, server)
        company = Company(server)
        case = erp(home, server, BALANCE)
        case.run(MONDAY)
        receivables = sum((100 + number for number in range(RECEIVABLES)), 0) - 8 * 50 - 30 - 9
        receipts, refund, other = 12 * 50 - 8 * 50 - 15, 20 - 15, Decimal("70") * Decimal("7.1")
        assert balance(case) == [(MONDAY, receivables - receipts + refund + other, "kingdee")]
        # The day is over where the books are kept, and not yet where another company is.
        server.now = datetime.fromisoformat("2026-03-03 00:30")
        more = [{"FRECTOTALAMOUNTFOR": Decimal("99.00")}]
        server.put("AR_RECEIVEBILL", FID=company.receipts[10], entries={"FRECEIVEBILLENTRY": more})
        case.run(MONDAY, run="after-midnight")
        assert len(balance(case)) == 1
        said = notes_after_read(case, "gl_balances", MONDAY)
        assert [note for note in said if "changed after 2026-03-03T00:00:00+08:00" in note]


def test_no_balance_is_made_up_where_nobody_tells_how_much_is_settled(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad debt settled a part, the account set tells that by a word alone, and no match says how much."""
    with Kingdee(without_fields=("FRELATEHADPAYAMOUNT",)) as server:
        use_clock(monkeypatch, server)
        company = Company(server)
        case = erp(home, server, BALANCE)
        said = notes_after_read(case, "gl_balances", MONDAY)
        assert [note for note in said if "AR_receivable tells of parts that are settled" in note]
        server.delete("AR_BADDebtLoss", company.loss)
        case.run(MONDAY)
        assert len(balance(case)) == 1


def test_several_companies_have_no_one_balance(home: Settings, server: Kingdee) -> None:
    mapped = "  invoices:\n    columns: {company_id: FSETTLEORGID.FNumber}\n"
    with pytest.raises(ConfigError, match="one company's balance, and invoices tell"):
        _ = erp(home, server, BALANCE + mapped).source


# --- sessions and rights ---


def test_all_entities_share_one_session_and_an_expired_one_is_renewed_once(
    home: Settings, server: Kingdee, clock: JumpingClock
) -> None:
    Company(server)
    case = erp(home, server)
    with server.plan(Fault("change", is_query("AR_receivable", later=True), change=server.end_sessions)):
        case.run(MONDAY)
    assert server.calls("ValidateUser.common.kdsvc") == 2
    assert len(current(case, "invoices", "amount")) == RECEIVABLES + 1


def test_an_application_may_log_in_instead_of_a_password(
    home: Settings, server: Kingdee, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = Company(server)
    monkeypatch.delenv("KINGDEE_PASSWORD")
    monkeypatch.setenv("KINGDEE_APP", APP_ID)
    monkeypatch.setenv("KINGDEE_APP_SECRET", APP_SECRET)
    case = erp(home, server, "auth: {app_id: '${KINGDEE_APP}', app_secret: '${KINGDEE_APP_SECRET}'}\n")
    case.run(MONDAY)
    check_monday(case, company)


def test_an_airflow_connection_gives_the_credentials(
    home: Settings, server: Kingdee, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    Company(server)
    for name in VARIABLES:
        monkeypatch.delenv(name)
    monkeypatch.setenv(
        "AIRFLOW_CONN_K3",
        f'{{"login": "{USER}", "password": "{PASSWORD}", "extra": {{"account_set": "{ACCOUNT_SET}"}}}}',
    )
    case = erp(home, server, "auth: {airflow_connection: k3}\n")
    case.run(MONDAY)
    assert len(current(case, "receipts", "amount")) == 12


@pytest.mark.parametrize(
    ("variable", "value", "next_step"),
    [
        ("KINGDEE_PASSWORD", "wrong-password-1", "lock the user"),
        ("KINGDEE_ACCOUNT_SET", "other", "the id of the account set"),
    ],
)
def test_a_refused_login_is_tried_once_and_says_what_to_correct(
    home: Settings, server: Kingdee, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, variable: str, value: str, next_step: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, value)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AuthenticationError) as error:
        erp(home, server).extract(MONDAY)
    assert next_step in str(error.value)
    assert server.calls("ValidateUser.common.kdsvc") == 1
    assert "wrong-password-1" not in str(error.value) + caplog.text
    assert PASSWORD not in str(error.value) + caplog.text


def test_a_user_that_may_not_call_the_web_api_is_told_where_to_allow_it(
    home: Settings, server: Kingdee, clock: JumpingClock
) -> None:
    server.whitelisted = False
    with pytest.raises(AuthenticationError, match="参数设置"):
        erp(home, server).extract(MONDAY)


def test_every_missing_credential_is_named_at_once(
    home: Settings, server: Kingdee, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match="KINGDEE_ACCOUNT_SET, KINGDEE_PASSWORD, KINGDEE_USER"):
        erp(home, server).extract(MONDAY)


def test_a_form_without_the_right_to_see_it_is_named(
    home: Settings, server: Kingdee, clock: JumpingClock
) -> None:
    Company(server)
    server.denied = {"AR_RECEIVEBILL"}
    with pytest.raises(AuthenticationError, match=r"AR_RECEIVEBILL.*查看权限"):
        erp(home, server).extract(MONDAY)


# --- the storm ---


def storm(server: Kingdee, company: Company) -> list[Fault]:
    """Tuesday happens while it is read: sessions end, answers break, documents change."""
    receivable, receipt = is_query("AR_receivable"), is_query("AR_RECEIVEBILL")
    return [
        Fault(
            "answer", is_query("BD_Customer"), after=1, answer=Answer("", 429, headers={"Retry-After": "2"})
        ),
        Fault("reset", receivable),
        Fault("truncate", receivable, after=3),
        Fault("change", is_query("AR_receivable", later=True), change=company.tuesday),
        Fault("change", receipt, after=1, change=server.end_sessions),
        Fault("page", receipt, after=3, times=2),
        Fault("answer", is_query("AR_Match"), after=1, answer=server.fault("会话信息已丢失，请重新登录")),
        Fault(
            "answer",
            is_query("AR_Match"),
            after=3,
            answer=Answer("response_error: 会话超时", 200, "text/plain"),
        ),
    ]


def test_after_a_storm_raw_is_what_a_quiet_day_leaves(
    home: Settings, server: Kingdee, clock: JumpingClock
) -> None:
    company = Company(server)
    check_storm_leaves_no_trace(
        lambda name: erp(home, server, name=name), server, lambda: storm(server, company)
    )


def test_a_server_that_throttles_without_end_is_a_passing_fault(
    home: Settings, server: Kingdee, clock: JumpingClock
) -> None:
    Company(server)
    with (
        server.plan(Fault("answer", is_query("AR_receivable"), times=99, answer=Answer("", 429))),
        pytest.raises(ThrottledError),
    ):
        erp(home, server).extract(MONDAY)
