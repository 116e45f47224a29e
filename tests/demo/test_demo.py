"""The demo company: the same on every way to a day, true to its ledger, and as it was calibrated."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from receivables.demo import advance, create, current_day
from receivables.demo.calibration import CALIBRATION_FILE, load_calibration
from receivables.errors import PermanentError
from tests.demo.figures import measure, minor, open_items, receivable_balances

START = date(2024, 7, 1)
SMALL = {"invoices": 1_500, "pace_days": 250}
YEAR_END = 184  # days; what is accrued at the month end is booked after it

# What may change after a row was recorded; everything else of a row stays as it was.
MAY_CHANGE = {
    "sales_invoice": {"doc_status", "void_date", "posted_at", "posting_date", "sent_at"},
    "cash_receipt": {"doc_status", "void_date", "void_reason"},
    "ar_adjustment": {"doc_status", "void_date"},
    "dispute": {"closed_on", "outcome"},
    "sales_order_open": {"open_amount", "order_status"},
    "gl_balance": {"balance"},
}
KEYS = {
    "company": 1,
    "customer": 1,
    "sales_invoice": 1,
    "invoice_schedule": 2,
    "credit_note": 1,
    "cash_receipt": 1,
    "settlement": 1,
    "ar_adjustment": 1,
    "dispute": 1,
    "promise": 1,
    "dunning_event": 1,
    "sales_order_open": 1,
}
UNPREFIXED_KEYS = {
    "credit_limit": ("customer_code", "valid_from"),
    "fx_rate": ("rate_date", "from_ccy", "to_ccy", "rate_type"),
    "gl_balance": ("company_code", "balance_date", "account"),
}
ERP_TABLES = (*KEYS, *UNPREFIXED_KEYS)


def last_day(days: int) -> date:
    return START + timedelta(days=days - 1)


def opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    return connection


def fingerprint(path: Path) -> dict[str, str]:
    """One hash per table, over its rows in the order of their text."""
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: hashlib.sha256(
                "\n".join(sorted(repr(row) for row in connection.execute(f"select * from {table}"))).encode()
            ).hexdigest()
            for table in (*ERP_TABLES, "demo_meta")
        }


def rows_by_key(path: Path, table: str) -> dict[tuple[object, ...], dict[str, object]]:
    with closing(opened(path)) as connection:
        rows = [dict(row) for row in connection.execute(f"select * from {table}")]
    names = UNPREFIXED_KEYS.get(table) or tuple(rows[0])[: KEYS[table]]
    return {tuple(row[name] for name in names): row for row in rows}


@pytest.fixture(scope="session")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The company that `receivables demo-data` makes by default."""
    path = tmp_path_factory.mktemp("standard") / "erp.db"
    create(path)
    return path


@pytest.fixture
def books(standard: Path) -> Iterator[sqlite3.Connection]:
    with closing(opened(standard)) as connection:
        yield connection


@pytest.fixture(scope="session")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company where what is rare elsewhere happens all the time, and meets."""
    often = {
        "bounced": 0.4,
        "short_payment": 0.5,
        "overpayment": 0.3,
        "instalments": 0.6,
        "late_invoice": 0.4,
    }
    often |= {"unearned_discount": 0.3, "advance": 0.2, "return_after_payment": 0.3, "credit_journal": 0.4}
    often |= {"late_receipt": 0.5, "void_invoice": 0.2, "discount_customers_of_early": 1.0}
    path = tmp_path_factory.mktemp("troubled") / "erp.db"
    with pytest.MonkeyPatch.context() as patch:
        for name, chance in often.items():
            patch.setitem(load_calibration().choices, name, chance)
        create(path, invoices=2_000, days=200)
    return path


@pytest.fixture(params=["standard", "troubled"])
def any_books(request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    with closing(opened(request.getfixturevalue(request.param))) as connection:
        yield connection


@pytest.fixture(scope="session")
def on_two_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One small company at the end of a year, and two months later."""
    folder = tmp_path_factory.mktemp("two_days")
    for days in (YEAR_END, 250):
        create(folder / f"{days}.db", days=days, **SMALL)
    return folder / f"{YEAR_END}.db", folder / "250.db"


# One company, whichever way it came to its day


def test_day_by_day_and_in_one_go_give_the_same_rows(tmp_path: Path) -> None:
    create(tmp_path / "one_go.db", days=250, **SMALL)
    create(tmp_path / "daily.db", days=200, **SMALL)
    for days in range(201, 246):
        assert advance(tmp_path / "daily.db", last_day(days)) == 1
    assert advance(tmp_path / "daily.db", last_day(250)) == 5
    assert fingerprint(tmp_path / "daily.db") == fingerprint(tmp_path / "one_go.db")


