"""What the warehouse says of a company against what the reference implementation says."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.close.harness import SNAPSHOT_DAYS, Answers, Question, own_id
from tests.golden.answers import Answer
from tests.oracle.book import Book, Row, minor_unit, seen_at, to_decimal
from tests.oracle.calendars import MONTHS
from tests.oracle.documents import ultimate_parent
from tests.oracle.ledger import Cell, Item, View, plus
from tests.oracle.metrics import (
    Metrics,
    Terms,
    ar_collection_effectiveness,
    ar_dso,
    ar_payment_behaviour,
    ar_turnover,
    company_roll_forward,
    group_terms,
    roll_forward,
)

METRICS = {
    "ar_dso": ar_dso,
    "ar_turnover": ar_turnover,
    "ar_collection_effectiveness": ar_collection_effectiveness,
    "ar_payment_behaviour": ar_payment_behaviour,
}
SHOWN = 4  # differences of one kind that are told; the rest are counted
Scoped = dict[tuple[date, str, str], Row]  # (month end, scope type, scope id)


@dataclass
class Sheet:
    """Everything that is compared, read from the warehouse once for all its companies."""

    questions: list[Question]
    items: dict[Question, dict[str, list[Answer]]]
    aging: dict[Question, dict[str, dict[tuple[str, str, str], Row]]]
    days: list[date]  # of the daily ageing
    tables: dict[str, dict[str, list[Row]]] = field(default_factory=dict)
    metrics: dict[str, dict[str, Scoped]] = field(default_factory=dict)


def read_sheet(answers: Answers, questions: Sequence[Question], days: Sequence[date]) -> Sheet:
    """Ask every question of every company at once."""
    listed = ", ".join(f"date '{day}'" for day in days)
    sheet = Sheet(
        questions=list(questions),
        items={question: answers.open_items(question) for question in questions},
        aging={question: answers.aging(question) for question in questions},
        days=list(days),
    )
    for name, where in {
        "ar_open_items": "true",
        "ar_aging_snapshots": f"as_of_date in ({listed})",
        "ar_aging_by_parent": f"as_of_date in ({listed})",
        "dim_customer_history": "true",
        "ar_aging_daily": f"as_of_date in ({listed}) and item_count > 0",
        "ar_roll_forward": "true",
        "ar_reconciliation": "true",
        "ar_restatements": "true",
        "fct_open_item_history": "true",
        "fct_ledger_entries": "true",
        "fct_documents": "true",
    }.items():
        sheet.tables[name] = answers.table(name, where)
    for name in METRICS:
        scoped: dict[str, Scoped] = defaultdict(dict)
        for company_id, rows in answers.table(name).items():
            for row in rows:
                scope_id = own_id(row["scope_id"])
                scoped[company_id][(row["month_end_date"], row["scope_type"], scope_id)] = row
        sheet.metrics[name] = scoped
    return sheet


class Comparison:
    """One company: every difference between its sheet and the reference, as sentences."""

    def __init__(self, book: Book, sheet: Sheet) -> None:
        self.book = book
        self.sheet = sheet
        self.company_id = book.config.default_company
        self.metrics = Metrics(book)
        self.found: list[str] = []
        self.views: dict[tuple[date, bool], View] = {(book.run_day, False): self.metrics.view}

    def differences(self) -> list[str]:
        """Every difference; empty = the warehouse agrees in everything."""
        for question in self.sheet.questions:
            self._compare_items(question)
            self._compare_aging(question)
        self._compare_open_items()
        for day in self.sheet.days:
            self._compare_snapshots(day)
            self._compare_daily(day)
        self._compare_roll_forward()
        self._compare_entries()
        self._compare_documents()
        self._compare_customers()
        self._compare_metrics()
        self._compare_restatements()
        self._check_invariants()
        return self.found

    def _say(self, what: str, expected: object, given: object) -> None:
        self.found.append(f"{what}: expected {expected}, got {given}")

    def _compare(self, what: str, expected: dict[Any, Any], given: dict[Any, Any]) -> None:
        keys = [key for key in {**expected, **given} if expected.get(key) != given.get(key)]
        for key in sorted(keys, key=str)[:SHOWN]:
            self._say(f"{what} {key}", expected.get(key), given.get(key))
        if len(keys) > SHOWN:
            self.found.append(f"{what}: and {len(keys) - SHOWN} more")

    # --- items and buckets ---

    def _view(self, question: Question) -> View:
        restated = question.view == "restated"
        key = (question.known_at or self.book.run_day, restated)
        if key not in self.views:
            self.views[key] = View(self.book, key[0], restated=restated)
        return self.views[key]

    def _items(self, question: Question) -> list[Item]:
        view = self._view(question)
        known_now = view is self.metrics.view
        return self.metrics.items(question.as_of) if known_now else view.open_items(question.as_of)

    def _compare_items(self, question: Question) -> None:
        config = self.book.config
        expected = {}
        for item in self._items(question):
            days = item.days_past_due(question.as_of, question.basis)  # type: ignore[arg-type]
            key = (item.document[0], item.document[1], item.instalment_number)
            expected[key[1:]] = (
                self._amount(item.open_amount, item.currency),
                self._company_amount(item.company_amount),
                item.customer_id,
                item.currency,
                days,
                config.bucket(days),
            )
        given = {}
        for one in self.sheet.items[question].get(self.company_id, ()):
            converted = one.company_amount
            given[(one.document, one.instalment)] = (
                one.amount.normalize(),
                None if converted is None else converted.normalize(),
                one.customer,
                one.currency,
                one.days,
                one.bucket,
            )
        self._compare(f"items {_named(question)}", expected, given)

    def _compare_aging(self, question: Question) -> None:
        cells: dict[tuple[str, str, str], Cell] = defaultdict(Cell)
        for item in self._items(question):
            bucket = self.book.config.bucket(item.days_past_due(question.as_of, question.basis))  # type: ignore[arg-type]
            cells[(item.customer_id, item.currency, bucket)].add(item)
        names = (
            "open_amount",
            "company_amount",
            "group_amount",
            "debit_amount",
            "credit_amount",
            "item_count",
            "is_booking_rate_carried",
            "is_rate_carried",
        )
        expected = {key: self._cell(key[1], cell, names) for key, cell in cells.items()}
        rows = self.sheet.aging[question].get(self.company_id, {})
        given = {key: _picked(row, names) for key, row in rows.items()}
        self._compare(f"aging {_named(question)}", expected, given)

    def _cell(self, currency: str, cell: Cell, names: Sequence[str]) -> tuple[object, ...]:
        values: dict[str, object] = {
            "open_amount": self._amount(cell.open_amount, currency),
            "company_amount": self._company_amount(cell.company_amount),
            "group_amount": self._group_amount(cell.group_amount),
            "debit_amount": self._amount(cell.debit_amount, currency),
            "credit_amount": self._amount(cell.credit_amount, currency),
            "item_count": cell.item_count,
            "is_conversion_incomplete": cell.is_conversion_incomplete,
            "is_booking_rate_carried": cell.is_booking_rate_carried,
            "is_rate_carried": cell.is_rate_carried,
        }
        return tuple(values[name] for name in names)

    def _compare_open_items(self) -> None:
        expected = {
            (item.document[1], item.instalment_number): (
                self._amount(item.open_amount, item.currency),
                self._company_amount(item.company_amount),
                self._group_amount(item.group_amount),
                item.days_past_due(self.book.run_day),
                self._stored_bucket(item, self.book.run_day),
                item.is_credit,
                item.is_booking_rate_carried,
                item.is_rate_carried,
                item.document_type,
            )
            for item in self.metrics.items(self.book.run_day)
        }
        names = (
            "open_amount",
            "company_amount",
            "group_amount",
            "days_past_due",
            "aging_bucket",
            "is_credit",
            "is_booking_rate_carried",
            "is_rate_carried",
            "document_type",
        )
        given = {}
        for row in self._rows("ar_open_items"):
            number = 1 if row["instalment_number"] is None else row["instalment_number"]
            given[(own_id(row["document_id"]), number)] = _picked(row, names)
        self._compare("ar_open_items", expected, given)

    def _stored_bucket(self, item: Item, day: date) -> str:
        """The bucket in the stored ageing, by the basis that the configuration names."""
        config = self.book.config
        return config.bucket(item.days_past_due(day, config.aging_basis))

    def _compare_snapshots(self, day: date) -> None:
        ends = {calendar.containing(day).last for calendar in (MONTHS, self.book.config.calendar)}
        is_kept = day in ends or (self.book.run_day - day).days < SNAPSHOT_DAYS
        cells: dict[tuple[str, str, str], Cell] = defaultdict(Cell)
        for item in self.metrics.items(day) if is_kept else ():
            bucket = self._stored_bucket(item, day)
            cells[(item.customer_id, item.currency, bucket)].add(item)
        names = (
            "open_amount",
            "company_amount",
            "group_amount",
            "debit_amount",
            "credit_amount",
            "item_count",
            "is_conversion_incomplete",
            "is_booking_rate_carried",
            "is_rate_carried",
        )
        expected = {key: self._cell(key[1], cell, names) for key, cell in cells.items()}
        given = {
            (own_id(row["customer_id"]), row["currency_code"], row["aging_bucket"]): _picked(row, names)
            for row in self._rows("ar_aging_snapshots")
            if row["as_of_date"] == day
        }
        self._compare(f"ar_aging_snapshots {day}", expected, given)
        self._compare_parents(day, cells)

    def _compare_parents(self, day: date, cells: dict[tuple[str, str, str], Cell]) -> None:
        """The same cells under the customers at the top."""
        merged: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
        for (customer, currency, bucket), cell in cells.items():
            merged[(ultimate_parent(self.book, customer), currency, bucket)].append(cell)
        expected = {}
        for key, parts in merged.items():
            whole = Cell()
            for part in parts:
                whole.open_amount += part.open_amount
                whole.company_amount = plus(whole.company_amount, part.company_amount)
                whole.group_amount = plus(whole.group_amount, part.group_amount)
                whole.item_count += part.item_count
            names = ("open_amount", "company_amount", "group_amount", "item_count")
            expected[key] = (*self._cell(key[1], whole, names), len(parts))
        names = ("open_amount", "company_amount", "group_amount", "item_count", "customer_count")
        given = {}
        for row in self._rows("ar_aging_by_parent"):
            if row["as_of_date"] == day:
                parent = own_id(row["ultimate_parent_customer_id"])
                given[(parent, row["currency_code"], row["aging_bucket"])] = _picked(row, names)
        self._compare(f"ar_aging_by_parent {day}", expected, given)

    def _compare_daily(self, day: date) -> None:
        cells: dict[tuple[str, str], Cell] = defaultdict(Cell)
        for item in self.metrics.items(day):
            cells[(item.currency, self._stored_bucket(item, day))].add(item)
        names = ("open_amount", "company_amount", "debit_amount", "credit_amount", "item_count")
        expected = {key: self._cell(key[0], cell, names) for key, cell in cells.items()}
        given = {
            (row["currency_code"], row["aging_bucket"]): _picked(row, names)
            for row in self._rows("ar_aging_daily")
            if row["as_of_date"] == day
        }
        self._compare(f"ar_aging_daily {day}", expected, given)

    # --- months ---

    def _compare_roll_forward(self) -> None:
        columns = (
            "opening_amount",
            "invoices_amount",
            "credit_memos_amount",
            "receipts_amount",
            "discounts_amount",
            "write_offs_amount",
            "refunds_amount",
            "journals_amount",
            "reversals_amount",
            "closing_amount",
        )
        currencies = {document.currency for document in self.metrics.view.documents.values()}
        expected, given = {}, {}
        for period in self.metrics.reported_periods():
            for currency in currencies:
                sums = roll_forward(self.metrics, self.company_id, currency, period)
                for column in columns:
                    if sums.get(column):
                        expected[(period.last, currency, column)] = self._amount(sums[column], currency)
        for row in self._rows("ar_roll_forward"):
            for column in (*columns, "exchange_amount", "transfers_amount", "difference_amount"):
                if row.get(column):
                    given[(row["month_end_date"], row["currency_code"], column)] = row[column].normalize()
        self._compare("ar_roll_forward", expected, given)
        self._compare_company_roll_forward(currencies)

    def _compare_company_roll_forward(self, currencies: Iterable[str]) -> None:
        columns = (
            "opening",
            "invoices",
            "credit_memos",
            "receipts",
            "discounts",
            "write_offs",
            "refunds",
            "journals",
            "reversals",
            "transfers",
            "exchange",
            "rounding",
            "closing",
            "difference",
        )
        rows = {(row["month_end_date"], row["currency_code"]): row for row in self._rows("ar_roll_forward")}
        expected, given = {}, {}
        for period in self.metrics.reported_periods():
            for currency in currencies:
                sums = company_roll_forward(self.metrics, self.company_id, currency, period)
                row = rows.get((period.last, currency))
                if row is None:
                    continue
                key = (period.last, currency)
                expected[(*key, "is_conversion_incomplete")] = sums is None
                given[(*key, "is_conversion_incomplete")] = row["is_conversion_incomplete"]
                for column in columns:
                    amount = row[f"company_{column}_amount"]
                    given[(*key, column)] = amount and amount.normalize()
                    known = None if sums is None else self._company_amount(sums.get(column, 0))
                    expected[(*key, column)] = known
        self._compare("ar_roll_forward in company currency", expected, given)

    def _compare_documents(self) -> None:
        """What each document of the present view is booked at."""
        expected, given = {}, {}
        for key, document in self.metrics.view.documents.items():
            rate = None if document.rate is None else f"{float(document.rate):.9g}"
            expected[key[1]] = (document.document_type, rate, document.is_rate_carried)
        for row in self._rows("fct_documents"):
            rate = None if row["booking_rate"] is None else f"{float(row['booking_rate']):.9g}"
            flags = (row["document_type"], rate, row["is_booking_rate_carried"])
            given[own_id(row["document_id"])] = flags
        self._compare("fct_documents", expected, given)

    def _compare_customers(self) -> None:
        """Which segment each customer was in on the days that are compared."""
        expected, given = {}, {}
        for (customer,), chain in self.book.entity("customers").items():
            for day in self.sheet.days:
                if seen_at(chain, self.book.run_day):
                    expected[(customer, day)] = self.metrics.segment(customer, day)
        for row in self._rows("dim_customer_history"):
            for day in self.sheet.days:
                if row["valid_from"] <= day < row["valid_to"]:
                    given[(own_id(row["customer_id"]), day)] = row["segment"]
        self._compare("dim_customer_history", expected, given)

    def _compare_entries(self) -> None:
        """Per item, day and type, however often a later load took entries back and booked them anew."""
        expected: dict[tuple[object, ...], int] = defaultdict(int)
        for entry in self.metrics.entries:
            key = (entry.document[1], entry.item, entry.day, entry.entry_type)
            expected[key] += entry.amount
        given: dict[tuple[object, ...], Decimal] = defaultdict(Decimal)
        for row in self._rows("fct_ledger_entries"):
            item = 1 if row["instalment_number"] is None else row["instalment_number"]
            key = (own_id(row["document_id"]), item, row["effective_date"], row["entry_type"])
            given[key] += row["amount"]
        currencies = {key[1]: document.currency for key, document in self.metrics.view.documents.items()}
        self._compare(
            "fct_ledger_entries",
            {key: self._amount(minor, currencies[str(key[0])]) for key, minor in expected.items() if minor},
            {key: amount.normalize() for key, amount in given.items() if amount},
        )

    def scope_terms(self) -> dict[tuple[date, str, str], Terms]:
        """The terms of every scope and period of the company."""
        found = {}
        for period in self.metrics.reported_periods():
            for (scope_type, scope_id), customers in self.metrics.scopes(
                self.company_id, period.last
            ).items():
                terms = self.metrics.terms(self.company_id, customers, period)
                found[(period.last, scope_type, scope_id)] = terms
        return found

    def _compare_metrics(self) -> None:
        terms = self.scope_terms()
        for name, formula in METRICS.items():
            given = self.sheet.metrics[name].get(self.company_id, {})
            self._compare(f"{name} rows", dict.fromkeys(terms, "a row"), dict.fromkeys(given, "a row"))
            for key in sorted(terms.keys() & given.keys(), key=str):
                self.found += metric_differences(f"{name} {key}", formula(terms[key]), given[key])

    def _compare_restatements(self) -> None:
        """Before the first and after the last restatement of a day: as known then and as known now."""
        by_day: dict[date, list[Row]] = defaultdict(list)
        for row in self._rows("ar_restatements"):
            by_day[row["as_of_date"]].append(row)
        for day in sorted(by_day)[:6]:
            rows = sorted(by_day[day], key=lambda row: (row["detected_on"], row["cause"]))
            then = self._exact(self._view(Question(day, day)), day)
            now = self._exact(self.metrics.view, day)
            if then is None or now is None:
                continue
            for what, expected, given in (
                ("before", then, rows[0]["amount_before"]),
                ("after", now, rows[-1]["amount_after"]),
            ):
                if not is_close_amount(expected, given):
                    self._say(f"ar_restatements {day} {what}", float(expected), given)

    def _exact(self, view: View, day: date) -> Fraction | None:
        """The receivable in company currency, no item rounded."""
        amount = Fraction(0)
        for item in view.open_items(day):
            rate = view.documents[item.document].rate
            if rate is None:
                return None
            amount += Fraction(item.open_amount, 10 ** minor_unit(item.currency)) * rate
        return amount

    # --- what must always hold ---

    def _check_invariants(self) -> None:
        self._check_reconciliation()
        self._check_instalments()
        self._check_growing_older()
        self._check_ledger_is_the_source()

    def _check_reconciliation(self) -> None:
        for row in self._rows("ar_reconciliation"):
            roads = {row["ledger_amount"], row["items_amount"], row["buckets_amount"]}
            if len(roads) > 1 or row["status"] == "broken":
                self._say(f"ar_reconciliation {row['as_of_date']}", "one balance on three roads", row)
            if row["gl_amount"] is not None:
                self._check_books(row)

    def _check_books(self, row: Row) -> None:
        """A day of which the general ledger is known: its difference to the items, and what is said of it."""
        items = [self._company_amount(item.company_amount) for item in self.metrics.items(row["as_of_date"])]
        known = [amount for amount in items if amount is not None]
        difference, status = None, "incomplete"
        if len(known) == len(items):
            difference = row["gl_amount"] - sum(known, Decimal(0))
            within = abs(difference) <= self.book.config.reconciliation_tolerance
            status = "reconciled" if within else "different"
        if (difference, status) != (row["difference_amount"], row["status"]):
            self._say(f"ar_reconciliation {row['as_of_date']}", (difference, status), row)

    def _check_instalments(self) -> None:
        for row in self._rows("fct_open_item_history"):
            if (row["instalment_number"] or 0) >= 1 and row["open_amount"] < 0:
                self._say("fct_open_item_history", "no instalment below zero", row)

    def _check_growing_older(self) -> None:
        """Between any two questions of one basis, view and knowledge an item ages by the days between."""
        by_kind: dict[tuple[object, ...], list[Question]] = defaultdict(list)
        for question in self.sheet.questions:
            by_kind[(question.known_at, question.basis, question.view)].append(question)
        for questions in by_kind.values():
            ages: dict[tuple[str, int], int] = {}
            for question in questions:
                for one in self.sheet.items[question].get(self.company_id, ()):
                    key = (one.document, one.instalment)
                    birthday = (question.as_of - timedelta(days=one.days)).toordinal()
                    if ages.setdefault(key, birthday) != birthday:
                        self._say(f"age of {key} {_named(question)}", ages[key], birthday)

    def _check_ledger_is_the_source(self) -> None:
        """Σ items = Σ ledger entries, per currency, on every question that is not restated."""
        entries = self._rows("fct_ledger_entries")
        for question in self.sheet.questions:
            if question.view == "restated":
                continue
            known_at = question.known_at or self.book.run_day
            sums: dict[str, Decimal] = defaultdict(Decimal)
            for row in entries:
                if row["effective_date"] <= question.as_of and row["known_on"] <= known_at:
                    sums[row["currency_code"]] += row["amount"]
            items: dict[str, Decimal] = defaultdict(Decimal)
            for one in self.sheet.items[question].get(self.company_id, ()):
                items[one.currency] += one.amount
            self._compare(
                f"ledger {_named(question)}",
                {currency: amount.normalize() for currency, amount in sums.items() if amount},
                {currency: amount.normalize() for currency, amount in items.items() if amount},
            )

    # --- amounts ---

    def _rows(self, table: str) -> list[Row]:
        return self.sheet.tables[table].get(self.company_id, [])

    @staticmethod
    def _amount(minor: int | None, currency: str) -> Decimal | None:
        return None if minor is None else to_decimal(minor, minor_unit(currency)).normalize()

    def _company_amount(self, minor: int | None) -> Decimal | None:
        return self._amount(minor, self.book.config.companies[self.company_id])

    def _group_amount(self, minor: int | None) -> Decimal | None:
        return self._amount(minor, self.book.config.reporting_currency)


def group_differences(comparisons: Sequence[Comparison], sheet: Sheet) -> list[str]:
    """The metrics of all companies together by calendar months, at the closing rates of each month end."""
    found = []
    months: dict[date, list[tuple[Book, str, Terms]]] = defaultdict(list)
    for one in comparisons:
        for day, terms in one.metrics.company_months(one.company_id, MONTHS).items():
            months[day].append((one.book, one.company_id, terms))
    for name, formula in METRICS.items():
        given = sheet.metrics[name].get("group", {})
        for day, parts in sorted(months.items()):
            row = given.get((day, "group", "group"))
            if row is None:
                found.append(f"{name} {day}: no row for the group")
            else:
                found += metric_differences(f"{name} {day} group", formula(group_terms(parts, day)), row)
    return found


def metric_differences(what: str, expected: dict[str, Any], row: Row) -> list[str]:
    """Every column of a metric row that is not what the formula gives."""
    found = []
    for column, value in expected.items():
        given = row[column]
        if isinstance(value, str) or value is None or given is None:
            agrees = value == given
        elif column.endswith("_amount"):
            agrees = is_close_amount(Fraction(value), given)
        else:
            agrees = math.isclose(float(value), float(given), rel_tol=1e-9, abs_tol=1e-9)
        if not agrees:
            shown = float(value) if isinstance(value, Fraction) else value
            found.append(f"{what} {column}: expected {shown}, got {given}")
    return found


def is_close_amount(expected: Fraction, given: Decimal) -> bool:
    """Whether an exact amount is published as it should be: rounded once, to three decimals."""
    return abs(expected - Fraction(given)) <= Fraction(1, 2000)


def _picked(row: Row, names: Iterable[str]) -> tuple[object, ...]:
    return tuple(value.normalize() if isinstance(value := row[name], Decimal) else value for name in names)


def _named(question: Question) -> str:
    known = f"known {question.known_at}" if question.known_at else "known now"
    return f"{question.as_of} {known} {question.view} by {question.basis}"
