"""What the connector reads, what it says when something is missing, what a system's oddities become."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from receivables.entities import ENTITIES
from receivables.errors import ConfigError, PermanentError
from receivables.settings import Settings
from receivables.sources import check_source
from receivables.sources.systems import SYSTEMS, load_preset, relations
from tests.sources.setup import Case, write_source

BSID = "BUKRS,KUNNR,GJAHR,BELNR,BUZEI,SHKZG,WRBTR,WAERS,BUDAT,BSCHL,ZFBDT,ZBD1T,ZBD2T,ZBD3T,MANDT,CPUDT\n"
BSAD = BSID.replace("MANDT", "AUGDT,AUGBL,MANDT")
OPEN_LINE = "1000,0000000042,2026,0000000007,001,S,100.00,EUR,20260105,01,20260105,14,30,0,800,20260105\n"
NOT_EMPTY = (
    "1000,0000000042,2026,0000000001,001,S,1.00,EUR,20260101,01,20260101,0,0,0,20260102,0000000002,800,\n"
)


def sap(
    home: Settings, lines: str, *, cleared: str = NOT_EMPTY, top: str = "options: {amounts: as_shown}\n"
) -> Case:
    """A SAP source whose company code 1000 is HD-EU."""
    case = write_source(
        home, f"kind: extracts\nsystem: sap\nfolder: sap\ncompanies: {{'1000': HD-EU}}\n{top}", name="sap"
    )
    case.data("sap/BSID.csv", BSID + lines)
    case.data("sap/BSAD.csv", BSAD + cleared)
    case.data("sap/KNA1.csv", "KUNNR,NAME1\n0000000042,Muster AG\n")
    return case


def invoices(case: Case, columns: str = "invoice_id, amount, due_date") -> list[tuple[str, ...]]:
    rows = case.query(
        f"select {columns} from raw_{case.name}.invoices where invoice_id like '%07-001' order by all"
    )
    return [tuple(str(value) for value in row) for row in rows]


# --- what the folder holds ---


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_query_reads_only_known_tables_and_steps(system: str) -> None:
    preset = load_preset(system)
    assert {"customers", "invoices", "receipts", "applications"} <= set(preset.entities)
    for name, query in preset.queries.items():
        assert set(relations(query)) <= {*preset.tables, *preset.queries}, name


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_query_runs_on_empty_tables_and_gives_canonical_columns(home: Settings, system: str) -> None:
    """With the required tables alone, and nothing in them."""
    case = write_source(home, f"kind: extracts\nsystem: {system}\nfolder: empty\n", name="erp")
    for table in load_preset(system).tables.values():
        if table.is_required:
            case.data(f"empty/{table.name.upper()}.csv", ",".join(table.required_columns).upper() + "\n")
    for name, manifest in case.extract().items():
        assert set(manifest.source_columns) <= set(ENTITIES[name].column_names), name
        assert set(ENTITIES[name].required) <= set(manifest.source_columns), name


def test_all_missing_tables_are_named_at_once(home: Settings) -> None:
    case = write_source(home, "kind: extracts\nsystem: sap\nfolder: sap\n", name="sap")
    case.data("sap/KNA1.csv", "KUNNR\n1\n")
    with pytest.raises(PermanentError) as caught:
        case.extract()
    assert "bsid; bsad; tcurx, or set options.amounts: as_shown. The folder holds KNA1.csv" in str(
        caught.value
    )


def test_a_missing_column_is_named_with_its_table(home: Settings) -> None:
    case = sap(home, "")
    case.data("sap/BSID.csv", "BUKRS,KUNNR\n1000,1\n")
    with pytest.raises(PermanentError, match=r"table bsid.*gjahr, belnr, buzei, shkzg, wrbtr, waers, budat"):
        case.extract()


def test_a_missing_folder_is_named(home: Settings) -> None:
    case = write_source(home, "kind: extracts\nsystem: xero\nfolder: nowhere\n", name="xero")
    with pytest.raises(PermanentError, match="nowhere: there is no such folder"):
        case.extract()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("system: sapp", "sap"),
        ("options: {amount: shifted}", "there is no option 'amount'.*did you mean 'amounts'"),
        ("options: {amounts: cents}", "'cents' is none of shifted, as_shown"),
        ("options: {write_off_reasons: 99}", "options.write_off_reasons must be a list"),
        ("tables: {bsit: x.csv}", "there is no table 'bsit'.*did you mean 'bsid'"),
        ("leave_out: [promises]", "sap has no entity 'promises'"),
        ("entities: {disputes: {}}", "sap has no entity 'disputes'"),
        ("entities: {invoices: {mode: incremental}}", "extracts are always read in full"),
    ],
)
def test_a_wrong_setting_is_explained(home: Settings, line: str, said: str) -> None:
    system = "" if line.startswith("system") else "system: sap\n"
    case = write_source(home, f"kind: extracts\n{system}folder: x\n{line}\n", name="sap")
    with pytest.raises(ConfigError, match=said):
        _ = case.source


def test_files_are_found_by_pattern_in_parts_and_as_parquet(home: Settings) -> None:
    """A folder per table, a name around the table's, Parquet with its own types: the same rows."""
    case = sap(
        home, "", top="files: 'ERP_{table}'\ntables: {kna1: masters.csv}\noptions: {amounts: as_shown}\n"
    )
    folder = home.sources_dir / "sap"
    case.data("sap/masters.csv", "KUNNR,NAME1\n0000000042,Muster AG\n")
    case.data("sap/erp_bsid/1.csv", BSID + OPEN_LINE)
    names = BSAD.strip().split(",")
    values = dict(zip(names, NOT_EMPTY.strip().split(","), strict=True))
    table = pa.table({name: [Decimal(value) if name == "WRBTR" else value] for name, value in values.items()})
    pq.write_table(table, folder / "ERP_BSAD.parquet")
    report = case.run()
    assert report.refused == 0
    assert case.query("select count(*), sum(amount) from raw_sap.invoices") == [(2, 101)]