def test_the_first_day_can_be_followed_by_every_other(tmp_path: Path) -> None:
    create(tmp_path / "one_go.db", days=120, **SMALL)
    create(tmp_path / "from_day_one.db", days=1, **SMALL)
    advance(tmp_path / "from_day_one.db", last_day(120))
    assert fingerprint(tmp_path / "from_day_one.db") == fingerprint(tmp_path / "one_go.db")


def test_the_same_seed_gives_the_same_company_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        create(tmp_path / name, seed=seed, days=60, **SMALL)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    assert fingerprint(tmp_path / "a")["sales_invoice"] != fingerprint(tmp_path / "c")["sales_invoice"]


def test_another_process_gives_the_same_company(tmp_path: Path) -> None:
    create(tmp_path / "here.db", days=60, invoices=400)
    command = [
        "-m",
        "receivables.demo",
        "--days",
        "40",
        "--invoices",
        "400",
        "--path",
        str(tmp_path / "x.db"),
    ]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    create(tmp_path / "here.db", days=40, invoices=400)
    assert fingerprint(tmp_path / "x.db") == fingerprint(tmp_path / "here.db")


def test_the_company_writes_the_invoices_it_was_asked_for(books: sqlite3.Connection) -> None:
    (written,) = books.execute("select count(*) from sales_invoice").fetchone()
    assert written == pytest.approx(6_000, rel=0.02)


# What changes from one day to a later one


@pytest.mark.parametrize("table", ERP_TABLES)
def test_no_row_is_removed_and_only_facts_of_status_change(
    on_two_days: tuple[Path, Path], table: str
) -> None:
    earlier, later = (rows_by_key(path, table) for path in on_two_days)
    assert earlier.keys() <= later.keys()
    for key, row in earlier.items():
        changed = {name for name in row if row[name] != later[key][name]}
        assert changed - {"updated_at"} <= MAY_CHANGE.get(table, set()), (table, key)
        assert bool(changed) == (later[key]["updated_at"] > f"{last_day(YEAR_END)} 24"), (table, key)


@pytest.mark.parametrize("table", ERP_TABLES)
def test_rows_by_updated_at_are_all_that_is_new(on_two_days: tuple[Path, Path], table: str) -> None:
    earlier, later = (rows_by_key(path, table) for path in on_two_days)
    since = {key: row for key, row in later.items() if row["updated_at"] > f"{last_day(YEAR_END)} 24"}
    assert {**earlier, **since} == later


def test_past_balances_change_only_where_something_was_booked_back(on_two_days: tuple[Path, Path]) -> None:
    earlier, later = (rows_by_key(path, "gl_balance") for path in on_two_days)
    changed = {key[1] for key in earlier if earlier[key]["balance"] != later[key]["balance"]}
    with closing(opened(on_two_days[1])) as connection:
        booked_back = [
            row[0]
            for row in connection.execute(
                """
                select doc_date from sales_invoice
                where posting_date > ? and doc_date <= ? union all
                select doc_date from credit_note where posting_date > ? and doc_date <= ? union all
                select receipt_date from cash_receipt where posting_date > ? and receipt_date <= ? union all
                select adj_date from ar_adjustment where posting_date > ? and adj_date <= ?
                """,
                [str(last_day(YEAR_END))] * 8,
            )
        ]
    assert booked_back
    assert changed
    assert min(changed) >= min(booked_back)


# The ledger


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_general_ledger_is_the_documents_to_the_cent(tmp_path: Path, seed: int) -> None:
    create(tmp_path / "erp.db", seed=seed, invoices=2_000, days=300)
    with closing(opened(tmp_path / "erp.db")) as connection:
        assert _ledger(connection) == receivable_balances(connection)


def test_a_company_where_nearly_everything_goes_wrong_still_adds_up(troubled: Path) -> None:
    with closing(opened(troubled)) as connection:
        assert _ledger(connection) == receivable_balances(connection)
        _assert_no_item_changes_its_sign(connection)
        _assert_instalments_hold(connection)
        written_off = connection.execute("select amount from ar_adjustment where reason = 'small_difference'")
        assert {minor(row[0]) <= 3_000 for row in written_off} == {True}


def test_the_general_ledger_ties_out_by_default(books: sqlite3.Connection) -> None:
    assert _ledger(books) == receivable_balances(books)


