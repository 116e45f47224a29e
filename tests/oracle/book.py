"""What the reference implementation is given: the rows of one source, with every version of each.

A `Book` holds canonical rows (`entities.py`) as plain dictionaries; amounts and rates are `Decimal`,
days are `date`. Nothing here computes a balance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

from tests.oracle.calendars import MONTHS, Calendar, Period

Row = dict[str, Any]
Key = tuple[Any, ...]
Basis = Literal["due_date", "invoice_date", "posting_date"]

KEYS: dict[str, tuple[str, ...]] = {
    "customers": ("customer_id",),
    "invoices": ("invoice_id",),
    "instalments": ("invoice_id", "instalment_number"),
    "credit_memos": ("credit_memo_id",),
    "receipts": ("receipt_id",),
    "applications": ("application_id",),
    "adjustments": ("adjustment_id",),
    "exchange_rates": ("rate_date", "from_currency", "to_currency", "rate_type"),
    "gl_balances": ("company_id", "balance_date", "currency_code", "account"),
}


@dataclass(frozen=True)
class Version:
    """One version of a row; a removed version is a tombstone and its row is empty."""

    row: Row
    known_on: date
    removed: bool = False


@dataclass(frozen=True)
class Bucket:
    """An ageing bucket; `None` is an open end."""

    name: str
    min_days: int | None
    max_days: int | None

    def holds(self, days: int) -> bool:
        above = self.min_days is None or days >= self.min_days
        return above and (self.max_days is None or days <= self.max_days)


Edges = tuple[int, ...]


def buckets(overdue: Edges = (30, 60, 90, 120), forward: Edges = ()) -> tuple[Bucket, ...]:
    """The buckets between the given last days; `forward` splits what is not due by the days left."""
    found = [Bucket("not_due", None, 0)]
    if forward:
        found = [Bucket(f"due_in_{forward[-1] + 1}+", None, -forward[-1] - 1)]
        for nearest, farthest in zip((0, *(edge + 1 for edge in forward)), forward, strict=False):
            found.append(Bucket(f"due_in_{nearest}-{farthest}", -farthest, -nearest))
    for first, last in zip((1, *(edge + 1 for edge in overdue)), overdue, strict=False):
        found.append(Bucket(f"{first}-{last}", first, last))
    return (*found, Bucket(f"{overdue[-1] + 1}+", overdue[-1] + 1, None))


MINOR_UNITS = {"JPY": 0, "KRW": 0, "KWD": 3, "BHD": 3}  # every other currency has 2 decimals


@dataclass(frozen=True)
class Config:
    """What `receivables.yml` and the source file say."""

    companies: dict[str, str]  # company id -> company currency
    default_company: str
    default_currency: str
    reporting_currency: str
    allocation_policy: str = "fifo"
    buckets: tuple[Bucket, ...] = buckets()
    calendar: Calendar = MONTHS
    timezone: str = "UTC"
    aging_basis: Basis = "due_date"  # of the stored ageing
    day_count: str = "calendar"  # or 30: the days of a calendar month in the metrics
    reconciliation_tolerance: Decimal = Decimal(0)

    def days_of(self, period: Period, calendar: Calendar) -> int:
        """The days that a period counts for in the metrics."""
        return 30 if self.day_count == "30" and calendar.kind == "calendar" else period.days

    def bucket(self, days: int) -> str:
        """The one bucket that holds `days`; two or none is a mistake in the configuration."""
        (bucket,) = (bucket for bucket in self.buckets if bucket.holds(days))
        return bucket.name


@dataclass
class Book:
    """All rows of one source: per entity and key the chain of versions, oldest first."""

    config: Config
    run_day: date  # nothing that became known later is read
    chains: dict[str, dict[Key, list[Version]]] = field(default_factory=dict)

    def add(self, entity: str, row: Row, known_on: date) -> None:
        """Deliver a row: its first version, or a change when the key is known already."""
        key = tuple(row.get(column) for column in KEYS[entity])
        self.chains.setdefault(entity, {}).setdefault(key, []).append(Version(row, known_on))

    def remove(self, entity: str, key: Key, known_on: date) -> None:
        """The source no longer holds the row."""
        self.chains[entity][key].append(Version({}, known_on, removed=True))

    def entity(self, entity: str) -> dict[Key, list[Version]]:
        return self.chains.get(entity, {})

    @cached_property
    def quotes(self) -> dict[tuple[str, str], dict[date, Fraction]]:
        """Every rate of every pair, as known on the day of the run. Read only once the book is complete."""
        rates: dict[tuple[str, str], dict[date, Fraction]] = {}
        for (day, source, target, _), chain in self.entity("exchange_rates").items():
            row = current_row(chain, self.run_day)
            if row is not None:
                rates.setdefault((source, target), {})[day] = Fraction(row["rate"])
        return rates


def seen_at(chain: list[Version], known_at: date) -> list[Version]:
    """The versions known by `known_at`; of two on one day the last one counts."""
    by_day = {version.known_on: version for version in chain if version.known_on <= known_at}
    return [by_day[day] for day in sorted(by_day)]


def current_row(chain: list[Version], known_at: date) -> Row | None:
    """The row of the version that covers `known_at`; None when unknown or removed."""
    seen = seen_at(chain, known_at)
    return seen[-1].row if seen and not seen[-1].removed else None


def minor_unit(currency: str) -> int:
    return MINOR_UNITS.get(currency, 2)


def to_minor(amount: Decimal, unit: int) -> int:
    """An amount as a whole number of minor units; an amount with a finer part is refused."""
    scaled = Fraction(amount) * 10**unit
    if scaled.denominator != 1:
        raise ValueError(f"{amount} has more than {unit} decimals")
    return scaled.numerator


def to_decimal(minor: int, unit: int) -> Decimal:
    return Decimal(minor).scaleb(-unit)


def round_half_up(value: Fraction) -> int:
    """The nearest whole number; a half goes away from zero, so a credit rounds as its debit does."""
    magnitude = (abs(value) * 2 + 1) // 2
    return int(magnitude) if value >= 0 else -int(magnitude)


def convert(minor: int, rate: Fraction, from_unit: int, to_unit: int) -> int:
    """Minor units of one currency in minor units of another."""
    return round_half_up(Fraction(minor) * rate * Fraction(10) ** (to_unit - from_unit))
