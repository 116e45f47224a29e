"""Every connector keeps the rules of conformance.py."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from runpy import run_path

import pytest

from receivables.settings import Settings
from receivables.sources.kinds import KINDS, Kind
from tests.conftest import PROJECT
from tests.extracts import sap_company
from tests.extracts.as_tables import write as write_tables
from tests.sources import kontor_standin
from tests.sources.china import use_clock
from tests.sources.conformance import RULES, WITH_SERVERS, Subject, Tools
from tests.sources.setup import INVOICES, write_source
from tests.sources.test_bank_statements import MT940, camt
from tests.sources.test_ecb import HISTORY
from tests.sources.test_fxiaoke import VARIABLES as FXIAOKE
from tests.sources.test_fxiaoke import Company, crm
from tests.sources.test_kingdee import VARIABLES as KINGDEE
from tests.sources.test_kingdee import Company as KingdeeCompany
from tests.sources.test_kingdee import erp
from tests.sources.test_yonbip import VARIABLES as YONBIP
from tests.sources.test_yonbip import Company as YonbipCompany
from tests.sources.test_yonbip import bip
from tests.sources.zoho_fixture import VARIABLES as ZOHO
from tests.sources.zoho_fixture import found, second_day, zoho_books, zoho_crm
from tests.standins.fxiaoke import Fxiaoke
from tests.standins.kingdee import Kingdee
from tests.standins.yonbip import YonBIP

Make = Callable[[Settings, pytest.MonkeyPatch], AbstractContextManager[Subject]]
EXAMPLE = PROJECT / "docs" / "examples" / "kontor.py"
ZOHO_SECRETS = {name: value for name, value in ZOHO.items() if name != "ZOHO_CLIENT_ID"}


@contextmanager
def files(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    text = "kind: files\nbase: ${ERP_FOLDER}\nentities: {invoices: {path: invoices.csv}}\n"
    case = write_source(home, text)
    monkeypatch.setenv("ERP_FOLDER", str(home.sources_dir))
    case.data("invoices.csv", INVOICES + "1,C1,2026-01-05,10.10,EUR\n2,C1,2026-01-06,20.20,EUR\n")
    yield Subject(case, ("ERP_FOLDER",))


@contextmanager
def sql(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    path = home.sources_dir / "erp.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "create table bills (no text, customer text, day text, total text, changed_at text);"
            "insert into bills values ('1', 'C1', '2026-01-05', '10.10', '2026-03-01 10:00:00'),"
            " ('2', 'C1', '2026-01-06', '20.20', '2026-03-02 10:00:00'),"
            " ('3', 'C1', '2026-01-07', '30.30', '2026-03-03 10:00:00');"
        )
    monkeypatch.setenv("ERP_FILE", str(path))
    yield Subject(
        write_source(
            home,
            "kind: sql\nconnection: {sqlite: '${ERP_FILE}'}\ndefault_currency_code: EUR\nentities:\n"
            "  invoices:\n    table: bills\n    mode: incremental\n    cursor: changed_at\n    sweep: true\n"
            "    columns: {invoice_id: no, customer_id: customer, invoice_date: day, amount: total,"
            " updated_at: changed_at}\n",
        ),
        ("ERP_FILE",),
    )


@contextmanager
def books(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    with zoho_books(home, monkeypatch) as (zoho, case):
        zoho.largest_page = 6
        second_day(zoho.company, found(zoho.company))
        yield Subject(case, tuple(ZOHO), ZOHO_SECRETS)


@contextmanager
def accounts(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    with zoho_crm(home, monkeypatch) as (zoho, case):
        for name in ("One", "Two", "Three"):
            zoho.company.account(name)
            zoho.clock.sleep(60)
        yield Subject(case, tuple(ZOHO), ZOHO_SECRETS)


@contextmanager
def fxiaoke(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    with Fxiaoke() as server:
        use_clock(monkeypatch, server)
        for name, value in FXIAOKE.items():
            monkeypatch.setenv(name, value)
        Company(server, orders=12)
        names = ("FXIAOKE_APP_ID", "FXIAOKE_APP_SECRET", "FXIAOKE_PERMANENT_CODE", "FXIAOKE_USER")
        yield Subject(crm(home, server), names, {name: FXIAOKE[name] for name in names[1:3]})


@contextmanager
def kingdee(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    with Kingdee() as server:
        use_clock(monkeypatch, server)
        for name, value in KINGDEE.items():
            monkeypatch.setenv(name, value)
        KingdeeCompany(server)
        yield Subject(erp(home, server), tuple(KINGDEE), {"KINGDEE_PASSWORD": KINGDEE["KINGDEE_PASSWORD"]})


@contextmanager
def yonbip(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    with YonBIP() as server:
        use_clock(monkeypatch, server)
        for name, value in YONBIP.items():
            monkeypatch.setenv(name, value)
        YonbipCompany(server, receivables=12)
        yield Subject(bip(home, server), tuple(YONBIP), {"YONBIP_APP_SECRET": YONBIP["YONBIP_APP_SECRET"]})


@contextmanager
def kontor(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    """The worked example of the guide, registered like any kind."""
    example = run_path(str(EXAMPLE))
    kind = Kind(example["KontorSource"], example["KontorConnector"])
    monkeypatch.setitem(KINDS, "kontor", kind)
    monkeypatch.setenv("KONTOR_API_KEY", kontor_standin.KEY)
    with kontor_standin.serving() as url:
        case = write_source(home, f"kind: kontor\nurl: {url}\n")
        yield Subject(case, ("KONTOR_API_KEY",), {"KONTOR_API_KEY": kontor_standin.KEY})


@contextmanager
def extracts(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    """A small company in SAP's tables with every kind of document."""
    write_tables(home.sources_dir / "sap", dict(sap_company.tables(sap_company.create(40))))
    monkeypatch.setenv("SAP_EXTRACT", str(home.sources_dir / "sap"))
    yield Subject(
        write_source(
            home,
            "kind: extracts\nsystem: sap\nfolder: ${SAP_EXTRACT}\ncompanies: {'1000': HD-EU}\n"
            "options: {write_off_reasons: ['099']}\nleave_out: [exchange_rates]\n",
        ),
        ("SAP_EXTRACT",),
    )