def test_own_queries_replace_the_shipped_ones(home: Settings) -> None:
    case = sap(home, OPEN_LINE, top="queries: own\noptions: {amounts: as_shown}\n")
    case.data("own/customers.sql", "select kunnr as customer_id, upper(name1) as customer_name from kna1")
    case.run()
    assert case.query("select customer_id, customer_name from raw_sap.customers") == [
        ("0000000042", "MUSTER AG")
    ]


def test_an_entity_that_is_left_out_is_not_delivered(home: Settings) -> None:
    case = sap(home, OPEN_LINE, top="leave_out: [exchange_rates, customers]\noptions: {amounts: as_shown}\n")
    assert set(case.extract()) == {"invoices", "receipts", "credit_memos", "applications", "adjustments"}


def test_the_check_names_what_feeds_each_column(home: Settings) -> None:
    sap(home, OPEN_LINE)
    report = check_source(home, "sap")
    assert report.is_ok
    assert {one.entity: one.rows for one in report.entities}["invoices"] == 2


def test_a_broken_row_is_refused_and_takes_nothing_away(home: Settings) -> None:
    """A line that was cut off may be any item: rows that do not arrive on that day are kept."""
    case = sap(home, OPEN_LINE + OPEN_LINE.replace("0000000007", "0000000008"))
    case.run()
    case.data("sap/BSID.csv", BSID + OPEN_LINE + "1000,00000\n")
    case.run(date(2026, 3, 3))
    assert case.query("select count(*) from raw_sap.invoices where _is_removed") == [(0,)]
    assert any("too few columns" in reason for _, reason, *_ in case.refused())


def test_an_amount_that_is_no_number_is_refused_with_what_stands_there(home: Settings) -> None:
    case = sap(home, OPEN_LINE + OPEN_LINE.replace("0000000007", "0000000008").replace("100.00", "1oo.00"))
    case.run()
    assert [row[:2] for row in case.refused()] == [
        ("1000-2026-0000000008-001", "amount: '1oo.00' is not a number")
    ]


# --- SAP ---


@pytest.mark.parametrize(
    ("given", "due"),
    [
        ("20260105,14,30,60", "2026-03-06"),  # the last of the three periods
        ("20260105,14,30,0", "2026-02-04"),  # a period of 0 is none, not due at once
        ("20260105,14,0,0", "2026-01-19"),
        ("20260105,,,", "2026-01-05"),
        ("00000000,10,0,0", "2026-01-15"),  # no baseline: the document date, here that of the posting
    ],
)
def test_the_due_date_is_the_baseline_and_the_last_period(home: Settings, given: str, due: str) -> None:
    case = sap(home, OPEN_LINE.replace("20260105,14,30,0", given))
    case.run()
    assert invoices(case, "due_date") == [(due,)]


def test_tcurx_shifts_the_decimals_and_signs_may_trail(home: Settings) -> None:
    case = sap(home, OPEN_LINE.replace("100.00,EUR", "10.00,JPY"), top="")
    case.data("sap/TCURX.csv", "CURRKEY,CURRDEC\nJPY,0\n")
    case.data(
        "sap/TCURR.csv",
        "KURST,FCURR,TCURR,GDATU,UKURS,FFACT,TFACT\n"
        "M,JPY,EUR,79739898,0.60000,100,1\nM,EUR,GBP,79739898,1.25000-,1,1\nB,EUR,GBP,79739898,9,1,1\n",
    )
    case.run()
    assert invoices(case, "amount") == [("1000.0000",)]
    assert case.query(
        "select cast(rate_date as varchar), from_currency, to_currency, rate, rate_type"
        " from raw_sap.exchange_rates order by from_currency"
    ) == [
        ("2026-01-01", "EUR", "GBP", Decimal("0.8"), "M"),  # indirect: 1 / 1.25
        ("2026-01-01", "JPY", "EUR", Decimal("0.006"), "M"),  # for 100 yen
    ]