@pytest.mark.parametrize("days", [31, 32, 62, 95, 123])
def test_the_general_ledger_of_a_day_knows_what_that_day_knew(tmp_path: Path, days: int) -> None:
    create(tmp_path / "erp.db", days=days, **SMALL)
    with closing(opened(tmp_path / "erp.db")) as connection:
        assert _ledger(connection) == receivable_balances(connection)


def _ledger(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute("select company_code, balance_date, balance from gl_balance")
    return {(company, day): minor(balance) for company, day, balance in rows}


def test_the_general_ledger_has_every_calendar_day(books: sqlite3.Connection) -> None:
    expected = {str(START + timedelta(days=number)) for number in range(730)}
    for company in ("HD-CN", "HD-EU"):
        days = books.execute("select balance_date from gl_balance where company_code = ?", [company])
        assert {row[0] for row in days} == expected


def test_no_invoice_is_overpaid_and_no_credit_overused_on_any_day(books: sqlite3.Connection) -> None:
    _assert_no_item_changes_its_sign(books)


def _assert_no_item_changes_its_sign(books: sqlite3.Connection) -> None:
    for (kind, number), item in open_items(books).items():
        by_day = dict(item.open_amounts())
        sign = 1 if kind in ("INV", "DEBIT") else -1
        assert all(sign * amount >= 0 for amount in by_day.values()), (kind, number)


def test_instalments_add_up_and_none_is_overpaid(books: sqlite3.Connection) -> None:
    assert {len(amounts) for amounts in _assert_instalments_hold(books).values()} == {2, 3, 4}


def _assert_instalments_hold(books: sqlite3.Connection) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = defaultdict(list)
    for number, amount in books.execute(
        "select doc_no, amount from invoice_schedule order by doc_no, line_no"
    ):
        parts[number].append(minor(amount))
    named: dict[tuple[str, int], int] = defaultdict(int)
    for number, line, amount in books.execute(
        "select invoice_no, schedule_line, settlement.amount from settlement"
        " left join cash_receipt on receipt_no = credit_no"
        " where schedule_line is not null and void_date is null"
    ):
        named[number, line] += minor(amount)
    assert named
    for number, amounts in parts.items():
        (gross,) = books.execute(
            "select gross_amount from sales_invoice where doc_no = ?", [number]
        ).fetchone()
        assert sum(amounts) == minor(gross)
    assert all(total <= parts[number][line - 1] for (number, line), total in named.items())
    return parts


def test_instalments_are_in_the_companys_own_currency(books: sqlite3.Connection) -> None:
    query = "select distinct fx_rate from sales_invoice where doc_no in (select doc_no from invoice_schedule)"
    assert [row[0] for row in books.execute(query)] == ["1.000000"]


# References and days


@pytest.mark.parametrize(
    ("what", "query"),
    [
        (
            "a settlement without its invoice",
            "select * from settlement where invoice_no not in"
            " (select doc_no from sales_invoice where doc_status = 'POSTED')",
        ),
        (
            "a settlement without its credit",
            "select * from settlement where credit_no not in (select receipt_no from cash_receipt union all"
            " select doc_no from credit_note union all"
            " select adj_no from ar_adjustment where adj_type = 'JCR')",
        ),
        (
            "a settlement across customers or currencies",
            "select * from settlement join sales_invoice on doc_no = invoice_no"
            " join (select receipt_no as number,"
            " customer_code as payer, currency as paid_in from cash_receipt union all select doc_no,"
            " customer_code, currency from credit_note union all select adj_no, customer_code, currency"
            " from ar_adjustment) on number = credit_no where payer <> customer_code or paid_in <> currency",
        ),
        (
            "a settlement recorded on another day than it says",
            "select * from settlement where settled_on <> date(created_at)",
        ),
        (
            "a settlement before its invoice was posted",
            "select * from settlement join sales_invoice on doc_no = invoice_no"
            " where settled_on < date(posted_at)",
        ),
        (
            "a receipt for an invoice that was there, dated before it",
            "select * from settlement join cash_receipt on receipt_no = credit_no"
            " join sales_invoice on doc_no = invoice_no"
            " where settled_on = cash_receipt.posting_date and receipt_date < doc_date",
        ),
        (
            "a settlement of a receipt that had bounced",
            "select * from settlement join cash_receipt on receipt_no = credit_no"
            " where settled_on >= void_date",
        ),
        (
            "a document dated after it was booked",
            "select doc_no from sales_invoice where doc_date > posting_date union all"
            " select doc_no from credit_note where doc_date > posting_date union all"
            " select receipt_no from cash_receipt where receipt_date > posting_date union all"
            " select adj_no from ar_adjustment where adj_date > posting_date",
        ),
        (
            "a document dated before the first day",
            "select doc_no from sales_invoice where doc_date < '2024-07-01' union all"
            " select receipt_no from cash_receipt where receipt_date < '2024-07-01' union all"
            " select doc_no from credit_note where doc_date < '2024-07-01' union all"
            " select adj_no from ar_adjustment where adj_date < '2024-07-01'",
        ),
        (
            "a void on another day than it was recorded",
            "select doc_no from sales_invoice where void_date <> date(updated_at) union all"
            " select receipt_no from cash_receipt where void_date <> date(updated_at) union all"
            " select adj_no from ar_adjustment where void_date <> date(updated_at)",
        ),
        (
            "a void without its day, or a day without a void",
            "select doc_no from sales_invoice where (doc_status = 'VOID') <> (void_date is not null)"
            " union all"
            " select receipt_no from cash_receipt where (doc_status = 'VOID') <> (void_date is not null)",
        ),
        (
            "a draft that looks posted",
            "select * from sales_invoice where (doc_status in ('DRAFT', 'CANCELLED')) <> (posted_at is null)"
            " or (posted_at is null) <> (posting_date is null)",
        ),
        (
            "a draft posted on another day than it is dated",
            "select * from sales_invoice where posted_at > created_at and date(posted_at) <> doc_date",
        ),
        (
            "a dispute closed before it was opened",
            "select * from dispute where closed_on < opened_on or (closed_on is null) <> (outcome is null)",
        ),
        ("a promise for a past day", "select * from promise where promised_date < promised_on"),
        (
            "a credit note that names its invoice and is not set against it in full on its day",
            "select * from credit_note where invoice_no is not null and not exists (select * from settlement"
            " where credit_no = doc_no and settlement.invoice_no = credit_note.invoice_no"
            " and amount = gross_amount and settled_on = doc_date)",
        ),
        (
            "a refund that names no credit",
            "select * from ar_adjustment where adj_type = 'RFND' and credit_no not in"
            " (select receipt_no from cash_receipt union all select doc_no from credit_note)",
        ),
        (
            "an updated_at before created_at",
            " union all ".join(
                f"select 1 from {table} where updated_at < created_at" for table in ERP_TABLES
            ),
        ),
        (
            "a parent that is no customer, or of another company",
            "select * from customer as child where group_parent_code is not null"
            " and not exists (select * from"
            " customer as parent where parent.code = child.group_parent_code"
            " and parent.company_code = child.company_code)",
        ),
        ("two customers of one name", "select name from customer group by name having count(*) > 1"),
        (
            "a document before its customer",
            "select * from sales_invoice join customer on code = customer_code"
            " where sales_invoice.created_at < date(customer.created_at)",
        ),
    ],
)
def test_there_is_not(any_books: sqlite3.Connection, what: str, query: str) -> None:
    assert [tuple(row) for row in any_books.execute(query)] == [], what


def test_a_row_is_recorded_on_the_same_day_wherever_one_asks(books: sqlite3.Connection) -> None:
    moments = {
        row[0] for table in ERP_TABLES for row in books.execute(f"select created_at from {table} union"
        f" select updated_at from {table}")
    }  # fmt: skip
    for moment in moments:
        in_utc = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo("UTC"))
        for zone in ("Asia/Shanghai", "Europe/Berlin"):
            assert in_utc.astimezone(ZoneInfo(zone)).date() == in_utc.date(), (moment, zone)