@contextmanager
def ecb(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    case = write_source(home, "kind: ecb\npath: ${ECB_FILE}\n")
    monkeypatch.setenv("ECB_FILE", str(case.data("rates.csv", HISTORY)))
    yield Subject(case, ("ECB_FILE",))


@contextmanager
def bank_statements(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    case = write_source(home, "kind: bank_statements\npath: ${BANK_FILES}\ndefault_company_id: HD-EU\n")
    case.data("bank/1.xml", camt())
    case.data("bank/2.sta", MT940)
    monkeypatch.setenv("BANK_FILES", str(home.sources_dir / "bank"))
    yield Subject(case, ("BANK_FILES",))


SUBJECTS: dict[str, Make] = {
    "files": files,
    "sql": sql,
    "zoho_books": books,
    "zoho_crm": accounts,
    "fxiaoke": fxiaoke,
    "kingdee": kingdee,
    "yonbip": yonbip,
    "extracts": extracts,
    "ecb": ecb,
    "kontor": kontor,
    "bank_statements": bank_statements,
}


@pytest.mark.parametrize("make", SUBJECTS.values(), ids=SUBJECTS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_connector_keeps_the_rule(
    rule: Callable[[Subject, Tools], None],
    make: Make,
    home: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with make(home, monkeypatch) as subject:
        rule(subject, Tools(monkeypatch, caplog))


def test_every_kind_of_source_is_judged() -> None:
    assert {*SUBJECTS, *WITH_SERVERS} == {*KINDS, "kontor"}


def test_the_guide_shows_the_code_that_runs() -> None:
    guide = (PROJECT / "docs" / "how-to" / "write-a-connector.md").read_text(encoding="utf-8")
    code = EXAMPLE.read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", guide, re.S) if "Kind(" not in block]
    assert len(blocks) == 3
    assert [block for block in blocks if block.rstrip() not in code] == []