def test_a_booking_rate_below_zero_is_quoted_the_other_way_round(home: Settings) -> None:
    """9.00 euro for 10.00 dollars at 1.1107 dollars a euro: the rate is 1 / 1.1107, not 0.90."""
    line = OPEN_LINE.strip().replace("100.00,EUR", "10.00,USD") + ",9.00\n"
    case = sap(home, "")
    case.data("sap/BSID.csv", BSID.strip() + ",DMBTR\n" + line)
    case.data("sap/BKPF.csv", "MANDT,BUKRS,GJAHR,BELNR,KURSF,HWAER\n800,1000,2026,0000000007,1.11070-,EUR\n")
    case.run()
    assert invoices(case, "exchange_rate") == [("0.90033312",)]


def test_leading_zeros_are_part_of_the_customer_number(home: Settings) -> None:
    case = sap(home, OPEN_LINE)
    case.run()
    assert invoices(case, "customer_id, company_id") == [("0000000042", "HD-EU")]


def test_a_later_clearing_changes_no_document(home: Settings) -> None:
    """The row leaves BSID and comes back in BSAD: the invoice is the same, what paid it is new."""
    case = sap(home, OPEN_LINE)
    case.run(date(2026, 1, 31))
    paid = (
        "1000,0000000042,2026,0000000007,001,S,100.00,EUR,20260105,01,20260105,14,30,0,20260203,0000000009,800,20260105\n"
        "1000,0000000042,2026,0000000009,001,H,100.00,EUR,20260203,15,20260203,0,0,0,20260203,0000000009,800,20260203\n"
    )
    case.data("sap/BSID.csv", BSID)
    case.data("sap/BSAD.csv", BSAD + NOT_EMPTY + paid)
    report = {one.entity: one for one in case.run(date(2026, 2, 3)).entities}
    assert (report["invoices"].changed, report["invoices"].removed) == (0, 0)
    assert (report["receipts"].new, report["applications"].new) == (1, 1)


def test_a_reset_clearing_is_noticed(home: Settings) -> None:
    """FBRA: both items are open again; the application is removed from that day."""
    lines = (
        "1000,0000000042,2026,0000000007,001,S,100.00,EUR,20260105,01,20260105,14,30,0,{},800,20260105\n"
        "1000,0000000042,2026,0000000009,001,H,100.00,EUR,20260203,15,20260203,0,0,0,{},800,20260203\n"
    )
    case = sap(home, "", cleared=NOT_EMPTY + lines.format(*["20260203,0000000009"] * 2))
    case.run(date(2026, 2, 3))
    case.data("sap/BSAD.csv", BSAD + NOT_EMPTY)
    case.data("sap/BSID.csv", BSID + lines.replace("{},", ""))
    # The extract is not empty of applications by accident: another clearing is still there.
    case.file.write_text(case.file.read_text() + "entities: {applications: {allow_empty: true}}\n")
    report = {one.entity: one for one in case.run(date(2026, 2, 10)).entities}
    assert (report["applications"].removed, report["invoices"].changed, report["receipts"].changed) == (
        1,
        0,
        0,
    )


def test_doubtful_items_can_be_written_off(home: Settings) -> None:
    """UMSKZ D as a setting: what is moved there in one document is a write-off of the invoice."""
    head = BSID.strip() + ",UMSKZ\n"
    moved = "1000,0000000042,2026,0000000009,002,S,100.00,EUR,20260203,09,20260203,0,0,0,800,20260203,D\n"
    cleared = (
        "1000,0000000042,2026,0000000007,001,S,100.00,EUR,20260105,01,20260105,14,30,0,20260203,0000000009,800,20260105\n"
        "1000,0000000042,2026,0000000009,001,H,100.00,EUR,20260203,17,20260203,0,0,0,20260203,0000000009,800,20260203\n"
    )
    case = sap(home, "", cleared=cleared, top="options: {amounts: as_shown, special_gl: {D: write_off}}\n")
    case.data("sap/BSID.csv", head + moved)
    case.run()
    assert case.query("select adjustment_type, amount, invoice_id from raw_sap.adjustments") == [
        ("write_off", 100, "1000-2026-0000000007-001")
    ]
    assert case.query("select count(*) from raw_sap.invoices") == [(1,)]


