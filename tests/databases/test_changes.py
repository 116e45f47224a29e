"""What is cancelled, undone or deleted in ERPNext and Odoo reaches raw on the next day; versions differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from receivables import demo
from receivables.errors import ConfigError, PermanentError
from receivables.extract import extract
from receivables.settings import Settings
from receivables.sources import check_source, load_source
from tests.databases import erpnext, odoo
from tests.databases.company import Company, read_company
from tests.databases.writing import fill_mysql, fill_postgres
from tests.servers import MariaDb, Postgres
from tests.sources.setup import Case, write_source

pytestmark = pytest.mark.xdist_group("databases")


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """Sixty days of the demo company."""
    path = tmp_path_factory.mktemp("small") / "erp.sqlite"
    demo.create(path, invoices=300, days=60)
    return read_company(path)


@dataclass(frozen=True)
class System:
    """One installation: its source, and a way to change it."""

    case: Case
    company: Company
    execute: Callable[..., None]

    @property
    def day(self) -> date:
        return max(row["balance_date"] for row in self.company["gl_balance"])

    def settled(self, count: int = 1) -> dict[str, Any]:
        """A settlement by a receipt that holds and settles this many invoices."""
        by_credit = self.company.settlements_by("credit_no")
        posted = {row["receipt_no"] for row in self.company["cash_receipt"] if row["doc_status"] == "POSTED"}
        return next(rows[0] for number, rows in by_credit.items() if number in posted and len(rows) == count)

    def kept_match(self) -> int:
        """A partial reconcile of a payment with an invoice that no test removes."""
        touched = "('SI1240000002', 'SI1240000003', 'SI1240000004')"
        ((key,),) = self.case.query(
            "select min(cast(application_id as integer)) from raw_erp.applications"
            " where credit_type = 'receipt' and invoice_id not in ("
            f" select invoice_id from raw_erp.invoices where invoice_number in {touched})"
        )
        return int(key)

    def reload(self) -> dict[str, tuple[int, int, int]]:
        """New, changed and removed rows of the next day, of the entities that had any."""
        report = self.case.run(self.day + timedelta(days=1))
        return {
            one.entity: (one.new, one.changed, one.removed)
            for one in report.entities
            if one.new or one.changed or one.removed
        }

    def key(self, entity: str, condition: str) -> str:
        return str(self.case.query(f"select min(_row_key) from raw_erp.{entity} where {condition}")[0][0])

    def last(self, entity: str, key: str, columns: str) -> tuple[Any, ...]:
        rows = self.case.query(
            f"select {columns} from raw_erp.{entity} where _row_key = '{key}' order by _version desc limit 1"
        )
        return rows[0]


@pytest.fixture
def site(
    mariadb: MariaDb, home: Settings, company: Company, monkeypatch: pytest.MonkeyPatch
) -> Iterator[System]:
    """An ERPNext site on MariaDB, loaded once."""
    rows = erpnext.Site(company, prefix="HD").rows
    fill_mysql(mariadb, "changing", erpnext.statements("mysql"), rows)
    monkeypatch.setenv("SITE_URL", mariadb.url("changing"))
    case = write_source(
        home, f'kind: erpnext\nconnection: {{mysql: "${{SITE_URL}}"}}\ntimezone: {erpnext.ZONE}\n'
    )

    def execute(*statements: str) -> None:
        mariadb.execute("set session sql_mode = 'ANSI_QUOTES'", *statements, database="changing")

    yield System(case, company, execute)
    mariadb.execute("drop database changing")


@pytest.fixture
def books(
    postgres: Postgres, home: Settings, company: Company, monkeypatch: pytest.MonkeyPatch
) -> Iterator[System]:
    """An Odoo, loaded once."""
    rows = odoo.Books(company, own="HD", prefix="HD").rows
    fill_postgres(postgres, "changing", odoo.statements(), rows)
    monkeypatch.setenv("ODOO_URL", postgres.url("changing"))
    case = write_source(
        home, 'kind: odoo\nconnection: {postgresql: "${ODOO_URL}"}\ntimezone: Asia/Shanghai\n'
    )

    def execute(*statements: str) -> None:
        postgres.execute(*statements, database="changing")

    yield System(case, company, execute)
    postgres.execute("drop database changing with (force)")


def discounts(system: System, entity: str, settlements: list[dict[str, Any]]) -> list[int]:
    """What the extract says was kept of each settlement's invoice."""
    extract(system.case.settings, system.case.source, entity, system.day, "discounts")
    folder = system.case.settings.landing / system.case.name / entity / "discounts"
    rows = [row for part in folder.glob("part-*.parquet") for row in pq.read_table(part).to_pylist()]
    found = []
    for settlement in settlements:
        whole = settlement["amount"] + settlement["discount_amount"]
        (row,) = [row for row in rows if row["amount"] + (row["discount_amount"] or 0) == whole]
        found.append(int(row["discount_amount"] or 0))
    return found


