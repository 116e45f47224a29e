"""Days as integers (`date.toordinal`), and the hours in which the demo company books."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from random import Random

SATURDAY = 5

# UTC seconds of the day between which each company records. Both windows lie inside the hours that are the
# same calendar day in UTC, Berlin and Shanghai, so the day a row was recorded does not depend on who asks.
OFFICE_HOURS = {"HD-CN": (1_800, 36_000), "HD-EU": (25_200, 55_800)}
RATES_PUBLISHED = 1_500
BOOKS_CLOSED = 57_300


@lru_cache(maxsize=8_192)
def iso(day: int) -> str:
    return date.fromordinal(day).isoformat()


@lru_cache(maxsize=8_192)
def month_of(day: int) -> int:
    return date.fromordinal(day).month


def weekday(day: int) -> int:
    """0 is Monday."""
    return (day - 1) % 7


def working_day(day: int) -> int:
    """The day itself, or the Monday after a weekend."""
    over = weekday(day) - SATURDAY
    return day if over < 0 else day + 2 - over


def last_working_day(day: int) -> int:
    """The day itself, or the Friday before a weekend."""
    over = weekday(day) - SATURDAY
    return day if over < 0 else day - 1 - over


def nearest_working_day(day: int) -> int:
    """The day itself, the Friday before a Saturday or the Monday after a Sunday."""
    return day - 1 if weekday(day) == SATURDAY else working_day(day)


def is_month_end(day: int, within: int) -> bool:
    return month_of(day) != month_of(day + within)


def is_rate_day(day: int) -> bool:
    """Rates are published on Monday to Friday except New Year and Christmas."""
    moment = date.fromordinal(day)
    return weekday(day) < SATURDAY and (moment.month, moment.day) not in {(1, 1), (12, 25), (12, 26)}


def timestamp(day: int, second: int) -> str:
    return f"{iso(day)} {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def office_second(company: str, rng: Random) -> int:
    first, last = OFFICE_HOURS[company]
    return first + int(rng.random() * (last - first))