# --- the others ---


def test_a_voided_quickbooks_invoice_is_void_and_a_deleted_one_is_gone(home: Settings) -> None:
    case = write_source(
        home, "kind: extracts\nsystem: quickbooks\nfolder: qb\ndefault_company_id: HD-EU\n", name="qb"
    )
    case.data("qb/customer.csv", "id\n1\n")
    case.data("qb/payment.csv", "id,customer_id,transaction_date,total_amount\n9,1,2026-02-01,5\n")
    case.data("qb/payment_line.csv", "payment_id,amount,invoice_id\n9,5,1\n")
    head = "id,customer_id,transaction_date,total_amount,private_note,currency_id,_fivetran_deleted\n"
    case.data("qb/invoice.csv", head + "1,1,2026-01-01,10,,EUR,FALSE\n2,1,2026-01-01,20,,EUR,FALSE\n")
    case.run(date(2026, 2, 1))
    case.data("qb/invoice.csv", head + "1,1,2026-01-01,0,Voided,EUR,FALSE\n2,1,2026-01-01,20,,EUR,TRUE\n")
    case.run(date(2026, 2, 2))
    assert case.query(
        "select invoice_id, status, _is_removed from raw_qb.invoices where _version = 2 order by all"
    ) == [("1", "void", False), ("2", "posted", True)]


def test_stripe_amounts_are_in_the_currencys_smallest_unit(home: Settings) -> None:
    """1000 is 10 dollars, 1000 yen and 1 dinar; ISK is written with two decimals that it does not have."""
    case = write_source(
        home, "kind: extracts\nsystem: stripe\nfolder: stripe\ndefault_company_id: HD-EU\n", name="stripe"
    )
    case.data("stripe/customer.csv", "id\nc\n")
    rows = "".join(f"{one},c,{one},1000,open,2026-01-05 10:00:00\n" for one in ("usd", "jpy", "kwd", "isk"))
    case.data("stripe/invoice.csv", "id,customer_id,currency,total,status,created\n" + rows)
    case.run()
    found = dict(case.query("select currency_code, amount from raw_stripe.invoices"))
    assert found == {"USD": 10, "JPY": 1000, "KWD": 1, "ISK": 10}


def test_an_uncollectible_stripe_invoice_was_owed_until_it_was_written_off(home: Settings) -> None:
    case = write_source(
        home, "kind: extracts\nsystem: stripe\nfolder: stripe\ndefault_company_id: HD-EU\n", name="stripe"
    )
    case.data("stripe/customer.csv", "id\nc\n")
    case.data(
        "stripe/invoice.csv",
        "id,customer_id,currency,total,status,created,amount_remaining,status_transitions_marked_uncollectible_at\n"
        "i,c,usd,1000,uncollectible,2026-01-05 10:00:00,900,2026-02-20 10:00:00\n",
    )
    case.run()
    assert case.query("select status, amount from raw_stripe.invoices") == [("posted", 10)]
    assert case.query(
        "select adjustment_type, amount, invoice_id, cast(adjustment_date as varchar)"
        " from raw_stripe.adjustments"
    ) == [("write_off", 9, "i", "2026-02-20")]


def test_a_netsuite_deposit_pays_the_invoice_that_its_application_names(home: Settings) -> None:
    case = write_source(
        home, "kind: extracts\nsystem: netsuite\nfolder: ns\ndefault_company_id: HD-EU\n", name="ns"
    )
    case.data("ns/customer.csv", "id\n1\n")
    case.data("ns/currency.csv", "id,symbol\n1,EUR\n")
    case.data(
        "ns/transaction.csv",
        "id,type,trandate,entity,currency,foreigntotal\n1,CustInvc,2026-02-01,1,1,100\n"
        "2,CustDep,2026-01-10,1,1,-60\n3,DepAppl,2026-02-03,1,1,-60\n",
    )
    case.data(
        "ns/previous_transaction_line_link.csv",
        "previousdoc,nextdoc,foreignamount\n2,3,60\n1,3,60\n",
    )
    case.run()
    assert case.query("select receipt_id, amount from raw_ns.receipts") == [("2", 60)]
    assert case.query(
        "select credit_id, invoice_id, amount, cast(applied_on as varchar) from raw_ns.applications"
    ) == [("2", "1", 60, "2026-02-03")]
    case.file.write_text(case.file.read_text() + "options: {deposits: leave_out}\n")
    case.run(date(2026, 3, 3))
    newest = "qualify _version = max(_version) over (partition by receipt_id)"
    assert case.query(f"select receipt_id, _is_removed from raw_ns.receipts {newest} order by all") == [
        ("2", True),
        ("3", False),
    ]