def own_figure(system: System, run: str) -> dict[str, Any]:
    """What the system says is open, by company."""
    path: Path = system.case.file
    text = path.read_text(encoding="utf-8")
    if "gl_balances" not in text:
        path.write_text(f"{text}entities: {{gl_balances: {{}}}}\n", encoding="utf-8")
    extract(system.case.settings, system.case.source, "gl_balances", system.day, run)
    folder = system.case.settings.landing / system.case.name / "gl_balances" / run
    rows = [row for part in folder.glob("part-*.parquet") for row in pq.read_table(part).to_pylist()]
    assert {row["balance_date"] for row in rows} <= {system.day}
    return {row["company_id"]: row["balance_amount"] for row in rows}


# --- ERPNext ---


def test_a_cancelled_payment_entry_is_void_and_what_it_settled_stays_known(site: System) -> None:
    site.case.run(site.day)
    payment, moment = site.settled()["credit_no"], f"{site.day + timedelta(days=1)} 10:00:00"
    site.execute(
        f"""update "tabPayment Entry" set docstatus = 2, modified = '{moment}' where name = '{payment}'""",
        f"""insert into "tabPayment Ledger Entry" (
            name, creation, modified, posting_date, account_type, party_type, party, voucher_type, voucher_no,
            against_voucher_type, against_voucher_no, account_currency, amount_in_account_currency, delinked
        ) select concat(name, '-r'), '{moment}', '{moment}', posting_date, account_type, party_type, party,
            voucher_type, voucher_no, against_voucher_type, against_voucher_no, account_currency,
            -amount_in_account_currency, 1
        from "tabPayment Ledger Entry" where voucher_no = '{payment}'""",
        f"""update "tabPayment Ledger Entry" set delinked = 1, modified = '{moment}'
        where voucher_no = '{payment}' and name not like '%-r'""",
    )
    changes = site.reload()
    assert changes["receipts"] == (0, 1, 0)
    assert site.last("receipts", payment, "status, voided_on") == ("void", site.day + timedelta(days=1))
    assert changes.get("applications", (0, 0, 0))[2] == 0, "they end with their receipt, not by themselves"


def test_an_unlinked_payment_is_no_longer_applied(site: System) -> None:
    site.case.run(site.day)
    one = site.settled()
    site.execute(
        f"""update "tabPayment Ledger Entry" set delinked = 1
        where voucher_no = '{one["credit_no"]}' and against_voucher_no = '{one["invoice_no"]}'""",
        f"""delete from "tabPayment Entry Reference" where parent = '{one["credit_no"]}'""",
    )
    assert site.reload() == {"applications": (0, 0, 1)}