def test_amounts_are_text_with_two_decimals(books: sqlite3.Connection) -> None:
    amounts = {
        "sales_invoice": ("gross_amount", "tax_amount"),
        "invoice_schedule": ("amount",),
        "credit_note": ("gross_amount", "tax_amount"),
        "cash_receipt": ("amount",),
        "settlement": ("amount", "discount_amount"),
        "ar_adjustment": ("amount",),
        "dispute": ("amount",),
        "promise": ("amount",),
        "credit_limit": ("limit_amount",),
        "sales_order_open": ("order_amount", "open_amount"),
    }
    for table, columns in amounts.items():
        for column in columns:
            for (value,) in books.execute(f"select {column} from {table}"):
                assert re.fullmatch(r"\d+\.\d\d", value), (table, column, value)


def test_documents_are_booked_at_the_last_rate_published_by_their_date(any_books: sqlite3.Connection) -> None:
    rates = defaultdict(dict)
    for day, source, target, rate in any_books.execute(
        "select rate_date, from_ccy, to_ccy, rate from fx_rate"
    ):
        rates[source, target][day] = rate
    assert set(rates) == {("EUR", "CNY"), ("USD", "CNY"), ("CNY", "EUR"), ("USD", "EUR")}
    target = {"HD-CN": "CNY", "HD-EU": "EUR"}
    for query in (
        "select company_code, currency, doc_date, fx_rate from sales_invoice where created_at = posted_at",
        "select company_code, currency, receipt_date, fx_rate from cash_receipt",
        "select company_code, currency, doc_date, fx_rate from credit_note",
        "select company_code, currency, adj_date, fx_rate from ar_adjustment where adj_type like 'J%'",
    ):
        for company, currency, day, rate in any_books.execute(query):
            if currency == target[company]:
                assert rate == "1.000000"
                continue
            published = rates[currency, target[company]]
            assert rate == published[max(known for known in published if known <= day)]


