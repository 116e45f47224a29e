"""The public data sets: their published figures, and the same figures worked out from their rows.

The published figures (`reference.json`) leave unapplied cash out of receivables and let their countback walk
through months without sales. `Books` computes by those definitions, which shows that it reads the rows alike,
and by this project's, which the marts are compared with. Amounts are whole cents, ratios exact fractions.
"""

from __future__ import annotations

import csv
import json
from calendar import monthrange
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

ONE_DAY = timedelta(days=1)
# The reference has one bucket for everything above 90 days.
BUCKETS = {
    "not_due": "current",
    "1-30": "1-30",
    "31-60": "31-60",
    "61-90": "61-90",
    "91-120": "90+",
    "121+": "90+",
}


def cents(text: str | float | Decimal) -> int:
    """An amount with two decimals as whole cents."""
    scaled = Decimal(str(text)) * 100
    if scaled != int(scaled):
        raise ValueError(f"{text} has more than two decimals")
    return int(scaled)


@dataclass(frozen=True)
class Invoice:
    """An invoice of a data set; `amount` in cents."""

    invoice_id: str
    customer_id: str
    dated: date
    due: date
    amount: int
    is_disputed: bool


@dataclass(frozen=True)
class Receipt:
    """A payment; `amount` in cents."""

    receipt_id: str
    dated: date
    amount: int


@dataclass(frozen=True)
class Application:
    """An amount in cents of a receipt that settles an invoice, on the day the source applied it."""

    invoice: Invoice
    receipt: Receipt
    applied: date
    amount: int

    @property
    def effective(self) -> date:
        """The ledger's date: neither before the invoice nor before the money."""
        return max(self.applied, self.invoice.dated, self.receipt.dated)


@dataclass(frozen=True)
class Settled:
    """An invoice that cash paid off, and when."""

    invoice: Invoice
    on: date

    @property
    def days_to_pay(self) -> int:
        return (self.on - self.invoice.dated).days

    @property
    def days_late(self) -> int:
        return (self.on - self.invoice.due).days