def test_deleted_cancelled_and_edited_documents_are_told_apart(site: System) -> None:
    """Nothing says that a row was deleted; a cancelled one stays; of an allocation the new amount counts."""
    site.case.run(site.day)
    one, day = site.settled(), site.day + timedelta(days=1)
    pair = f"""voucher_no = '{one["credit_no"]}' and against_voucher_no = '{one["invoice_no"]}'"""
    site.execute(
        """delete from "tabSales Invoice" where name = 'SI1240000002'""",
        """delete from "tabPayment Ledger Entry" where against_voucher_no = 'SI1240000002'""",
        f"""update "tabSales Invoice" set docstatus = 2, modified = '{day} 10:00:00'
        where name = 'SI1240000003'""",
        f"""update "tabPayment Ledger Entry" set amount_in_account_currency = amount_in_account_currency + 1
        where {pair}""",
        f"""update "tabPayment Entry Reference" set allocated_amount = allocated_amount - 1
        where parent = '{one["credit_no"]}' and reference_name = '{one["invoice_no"]}'""",
    )
    changes = site.reload()
    assert changes["invoices"] == (0, 1, 1)
    assert site.last("invoices", "SI1240000003", "status, voided_on") == ("void", day)
    assert changes["applications"][:2] == (0, 1)


def test_a_version_without_newer_columns_is_read_and_says_what_it_lacks(site: System) -> None:
    site.execute(
        """alter table "tabPayment Entry Deduction" drop column is_exchange_gain_loss""",
        """alter table "tabPayment Entry Reference" drop column payment_term""",
        """alter table "tabPayment Schedule" drop column base_payment_amount""",
        """alter table "tabCompany" drop column default_discount_account""",
        """alter table "tabSales Invoice" drop column is_debit_note""",
    )
    report = check_source(site.case.settings, "erp")
    assert report.is_ok
    notes = " ".join(note for entity in report.entities for note in entity.notes)
    for column in (
        "is_exchange_gain_loss",
        "payment_term",
        "base_payment_amount",
        "default_discount_account",
    ):
        assert f"has no {column}" in notes


def test_a_site_without_a_payment_ledger_is_refused_with_the_reason(site: System) -> None:
    site.execute("""drop table "tabPayment Ledger Entry\"""")
    with pytest.raises(PermanentError, match="came with version 14"):
        site.case.extract()


@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        ([6, 4], [6, 4]),
        ([4, None], [10, 0]),
        ([None, None], [10, 0]),
        ([8, 4], [10, 0]),
    ],
    ids=["as the terms say", "the rest is the first one's", "without terms", "the terms grant more"],
)
def test_a_discount_belongs_to_the_invoices_whose_terms_grant_it(
    site: System, granted: list[int | None], expected: list[int]
) -> None:
    """ERPNext says how much a payment of two invoices kept, not of which."""
    payment = site.settled(2)["credit_no"]
    rows = site.company.settlements_by("credit_no")[payment]
    first, second = sorted(rows, key=lambda row: (row["settled_on"], -row["amount"]))
    parents = ", ".join(f"'{row['invoice_no']}'" for row in rows)
    site.execute(
        f"""delete from "tabPayment Schedule" where parent in ({parents})""",
        f"""insert into "tabPayment Entry Deduction" (name, parent, account, amount)
        select 'ded-x', name, 'Discounts', 10 * source_exchange_rate from "tabPayment Entry"
        where name = '{payment}'""",
        *(
            f"""insert into "tabPayment Schedule"
            (name, parent, parenttype, idx, payment_amount, discount_type, discount, discount_date)
            values ('part-{row["invoice_no"]}', '{row["invoice_no"]}', 'Sales Invoice', 1,
            {row["amount"]}, 'Amount', {amount}, '{site.day}')"""
            for row, amount in zip((first, second), granted, strict=True)
            if amount is not None
        ),
    )
    assert discounts(site, "applications", [first, second]) == expected


