"""A day ends where the company is: one source in UTC of a company in Shanghai and one in New York."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date, timedelta

import pytest

from receivables.settings import Settings
from tests.sources.setup import DAY, Case, write_source

NEXT = DAY + timedelta(days=1)
BEFORE = DAY - timedelta(days=1)

COMPANIES = """
reporting_currency: EUR
companies:
  - {company_id: CN, company_name: Suzhou, currency_code: CNY, timezone: Asia/Shanghai}
  - {company_id: US, company_name: Albany, currency_code: USD, timezone: America/New_York}
  - {company_id: EU, company_name: Berlin, currency_code: EUR}
"""
SOURCE = """
kind: files
default_currency_code: EUR
entities:
  customers: {path: customers.csv}
  invoices: {path: invoices.csv}
  applications: {path: applications.csv, allow_empty: true}
"""
CUSTOMERS = "customer_id,company_id,created_at\nOfShanghai,CN,2026-01-01\nOfNewYork,US,2026-01-01\n"
INVOICES = "invoice_id,customer_id,company_id,invoice_date,amount,created_at,updated_at\n"
APPLICATIONS = "application_id,credit_type,credit_id,invoice_id,amount,applied_on,created_at\n"


@pytest.fixture
def case(home: Settings) -> Case:
    home.config_file.write_text(COMPANIES, encoding="utf-8")
    case = write_source(home, SOURCE)
    case.data("customers.csv", CUSTOMERS)
    case.data("applications.csv", APPLICATIONS)
    return case


def known(case: Case, entity: str = "invoices") -> dict[str, list[date]]:
    """Row id to the days from which its versions are known."""
    found: dict[str, list[date]] = {}
    for key, day in case.query(
        f"select _row_key, _known_on from raw_erp.{entity} order by _row_key, _version"
    ):
        found.setdefault(key, []).append(day)
    return found


def test_a_row_is_known_from_the_day_of_its_company(case: Case) -> None:
    case.data(
        "invoices.csv",
        INVOICES + "cn,C,CN,2026-03-01,1,2026-03-01T16:30:00Z,\n"  # half past midnight on the 2nd in Shanghai
        "us,C,US,2026-03-01,1,2026-03-02T03:00:00Z,\n"  # ten in the evening of the 1st in New York
        "eu,C,EU,2026-03-01,1,2026-03-01T23:30:00Z,\n"  # names no zone: the source's
        "of_cn,OfShanghai,,2026-03-01,1,2026-03-01T16:30:00Z,\n"
        "of_us,OfNewYork,,2026-03-01,1,2026-03-02T03:00:00Z,\n"
        "nobody,C,,2026-03-01,1,2026-03-01T23:30:00Z,\n",
    )
    case.data(
        "applications.csv",
        APPLICATIONS + "a_cn,receipt,R1,of_cn,1,2026-03-01,2026-03-01T16:30:00Z\n"
        "a_us,receipt,R1,us,1,2026-03-01,2026-03-02T03:00:00Z\n"
        "a_eu,receipt,R1,unknown,1,2026-03-01,2026-03-01T23:30:00Z\n",
    )
    case.run()
    assert known(case) == {
        "cn": [DAY],
        "of_cn": [DAY],
        "us": [BEFORE],
        "of_us": [BEFORE],
        "eu": [BEFORE],
        "nobody": [BEFORE],
    }
    assert known(case, "applications") == {"a_cn": [DAY], "a_us": [BEFORE], "a_eu": [BEFORE]}


def test_the_evening_of_a_company_belongs_to_its_day_and_its_next_morning_does_not(case: Case) -> None:
    case.data(
        "invoices.csv",
        INVOICES + "evening,C,US,2026-03-02,1,2026-03-03T04:30:00Z,\n"  # half past eleven in New York
        "morning,C,CN,2026-03-03,1,2026-03-02T16:30:00Z,\n"  # half past midnight in Shanghai
        "tomorrow,C,US,2026-03-03,1,2026-03-03T05:30:00Z,\n",
    )
    case.run()
    assert known(case) == {"evening": [DAY], "morning": [NEXT]}
    case.run(NEXT)
    assert known(case) == {"evening": [DAY], "morning": [NEXT], "tomorrow": [NEXT]}


def test_a_change_after_the_midnight_of_its_company_is_known_the_next_day(case: Case) -> None:
    first = "1,C,CN,2026-03-01,1,2026-03-01T08:00:00Z,2026-03-01T08:00:00Z\n"
    case.data("invoices.csv", INVOICES + first)
    case.run(BEFORE)
    changed = "1,C,CN,2026-03-01,5,2026-03-01T08:00:00Z,2026-03-02T17:00:00Z\n"
    case.data("invoices.csv", INVOICES + changed)
    case.run(DAY)
    assert known(case) == {"1": [BEFORE, NEXT]}
    case.data("invoices.csv", INVOICES + changed.replace(",5,", ",6,"))
    case.run(DAY, run="again")
    assert known(case) == {"1": [BEFORE, NEXT, NEXT]}  # never before the version that it replaces


def test_a_moment_is_the_day_that_it_is_where_the_company_is(case: Case) -> None:
    case.data(
        "invoices.csv",
        INVOICES + "cn,C,CN,2026-03-01T20:00:00Z,1,,\nus,C,US,2026-03-01T03:00:00Z,1,,\n"
        "eu,C,EU,2026-03-01T23:00:00Z,1,,\nplain,C,CN,2026-03-01,1,,\n",
    )
    case.run()
    assert dict(case.query("select invoice_id, invoice_date from raw_erp.invoices")) == {
        "cn": date(2026, 3, 2),
        "us": date(2026, 2, 28),
        "eu": date(2026, 3, 1),
        "plain": date(2026, 3, 1),
    }


def test_the_companies_day_decides_in_an_incremental_read_too(home: Settings) -> None:
    home.config_file.write_text(COMPANIES, encoding="utf-8")
    with closing(sqlite3.connect(home.sources_dir / "erp.sqlite")) as connection:
        connection.executescript(
            "create table bills (no, company, customer, day, total, made_at, changed_at);"
            "insert into bills values"
            " ('evening', 'US', 'C', '2026-03-02', 1, '2026-03-03 04:30:00', '2026-03-03 04:30:00'),"
            " ('morning', 'CN', 'C', '2026-03-03', 1, '2026-03-02 16:30:00', '2026-03-02 16:30:00'),"
            " ('tomorrow', 'US', 'C', '2026-03-03', 1, '2026-03-03 05:30:00', '2026-03-03 05:30:00')"
        )
    case = write_source(
        home,
        """
        kind: sql
        connection: {sqlite: erp.sqlite}
        default_currency_code: EUR
        entities:
          invoices:
            table: bills
            mode: incremental
            cursor: changed_at
            columns: {invoice_id: no, company_id: company, customer_id: customer, invoice_date: day,
                      amount: total, created_at: made_at, updated_at: changed_at}
        """,
    )
    case.run(DAY)
    assert known(case) == {"evening": [DAY], "morning": [NEXT]}
    case.run(NEXT)
    assert known(case) == {"evening": [DAY], "morning": [NEXT], "tomorrow": [NEXT]}
