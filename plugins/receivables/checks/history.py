"""What is usual, learnt from what former runs measured: the bands of volumes and sums.

Receivables have a rhythm: little on Sundays, most invoices at a month's end. A day is therefore compared
with days of its own class. The band is median ± a multiple of the median absolute deviation, which one wild
day does not move, and never narrower than a share of the median.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from statistics import median

import duckdb

# Older days than these say nothing about the business of today.
OLDEST = timedelta(days=400)
# So many days of the same class make a band; else so many days of any class.
SAME_CLASS = 5
ANY_CLASS = 20
# The newest days of a class count: a business grows.
NEWEST = 12
# The standard deviation of a normal distribution is this multiple of its median absolute deviation.
_MAD_TO_DEVIATION = Decimal("1.4826")
_CENT = Decimal("0.01")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Band:
    """The usual range of a number; without edges nothing is known yet. `learnt` says from what."""

    low: Decimal | None
    high: Decimal | None
    learnt: str


@dataclass(frozen=True)
class History:
    """The numbers that former runs recorded, by suite and check, oldest first; one per business day."""

    measured: Mapping[tuple[str, str], Sequence[tuple[date, Decimal]]] = field(default_factory=dict)

    def names(self, suite: str, prefix: str) -> list[str]:
        """The checks of a suite that have been measured before and start with `prefix`."""
        return sorted(name for of, name in self.measured if of == suite and name.startswith(prefix))

    def band(
        self,
        suite: str,
        check: str,
        day: date,
        *,
        width: Decimal,
        floor: Decimal,
        least: Decimal = Decimal(0),
    ) -> Band:
        """The usual range of a check's number on a day like `day`.

        Args:
            width: how many deviations from the median are usual.
            floor: the band is at least this share of the median wide on both sides …
            least: … and at least this amount.
        """
        days = self.measured.get((suite, check), ())
        alike = [value for on, value in days if day_class(on) == day_class(day)][-NEWEST:]
        kind = f"{len(alike)} days like it ({day_class(day)})"
        if len(alike) < SAME_CLASS:
            alike = [value for _, value in days][-ANY_CLASS:]
            kind = f"the last {len(alike)} days"
            if len(alike) < ANY_CLASS:
                return Band(None, None, f"{len(days)} days of history, not enough to know what is usual")
        middle = median(alike)
        deviation = median([abs(value - middle) for value in alike]) * _MAD_TO_DEVIATION
        reach = max(width * deviation, floor * abs(middle), least)
        return Band((middle - reach).quantize(_CENT), (middle + reach).quantize(_CENT), kind)


def day_class(day: date) -> str:
    """Days that are alike: the last three and the first of a month, else the day of the week."""
    if (day + timedelta(days=3)).month != day.month or day.day == 1:
        return "month end"
    return _WEEKDAYS[day.weekday()]


def learn(connection: duckdb.DuckDBPyConnection, day: date, *, suites: str) -> History:
    """What the runs before `day` measured in suites whose name starts with `suites`.

    Of several runs of one business day the last one counts; an unusual day counts too, because the median
    forgives one and learns from many.
    """
    known = connection.execute(
        "select 1 from information_schema.tables where table_schema = 'quality'"
        " and table_name = 'check_results' and table_catalog = current_database()"
    ).fetchone()
    if known is None:
        return History()
    rows = connection.execute(
        """
        select suite, "check", as_of_date, try_cast(arg_max(observed, checked_at) as decimal(38, 2)) as value
        from quality.check_results
        where starts_with(suite, ?) and starts_with(expected, ?) and as_of_date < ? and as_of_date >= ?
        group by suite, "check", as_of_date
        order by as_of_date
        """,
        [suites, USUALLY, day, day - OLDEST],
    ).fetchall()
    measured: dict[tuple[str, str], list[tuple[date, Decimal]]] = {}
    for suite, check, on, value in rows:
        if value is not None:
            measured.setdefault((suite, check), []).append((on, value))
    return History(measured)


# How `quality.check_results.expected` begins for a measured number; by it the history is found again.
USUALLY = "usually "


def expected(band_low: str | None, band_high: str | None, learnt: str) -> str:
    """What a check on a band expects, in words."""
    if band_low is None or band_high is None:
        return f"{USUALLY}not known yet: {learnt}"
    return f"{USUALLY}{band_low} to {band_high}, learnt from {learnt}"