def test_what_erpnext_says_is_open_is_delivered_for_a_day_that_has_not_moved_since(site: System) -> None:
    before = own_figure(site, "before")
    site.execute("""update "tabSales Invoice" set outstanding_amount = outstanding_amount + 5
        where company = 'HD-EU' and currency = 'EUR' and docstatus = 1 limit 1""")
    after = own_figure(site, "after")
    assert {company: after[company] - before[company] for company in before} == {"HD-CN": 0, "HD-EU": 5}
    day = site.day + timedelta(days=1)
    site.execute(f"""update "tabSales Invoice" set modified = '{day} 00:00:01' limit 1""")
    assert own_figure(site, "later") == {}


# --- Odoo ---


def test_what_odoo_says_is_open_is_delivered_for_a_day_that_has_not_moved_since(books: System) -> None:
    before = own_figure(books, "before")
    books.execute("""update account_move_line set amount_residual_currency = amount_residual_currency + 5
        where id = (select min(line.id) from account_move_line as line
            inner join account_move as move on move.id = line.move_id
            inner join res_company as company on company.id = move.company_id
            where company.name = 'HD-EU' and line.currency_id = company.currency_id
                and line.parent_state = 'posted' and line.account_id = 1)""")
    after = own_figure(books, "after")
    assert {company: after[company] - before[company] for company in before} == {"HD-CN": 0, "HD-EU": 5}
    # Midnight in Shanghai is 16:00 in UTC.
    books.execute(f"update account_move set write_date = '{books.day} 16:00:01' where id = 1")
    assert own_figure(books, "later") == {}


@pytest.mark.parametrize(("granted", "expected"), [([6, 4], [6, 4]), ([8, 4], [10, 0])])
def test_a_discount_in_odoo_belongs_to_the_invoices_whose_terms_grant_it(
    books: System, granted: list[int], expected: list[int]
) -> None:
    payment = books.settled(2)["credit_no"]
    rows = books.company.settlements_by("credit_no")[payment]
    first, second = sorted(rows, key=lambda row: (row["settled_on"], -row["amount"]))
    books.execute(
        f"""insert into account_move_line (id, move_id, account_id, amount_currency, balance)
        select 999999, id, {odoo.DISCOUNT}, 10, 10 from account_move where name = '{payment}'""",
        *(
            f"""update account_move_line set discount_date = '{books.day}',
            discount_amount_currency = amount_currency - {amount}
            from account_move where account_move.id = move_id and account_move.name = '{row["invoice_no"]}'
            and account_id = {odoo.RECEIVABLE}"""
            for row, amount in zip((first, second), granted, strict=True)
        ),
    )
    assert discounts(books, "applications", [first, second]) == expected


def test_an_undone_reconciliation_is_no_longer_applied(books: System) -> None:
    books.case.run(books.day)
    books.execute("delete from account_partial_reconcile where id = 1")
    assert books.reload() == {"applications": (0, 0, 1)}


def test_a_reversed_payment_is_void_on_the_day_of_its_reversal(books: System) -> None:
    books.case.run(books.day)
    payment, day = books.settled()["credit_no"], books.day + timedelta(days=1)
    books.execute(
        f"""insert into account_move (
            id, name, state, move_type, date, journal_id, company_id, partner_id, commercial_partner_id,
            currency_id, reversed_entry_id, create_date, write_date
        ) select 999999, 'reversal', 'posted', 'entry', '{day}', journal_id, company_id, partner_id,
            commercial_partner_id, currency_id, id, '{day} 03:00:00', '{day} 03:00:00'
        from account_move where name = '{payment}'""",
        f"""delete from account_partial_reconcile where credit_move_id in (
            select line.id from account_move_line as line
            inner join account_move as move on move.id = line.move_id
            where move.name = '{payment}'
        )""",
    )
    changes = books.reload()
    assert changes == {"receipts": (0, 1, 0), "applications": (0, 0, 1)}
    (key,) = books.case.query(
        f"select _row_key from raw_erp.receipts where receipt_number = '{payment}' limit 1"
    )
    assert books.last("receipts", key[0], "status, voided_on") == ("void", day)