# What happens in the company, and how often


@pytest.mark.parametrize(
    ("query", "at_least"),
    [
        ("select count(*) from sales_invoice where doc_type = 'DM'", 20),
        ("select count(*) from sales_invoice where posted_at > created_at", 50),
        ("select count(*) from sales_invoice where doc_status = 'CANCELLED'", 5),
        ("select count(*) from sales_invoice where doc_status = 'VOID'", 20),
        ("select count(*) from sales_invoice where replaces_doc_no is not null", 15),
        ("select count(*) from sales_invoice where posting_date > doc_date", 80),
        ("select count(*) from sales_invoice where substr(posting_date, 1, 7) > substr(doc_date, 1, 7)", 20),
        ("select count(*) from settlement where discount_amount <> '0.00'", 80),
        ("select count(distinct doc_no) from invoice_schedule", 60),
        ("select count(*) from settlement where schedule_line is not null", 60),
        ("select count(*) from credit_note where invoice_no is null", 50),
        ("select count(*) from credit_note where invoice_no is not null", 80),
        ("select count(*) from cash_receipt where doc_status = 'VOID'", 12),
        ("select count(*) from cash_receipt where posting_date > receipt_date", 80),
        ("select count(*) from settlement join cash_receipt on receipt_no = credit_no"
         " where settled_on > posting_date", 30),
        ("select count(*) from settlement join cash_receipt on receipt_no = credit_no"
         " join sales_invoice on doc_no = invoice_no where receipt_date < doc_date", 30),
        ("select count(*) from (select credit_no from settlement where credit_kind = 'RCPT' group by 1"
         " having count(distinct invoice_no) > 3)", 80),
        ("select count(*) from ar_adjustment where adj_type = 'WOFF' and reason = 'bad_debt'", 5),
        ("select count(*) from ar_adjustment where adj_type = 'WOFF' and reason = 'small_difference'", 30),
        ("select count(*) from ar_adjustment where adj_type = 'DISC'", 8),
        ("select count(*) from ar_adjustment where adj_type = 'RFND'", 8),
        ("select count(*) from ar_adjustment where adj_type = 'JCR'", 3),
        ("select count(*) from ar_adjustment where adj_type = 'JDR' and doc_status = 'VOID'", 20),
        ("select count(*) from settlement where credit_kind = 'JNL'", 3),
        ("select count(*) from dispute where closed_on is null", 10),
        ("select count(*) from dispute where closed_on is not null", 900),
        ("select count(*) from promise", 200),
        ("select count(distinct stage) from dunning_event", 5),
        ("select count(*) from sales_order_open where order_status = 'OPEN'", 10),
        ("select count(*) from customer where group_parent_code is not null", 8),
        ("select count(*) from customer where name <> name_en", 40),
        ("select count(*) from customer where language = 'en'", 30),
        ("select count(*) from customer where credit_limit is null", 2),
        ("select count(*) - count(distinct customer_code) from credit_limit", 50),
        ("select count(distinct company_code || currency) from sales_invoice", 6),
    ],
)  # fmt: skip
def test_enough_of_everything_happens(books: sqlite3.Connection, query: str, at_least: int) -> None:
    assert books.execute(query).fetchone()[0] >= at_least


