"""The formulas of the metrics, on numbers alone. `None` in = unknown, `None` out = cannot be computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Number = Fraction | int


def dso(receivable: Number, sales: Number, days: int) -> Fraction | None:
    """AR / NS × D, keeping its sign."""
    return Fraction(receivable) / sales * days if sales > 0 else None


@dataclass(frozen=True)
class Countback:
    """Days of sales that the receivable is worth; `days` is null when history ends first."""

    days: Fraction | None
    days_covered: Fraction
    uncovered: Fraction


def countback(receivable: Number, sales: Sequence[tuple[Number, int]]) -> Countback:
    """Whole months of sales off the receivable, newest first; the last one pro rata.

    `sales` are (net sales, days) of months, newest first. Stops at a month without sales.
    """
    left, days = Fraction(receivable), Fraction(0)
    for amount, days_in_month in sales:
        if left <= 0 or amount <= 0:
            break
        if amount >= left:
            days += left / Fraction(amount) * days_in_month
            left = Fraction(0)
        else:
            days += days_in_month
            left -= amount
    if left > 0:
        return Countback(None, days, left)
    return Countback(days, days, Fraction(0))


def turnover(sales: Number, average: Number) -> Fraction | None:
    if sales <= 0:
        return Fraction(0)
    return Fraction(sales) / average if average > 0 else None


def cei(opening: Number, sales: Number, months: int, closing: Number, not_due: Number) -> Fraction | None:
    """Collection effectiveness in per cent, never clamped; null when nothing was collectible."""
    monthly = opening + Fraction(sales, months)
    return ratio((monthly - closing) * 100, monthly - not_due)


def ratio(part: Number, whole: Number) -> Fraction | None:
    return Fraction(part) / whole if whole else None


def weighted_days(payments: Sequence[tuple[Number, int]]) -> Fraction | None:
    """Σ amount × days / Σ amount."""
    return ratio(sum(amount * days for amount, days in payments), sum(amount for amount, _ in payments))


def mean(values: Sequence[Number]) -> Fraction | None:
    return ratio(sum(values), len(values))
