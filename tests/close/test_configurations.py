"""Unusual configurations: generated companies under each agree with the reference in every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.close.generated import Outcome, compare_built, generate
from tests.close.harness import Company, run_directly, run_files
from tests.close.strategies import FIRST_DAY, RUN_DAY
from tests.close.transformed import first_versions
from tests.oracle.book import Book, buckets, to_decimal
from tests.oracle.calendars import Calendar
from tests.oracle.metrics import Metrics, minor_unit, month_ends

COUNT = 20
TOLERANCE = 5
AGREED = Outcome({}, [], None)

pytestmark = pytest.mark.slow


def _under(books: Sequence[Book], **rules: Any) -> list[Book]:
    """The same companies, configured otherwise."""
    return [Book(replace(book.config, **rules), book.run_day, book.chains) for book in books]


def _with_books_of_account(book: Book) -> Book:
    """Month-end balances of the general ledger that miss the items by the tolerance, a unit more, or less."""
    config, metrics = book.config, Metrics(book)
    currency = config.default_currency
    for number, day in enumerate(month_ends(FIRST_DAY, RUN_DAY)):
        amounts = [item.company_amount or 0 for item in metrics.items(day)]
        off = (TOLERANCE, TOLERANCE + 1, -TOLERANCE, -TOLERANCE - 1, 0)[number % 5]
        row = {
            "company_id": config.default_company,
            "balance_date": day,
            "balance_amount": to_decimal(sum(amounts), minor_unit(currency)) + off,
            "currency_code": currency,
        }
        book.add("gl_balances", row, day)
    return book


def test_many_buckets_by_invoice_date_in_a_year_of_weeks_from_april(tmp_path: Path) -> None:
    books = _under(
        generate(COUNT, 901),
        buckets=buckets((7, 14, 21, 30, 45, 60, 90, 120, 180, 365), (7, 30, 60, 90)),
        aging_basis="invoice_date",
        calendar=Calendar("5-4-4", 4),
        reporting_currency="USD",
        reconciliation_tolerance=Decimal(TOLERANCE),
    )
    books = [_with_books_of_account(book) for book in books]
    built = run_directly(tmp_path, [Company(book) for book in books], RUN_DAY)
    assert compare_built(built, books, 901) == AGREED


def test_two_buckets_by_posting_date_in_months_of_thirty_days(tmp_path: Path) -> None:
    books = _under(
        generate(COUNT, 902, always_convertible=True),
        buckets=buckets((45,)),
        aging_basis="posting_date",
        calendar=Calendar("calendar", 10),
        day_count="30",
        reporting_currency="JPY",
        allocation_policy="pro_rata",
    )
    built = run_directly(tmp_path, [Company(book) for book in books], RUN_DAY)
    assert compare_built(built, books, 902) == AGREED


def test_days_that_end_where_the_companies_are_through_files(tmp_path: Path) -> None:
    """Every row was recorded late in the evening of its company: in UTC that is another day."""
    zones = ("Pacific/Auckland", "America/Los_Angeles", "Asia/Kolkata", "UTC")
    books = [
        _under([first_versions(book)], timezone=zones[number % 4], reporting_currency="KWD")[0]
        for number, book in enumerate(generate(COUNT, 903))
    ]
    books = _under(books, buckets=buckets((10, 20), (30,)), calendar=Calendar("4-4-5", 2))
    built = run_files(tmp_path, [Company(book) for book in books], days=[RUN_DAY])
    assert compare_built(built, books, 903) == AGREED