@dataclass(frozen=True)
class Month:
    """A calendar month; `before` steps back."""

    year: int
    number: int

    @classmethod
    def of(cls, day: date) -> Month:
        return cls(day.year, day.month)

    @property
    def days(self) -> int:
        return monthrange(self.year, self.number)[1]

    @property
    def end(self) -> date:
        return date(self.year, self.number, self.days)

    def before(self, months: int = 1) -> Month:
        count = self.year * 12 + self.number - 1 - months
        return Month(count // 12, count % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


class Books:
    """The rows of one data set, and what others computed from them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reference: dict[str, Any] = json.loads((folder / "reference.json").read_text(encoding="utf-8"))
        self.invoices = {
            row["invoice_id"]: Invoice(
                row["invoice_id"],
                row["customer_id"],
                date.fromisoformat(row["invoice_date"]),
                date.fromisoformat(row["due_date"]),
                cents(row["amount"]),
                row["disputed"] == "1",
            )
            for row in self.rows("invoices")
        }
        self.receipts = {
            row["receipt_id"]: Receipt(
                row["receipt_id"], date.fromisoformat(row["receipt_date"]), cents(row["amount"])
            )
            for row in self.rows("receipts")
        }
        self.applications = [
            Application(
                self.invoices[row["invoice_id"]],
                self.receipts[row["receipt_id"]],
                date.fromisoformat(row["applied_date"]),
                cents(row["amount"]),
            )
            for row in self.rows("applications")
        ]

    def rows(self, entity: str) -> list[dict[str, str]]:
        with (self.folder / f"{entity}.csv").open(encoding="utf-8", newline="") as handle:
            return list(csv.DictReader(handle))

    @property
    def month_ends(self) -> list[date]:
        return [date.fromisoformat(day) for day in self.reference["asof"]]

    @property
    def months(self) -> dict[Month, dict[str, Any]]:
        """The reference's row of each month."""
        return {Month(*map(int, row["month"].split("-"))): row for row in self.reference["monthly"]}

    # --- balances ---

    def credits(self, day: date) -> dict[str, int]:
        """What is open of each receipt, in cents: unapplied cash, and what waits for its invoice's date."""
        left = {key: receipt.amount for key, receipt in self.receipts.items() if receipt.dated <= day}
        for application in self.applications:
            if application.effective <= day:
                left[application.receipt.receipt_id] -= application.amount
        return {key: amount for key, amount in left.items() if amount}

    def unapplied(self, day: date) -> int:
        """The reference's unapplied cash: receipts less applications, each on its own day."""
        return sum(receipt.amount for receipt in self.receipts.values() if receipt.dated <= day) - sum(
            application.amount for application in self.applications if application.applied <= day
        )

    def prepaid(self, day: date) -> int:
        """Applied by `day` to invoices that are dated later: to the ledger still the customer's money."""
        return sum(
            application.amount
            for application in self.applications
            if application.applied <= day < application.effective
        )

    def receivable(self, day: date) -> int:
        """This project's receivable: the reference's open invoices, less the credits."""
        return self.open_invoices(day) - sum(self.credits(day).values())

    def not_due(self, day: date) -> int:
        """Of the receivable, what is due on `day` or later; a credit is as old as its receipt."""
        not_due_credits = sum(
            amount for key, amount in self.credits(day).items() if self.receipts[key].dated >= day
        )
        return self.reference_of(day, "current") - not_due_credits

    def open_invoices(self, day: date) -> int:
        """The reference's receivable, 0 before its first month."""
        asof = self.reference["asof"].get(day.isoformat())
        return cents(asof["ar_total"]) if asof else 0

    def reference_of(self, day: date, bucket: str) -> int:
        return cents(self.reference["asof"][day.isoformat()]["buckets"][bucket])

    # --- flows ---

    @cached_property
    def billed_by_day(self) -> Counter[date]:
        billed: Counter[date] = Counter()
        for invoice in self.invoices.values():
            billed[invoice.dated] += invoice.amount
        return billed

    def billed(self, first: date, last: date) -> int:
        return sum(amount for day, amount in self.billed_by_day.items() if first <= day <= last)

    def billed_in(self, month: Month) -> int:
        return self.billed(month.end.replace(day=1), month.end)

    def settled(self, *, effective: bool) -> dict[Month, list[Settled]]:
        """The invoices that cash paid off, by month; on the ledger's dates, or on those of the source."""
        paid: dict[str, int] = defaultdict(int)
        by_month: dict[Month, list[Settled]] = defaultdict(list)

        def day_of(application: Application) -> date:
            return application.effective if effective else application.applied

        for application in sorted(self.applications, key=day_of):
            invoice = application.invoice
            paid[invoice.invoice_id] += application.amount
            if paid[invoice.invoice_id] == invoice.amount:
                day = day_of(application)
                by_month[Month.of(day)].append(Settled(invoice, day))
        return by_month

    def applied_in(self, month: Month) -> list[Application]:
        return [application for application in self.applications if Month.of(application.effective) == month]

    # --- metrics: this project's definitions on the receivable that is given ---

    def countback(self, month: Month, receivable: int, *, through_empty_months: bool) -> Fraction | None:
        """Days of sales, newest month first, that make up the receivable; None when history runs out."""
        if receivable <= 0:
            return Fraction(0)
        left, days = receivable, Fraction(0)
        first = Month.of(min(self.billed_by_day))
        while (month.year, month.number) >= (first.year, first.number):
            sales = self.billed_in(month)
            if sales <= 0 and not through_empty_months:
                return None
            if left < sales:
                return days + Fraction(left * month.days, sales)
            left -= sales
            days += month.days
            month = month.before()
            if left == 0:
                return days
        return None


def ratio(numerator: int | Fraction, denominator: int | Fraction) -> Fraction | None:
    return Fraction(numerator) / Fraction(denominator) if denominator else None


def mean(values: Iterable[int]) -> Fraction | None:
    numbers = list(values)
    return ratio(sum(numbers), len(numbers))


def weighted(pairs: Iterable[tuple[int, int]]) -> Fraction | None:
    """The mean of (weight, value) pairs."""
    listed = list(pairs)
    return ratio(sum(weight * value for weight, value in listed), sum(weight for weight, _ in listed))
