"""Bank statements in their three formats end in the same bookings, and what is wrong with them is said."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from receivables.errors import ConfigError, PermanentError
from receivables.settings import Settings
from receivables.sources.bank_statements import read_statements
from tests.sources.setup import Case, write_source

DAY = date(2026, 10, 30)
BOOKING = "direction, amount, is_reversal, counterparty_name, reference, remittance"


def bank(home: Settings, line: str = "") -> Case:
    return write_source(
        home, f"kind: bank_statements\npath: bank\ndefault_company_id: HD-EU\n{line}\n", name="bank"
    )


def camt(
    number: str = "112", *, opening: str = "1000.00", closing: str = "1840.50", entries: str | None = None
) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt>'
        f"<Id>STMT-{number}</Id><ElctrncSeqNb>{number}</ElctrncSeqNb><CreDtTm>2026-10-31T02:00:00</CreDtTm>"
        "<Acct><Id><IBAN>DE02120300000000202051</IBAN></Id><Ccy>EUR</Ccy></Acct>"
        + _balance("OPBD", opening, "2026-10-29")
        + _balance("CLBD", closing, "2026-10-30")
        + (ENTRIES if entries is None else entries)
        + "</Stmt></BkToCstmrStmt></Document>"
    )


def _balance(code: str, amount: str, day: str) -> str:
    sign = "DBIT" if amount.startswith("-") else "CRDT"
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy='EUR'>{amount.lstrip('-')}</Amt>"
        f"<CdtDbtInd>{sign}</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"
    )


def _entry(
    amount: str, sign: str, details: str = "", *, status: str = "<Cd>BOOK</Cd>", more: str = ""
) -> str:
    return (
        f"<Ntry><Amt Ccy='EUR'>{amount}</Amt><CdtDbtInd>{sign}</CdtDbtInd>{more}<Sts>{status}</Sts>"
        f"<BookgDt><Dt>2026-10-30</Dt></BookgDt><ValDt><Dt>2026-10-31</Dt></ValDt>{details}</Ntry>"
    )


def _details(*transactions: str) -> str:
    return f"<NtryDtls>{''.join(f'<TxDtls>{one}</TxDtls>' for one in transactions)}</NtryDtls>"


MUSTER = (
    "<Refs><EndToEndId>E2E-1</EndToEndId></Refs>"
    "<RltdPties><Dbtr><Pty><Nm>Muster AG</Nm></Pty></Dbtr>"
    "<DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct></RltdPties>"
    "<RmtInf><Ustrd>Rechnung INV-0109</Ustrd></RmtInf>"
)
ENTRIES = (
    _entry("500.00", "CRDT", _details(MUSTER))
    # A batch: two payers, each with an amount.
    + _entry(
        "450.50",
        "CRDT",
        _details(
            "<Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs><Amt Ccy='EUR'>400.00</Amt>"
            "<RmtInf><Strd><CdtrRefInf><Ref>RF18INV0200</Ref></CdtrRefInf></Strd></RmtInf>",
            "<AmtDtls><TxAmt><Amt Ccy='EUR'>50.50</Amt></TxAmt></AmtDtls>"
            "<RmtInf><Ustrd>INV-0300</Ustrd></RmtInf>",
        ),
    )
    + _entry("60.00", "DBIT", more="<RvslInd>true</RvslInd>")
    + _entry(
        "50.00", "DBIT", _details("<RltdPties><Cdtr><Nm>Vermieter</Nm></Cdtr></RltdPties>"), status="BOOK"
    )
    + _entry("999.00", "CRDT", status="<Cd>PDNG</Cd>")
)
MT940 = """:20:STARTUMS
:25:20041111/1234567890
:28C:00112/001
:60F:C261029EUR1000,00
:61:2610301030CR500,00NTRFNONREF//BANKREF1
:86:166?00GUTSCHRIFT?20EREF+E2E-1?21SVWZ+Rechnung INV-0109?32MUSTER AG
:61:2610301030RC60,00NMSCNONREF
:86:Ruecklastschrift
:61:2610301030D50,00NMSCMIETE
:86:Miete
:62F:C261030EUR1390,00
-
:20:STARTUMS
:25:20041111/1234567890
:28C:00113/001
:60F:C261030EUR1390,00
:61:2610301030RD10,00NMSCNONREF
:86:zurueck
:62F:C261030EUR1400,00
-
"""
BAI2 = """01,BANK,ME,261030,1200,1,80,,2/
02,ME,BANK,1,261030,1200,USD,2/
03,12345,USD,010,100000,,,015,150000,,/
16,115,60000,Z,BREF,CREF,INV-0109 MUSTER/
88,LOCKBOX 7/
16,455,10000,Z,,FEE,monthly fee/
49,320000,5/
98,320000,1,7/
99,320000,1,9/
"""


def test_camt_053_gives_each_booking_with_who_paid_for_what(home: Settings) -> None:
    """A batch is its transactions; a return carries its mark; what is pending is not yet said."""
    case = bank(home)
    case.data("bank/camt.xml", camt())
    report = case.run(DAY)
    assert report.refused == 0
    assert case.query(f"select {BOOKING} from raw_bank.bank_transactions order by transaction_id") == [
        ("credit", 500, False, "Muster AG", "E2E-1", "Rechnung INV-0109"),
        ("credit", 400, False, None, None, "RF18INV0200"),
        ("credit", Decimal("50.50"), False, None, None, "INV-0300"),
        ("debit", 60, True, None, None, None),
        ("debit", 50, False, "Vermieter", None, None),
    ]
    assert case.query(
        "select account, statement_number, cast(statement_date as varchar), opening_balance_amount,"
        " transactions_amount, closing_balance_amount, transaction_count from raw_bank.bank_statements"
    ) == [("DE02120300000000202051", "112", "2026-10-30", 1000, Decimal("840.50"), Decimal("1840.50"), 5)]


def test_mt940_holds_several_statements_and_takes_back_with_rc_and_rd(home: Settings) -> None:
    """RC takes back a credit: money goes out. RD takes back a debit: it comes in."""
    case = bank(home)
    case.data("bank/umsatz.sta", MT940)
    case.run(DAY)
    assert case.query(f"select {BOOKING} from raw_bank.bank_transactions order by transaction_id") == [
        ("credit", 500, False, "MUSTER AG", "E2E-1", "Rechnung INV-0109"),
        ("debit", 60, True, None, None, "Ruecklastschrift"),
        ("debit", 50, False, None, "MIETE", "Miete"),
        ("credit", 10, True, None, None, "zurueck"),
    ]
    assert case.query(
        "select statement_number, opening_balance_amount + transactions_amount - closing_balance_amount"
        " from raw_bank.bank_statements order by 1"
    ) == [("00112/001", 0), ("00113/001", 0)]


def test_bai2_amounts_have_no_point_and_lines_go_on(home: Settings) -> None:
    case = bank(home)
    case.data("bank/bai.txt", BAI2)
    case.run(DAY)
    assert case.query(f"select {BOOKING} from raw_bank.bank_transactions order by transaction_id") == [
        ("credit", 600, False, None, "CREF", "INV-0109 MUSTER,LOCKBOX 7"),
        ("debit", 100, False, None, "FEE", "monthly fee"),
    ]
    assert case.query(
        "select opening_balance_amount, transactions_amount, closing_balance_amount"
        " from raw_bank.bank_statements"
    ) == [(1000, 500, 1500)]


def test_a_statement_that_comes_twice_counts_once(home: Settings) -> None:
    case = bank(home)
    case.data("bank/1.xml", camt())
    case.data("bank/again.xml", camt())
    report = case.run(DAY)
    assert report.refused == 0
    assert case.query("select count(*) from raw_bank.bank_transactions") == [(5,)]


def test_the_same_statement_with_other_content_is_refused(home: Settings) -> None:
    case = bank(home)
    case.data("bank/1.xml", camt())
    case.data("bank/2.xml", camt(closing="1840.51"))
    case.run(DAY)
    assert case.query("select closing_balance_amount from raw_bank.bank_statements") == [
        (Decimal("1840.50"),)
    ]
    assert {row[1] for row in case.refused()} == {
        "statement 112 of account DE02120300000000202051 is in 1.xml with other content; the first one counts"
    }


def test_a_statement_of_a_later_day_waits_and_an_archived_one_stays(home: Settings) -> None:
    case = bank(home, "accounts: {DE02120300000000202051: HD-CN}")
    path = case.data("bank/1.xml", camt())
    case.data("bank/2.xml", camt("113", opening="1840.50").replace("2026-10-30", "2026-10-31"))
    case.run(DAY)
    assert case.query("select statement_number, company_id from raw_bank.bank_statements") == [
        ("112", "HD-CN")
    ]
    path.unlink()
    case.run(date(2026, 10, 31))
    assert case.query(
        "select statement_number, _is_removed from raw_bank.bank_statements order by statement_number"
    ) == [("112", False), ("113", False)]


def test_a_file_that_is_none_takes_no_other_with_it(home: Settings) -> None:
    case = bank(home)
    case.data("bank/1.xml", camt())
    case.data("bank/2.xml", camt()[:900])
    case.data("bank/3.sta", MT940.replace(":62F:C261030EUR1390,00", ""))
    case.data("bank/4.txt", BAI2.replace("49,320000,5/", "49,320001,5/"))
    case.data("bank/readme.txt", "hello")
    case.run(DAY)
    assert case.query("select count(*) from raw_bank.bank_statements") == [(1,)]
    said = {row[2].split(":")[0]: row[1] for row in case.refused()}
    assert set(said) == {"2.xml", "3.sta", "4.txt", "readme.txt"}
    assert "not whole XML" in said["2.xml"]
    assert "closing balance" in said["3.sta"]
    assert "neither camt.053" in said["readme.txt"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<Document/>", "XML without a statement"),
        (camt().replace("IBAN>", "Nothing>"), "a statement without an account"),
        (camt(entries=_entry("12,50", "CRDT")), "'12,50' is not an amount"),
    ],
)
def test_what_is_missing_in_a_statement_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_statements(text.encode())


def test_an_overdrawn_account_is_below_zero(home: Settings) -> None:
    (statement,) = read_statements(camt(opening="-100.00", closing="740.50").encode())
    assert (statement.opening, statement.closing) == (Decimal("-100.00"), Decimal("740.50"))


def test_an_empty_folder_and_a_wrong_mode_are_explained(home: Settings) -> None:
    (home.sources_dir / "bank").mkdir()
    with pytest.raises(PermanentError, match="there is no file of bank statements"):
        bank(home).run(DAY)
    with pytest.raises(ConfigError, match="a statement that was archived would be removed"):
        _ = bank(home, "entities: {bank_statements: {mode: full}}").source


def test_nothing_is_applied_unless_the_source_says_from_which_confidence(home: Settings) -> None:
    assert "bank_applications" not in bank(home).source.entity_configs
    case = bank(home, "apply_from: 0.97")
    case.data("bank/1.xml", camt())
    assert case.run(DAY).refused == 0, "before the models were built there is nothing to apply"
    assert case.query("select count(*) from raw_bank.bank_applications") == [(0,)]


@pytest.mark.parametrize("value", ["97", "0.2", "sure"])
def test_a_confidence_that_is_none_is_refused_with_its_line(home: Settings, value: str) -> None:
    case = bank(home, f"apply_from: {value}")
    with pytest.raises(ConfigError, match=r"bank.yml:4: apply_from"):
        _ = case.source