def test_the_company_is_as_it_was_calibrated(books: sqlite3.Connection) -> None:
    found = measure(books)
    figures = load_calibration().figures
    lateness, disputes, amount = figures["lateness"], figures["disputes"], figures["invoice_amount"]
    payments = figures["payments_per_invoice"]["shares"]
    expected = {
        "amount_mu": (amount["mu"], 0.1),
        "amount_sigma": (amount["sigma"], 0.08),
        "late_share": (lateness["late_share"], 0.06),
        "on_due_day_share": (lateness["on_due_day_share"], 0.05),
        "early_share": (lateness["early_share"], 0.06),
        "late_share_undisputed": (disputes["late_share_undisputed"], 0.07),
        "late_share_disputed": (disputes["late_share_disputed"], 0.16),
        **{f"payments_{count}": (payments[str(count)], 0.015) for count in (1, 2, 3)},
        "disputed_share": (disputes["share"], 0.03),
        "customer_wins_share": (disputes["customer_wins_share"], 0.04),
        "invoices_per_receipt": (figures["invoices_per_receipt"]["mean"], 0.35),
        "top_fifth_share": (figures["concentration"]["top_fifth_share"], 0.06),
        "multi_currency_share": (figures["multi_currency_customers"]["share"], 0.07),
        **{
            f"issued_on_{day}": (value, 0.04)
            for day, value in enumerate(figures["weekday_invoices"]["shares"])
        },
        **{
            f"paid_on_{day}": (value, 0.06) for day, value in enumerate(figures["weekday_payments"]["shares"])
        },
        **{f"month_{month}": (value, 0.12) for month, value in figures["month_seasonality"]["index"].items()},
    }
    off = {
        name: (found[name], *bounds)
        for name, bounds in expected.items()
        if abs(found[name] - bounds[0]) > bounds[1]
    }
    assert off == {}
    for level, (low, high) in lateness["days_late_quantiles"].items():
        assert low - 4 <= found[f"days_late_{float(level)}"] <= high + 4, level


def test_the_calibration_file_explains_every_figure() -> None:
    content = CALIBRATION_FILE.read_text(encoding="utf-8")
    assert "NaN" not in content
    for name, figure in load_calibration().figures.items():
        assert figure["what"], name
        assert figure["source"], name


# The file


def test_a_foreign_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the only copy")
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("create table ledger (amount text)")
    for name in ("notes.txt", "other.db"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(PermanentError, match="no demo company"):
            create(tmp_path / name, days=2)
        assert (tmp_path / name).read_bytes() == before


def test_a_company_cannot_go_back_in_time(tmp_path: Path) -> None:
    create(tmp_path / "erp.db", days=10, invoices=100)
    with pytest.raises(PermanentError, match="cannot go back"):
        advance(tmp_path / "erp.db", last_day(9))
    assert advance(tmp_path / "erp.db", last_day(10)) == 0
    assert current_day(tmp_path / "erp.db") == last_day(10)


def test_moving_a_company_that_does_not_exist_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="demo-data"):
        advance(tmp_path / "erp.db", last_day(9))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_move_leaves_the_company_as_it_was(tmp_path: Path) -> None:
    create(tmp_path / "erp.db", days=10, invoices=100)
    before = fingerprint(tmp_path / "erp.db")
    with pytest.raises(KeyboardInterrupt):
        advance(tmp_path / "erp.db", last_day(30), progress=_interrupt_on_day_5)
    assert fingerprint(tmp_path / "erp.db") == before


def test_an_interrupted_creation_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "erp.db", days=10, invoices=100, progress=_interrupt_on_day_5)
    assert list(tmp_path.iterdir()) == []


def _interrupt_on_day_5(done: int, total: int) -> None:
    if done == 5:
        raise KeyboardInterrupt


@pytest.mark.parametrize("wrong", [{"invoices": 0}, {"days": 0}, {"customers": -1}, {"pace_days": -3}])
def test_a_company_of_nothing_is_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(PermanentError, match="below 1"):
        create(tmp_path / "erp.db", **wrong)


def test_the_command_makes_a_company_and_moves_it_forward(tmp_path: Path) -> None:
    path = tmp_path / "erp.db"
    command = [
        sys.executable,
        "-m",
        "receivables.demo",
        "--path",
        str(path),
        "--days",
        "10",
        "--invoices",
        "100",
    ]
    subprocess.run([*command, "--to", "2024-07-15"], check=True, capture_output=True)
    assert current_day(path) == date(2024, 7, 15)
    back = subprocess.run([*command, "--to", "2024-07-01"], check=False, capture_output=True, text=True)
    assert back.returncode == 1
    assert "cannot go back" in back.stderr