def test_cancelled_deleted_drafted_and_edited_are_told_apart(books: System) -> None:
    books.case.run(books.day)
    day = books.day + timedelta(days=1)
    books.execute(
        f"update account_move set state = 'cancel', write_date = '{day} 03:00:00'"
        " where name = 'SI1240000002'",
        "delete from account_move where name = 'SI1240000003'",
        f"update account_move set state = 'draft', write_date = '{day} 03:00:00' where name = 'SI1240000004'",
        "update account_partial_reconcile set debit_amount_currency = debit_amount_currency - 1,"
        " credit_amount_currency = credit_amount_currency - 1"
        f" where id = {books.kept_match()}",
    )
    changes = books.reload()
    assert changes["invoices"] == (0, 2, 1)
    assert changes["applications"][:2] == (0, 1), "of an edited reconciliation the new amount counts"
    (key,) = books.case.query(
        "select _row_key from raw_erp.invoices where invoice_number = 'SI1240000004' limit 1"
    )
    assert books.last("invoices", key[0], "status, voided_on") == ("draft", None)
    (key,) = books.case.query(
        "select _row_key from raw_erp.invoices where invoice_number = 'SI1240000002' limit 1"
    )
    assert books.last("invoices", key[0], "status, voided_on") == ("void", day)


def test_an_older_odoo_is_read_and_says_what_it_lacks(books: System) -> None:
    books.execute(
        "alter table account_move drop column invoice_currency_rate, add column payment_id integer",
        "update account_move set payment_id = account_payment.id from account_payment"
        " where account_payment.move_id = account_move.id",
        "alter table account_payment drop column move_id",
        "alter table account_account add column internal_type varchar, add column internal_group varchar",
        "update account_account set internal_type = 'receivable' where account_type = 'asset_receivable'",
        "update account_account set internal_group = account_type",
        "alter table account_account drop column account_type",
        "alter table res_partner drop column credit_limit",
        "create table ir_property (name varchar, res_id varchar, value_float double precision)",
        "insert into ir_property values ('credit_limit', 'res.partner,100', 5000)",
    )
    report = check_source(books.case.settings, "erp")
    assert report.is_ok
    notes = " ".join(note for entity in report.entities for note in entity.notes)
    for word in ("account_type", "invoice_currency_rate", "move_id", "ir_property"):
        assert word in notes


# --- settings ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('kind: erpnext\nconnection: {sqlite: "x"}\n', "sqlite"),
        ("kind: erpnext\nconnection: {}\n", "needs either `mysql` or `postgresql`"),
        ('kind: odoo\nconnection: {mysql: "${X}"}\n', "mysql"),
        ('kind: odoo\nconnection: {postgresql: "${X}"}\nwithout: [invoice]\n', "did you mean 'invoices'"),
        (
            'kind: odoo\nconnection: {postgresql: "${X}"}\nentities: {disputes: {}}\n',
            "disputes needs `query`",
        ),
    ],
)
def test_a_wrong_source_file_says_what_is_wrong(home: Settings, text: str, words: str) -> None:
    case = write_source(home, text)
    with pytest.raises(ConfigError, match=words):
        _ = case.source


def test_an_own_query_replaces_the_shipped_one(books: System) -> None:
    path: Path = books.case.file
    path.write_text(
        path.read_text(encoding="utf-8")
        + "entities:\n  credit_memos:\n    mode: full\n    query: select '1' as credit_memo_id,"
        " '100' as customer_id, date '2024-07-03' as credit_memo_date, 5 as amount, 'EUR' as currency_code\n",
        encoding="utf-8",
    )
    assert books.case.extract()["credit_memos"].rows == 1
    assert set(load_source(path).entity_configs) >= {"invoices", "receipts", "applications"}
