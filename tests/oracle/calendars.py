"""The periods that a company reports by: calendar months, or the periods of a year of weeks.

Follows "Calendars" of docs/LEDGER.md.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """From `first` to `last`, both inside."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


@dataclass(frozen=True)
class Calendar:
    """`kind`: calendar, or the weeks of the three periods of a quarter, e.g. 4-4-5."""

    kind: str = "calendar"
    start_month: int = 1

    def containing(self, day: date) -> Period:
        """The period that a day is in."""
        if self.kind == "calendar":
            return Period(day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1]))
        years = (day.year - 1, day.year, day.year + 1)
        (found,) = (one for year in years for one in self._of_year(year) if one.first <= day <= one.last)
        return found

    def before(self, period: Period, count: int = 1) -> Period:
        """The period that is `count` periods earlier."""
        for _ in range(count):
            period = self.containing(period.first - ONE_DAY)
        return period

    def complete(self, first: date, last: date) -> list[Period]:
        """Every period from the one of `first` to the last that is over on `last`."""
        found, period = [], self.containing(first)
        while period.last <= last:
            found.append(period)
            period = self.containing(period.last + ONE_DAY)
        return found

    def _of_year(self, year: int) -> list[Period]:
        """The twelve periods of the year that starts next to the first of its month in `year`."""
        found, first = [], self._starts(year)
        for weeks in [int(text) for text in self.kind.split("-")] * 4:
            found.append(Period(first, first + timedelta(weeks=weeks) - ONE_DAY))
            first = found[-1].last + ONE_DAY
        found[-1] = Period(found[-1].first, self._starts(year + 1) - ONE_DAY)  # a 53rd week, if there is one
        return found

    def _starts(self, year: int) -> date:
        """The Monday nearest to the first of the month."""
        first = date(year, self.start_month, 1)
        near = [first + timedelta(days=shift) for shift in range(-3, 4)]
        (monday,) = (day for day in near if day.weekday() == 0)
        return monday


MONTHS = Calendar()
