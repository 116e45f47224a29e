"""What a scenario expects against what was answered, whoever answered: the oracle or the warehouse."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.golden.scenarios import Expected, ExpectedItem

ZERO = Decimal(0)


@dataclass(frozen=True)
class Answer:
    """One open item as it was answered."""

    document: str
    instalment: int
    customer: str
    currency: str
    amount: Decimal
    days: int
    bucket: str
    company_amount: Decimal | None
    group_amount: Decimal | None


def differences(expected: Expected, answers: Iterable[Answer], *, fields: int = 7) -> list[str]:
    """Every way in which the answer is not what the scenario says; empty = it agrees.

    `fields`: 7 compares the group amounts too, where the scenario states them; 6 leaves them out.
    """
    given = list(answers)
    found = []
    shows = min(fields, max((item.shows for item in expected.items), default=5))
    wanted_items = sorted(_shown(item, shows) for item in expected.items)
    given_items = sorted(_shown(one, shows) for one in given)
    if wanted_items != given_items:
        found.append(f"items: expected {wanted_items}, got {given_items}")
    totals: dict[str, Decimal] = defaultdict(lambda: ZERO)
    credits: dict[str, Decimal] = defaultdict(lambda: ZERO)
    customers: dict[str, Decimal] = defaultdict(lambda: ZERO)
    cells: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(lambda: ZERO))
    for one in given:
        totals[one.currency] += one.amount
        credits[one.currency] += min(one.amount, ZERO)
        customers[one.customer] += one.amount
        cells[one.currency][one.bucket] += one.amount
    _compare(found, "totals", expected.totals, totals)
    if "credits" in expected.others:
        _compare(found, "credits", expected.others["credits"], credits)
    if "customers" in expected.others:
        _compare(found, "customers", expected.others["customers"], customers)
    for currency in {*expected.buckets, *cells}:
        _compare(found, f"buckets {currency}", expected.buckets.get(currency, {}), cells[currency])
    if "company_total" in expected.others:
        amounts = [one.company_amount for one in given]
        total = None if None in amounts else sum((amount for amount in amounts if amount is not None), ZERO)
        if total != expected.others["company_total"]:
            found.append(f"company total: expected {expected.others['company_total']}, got {total}")
    return found


def _shown(item: ExpectedItem | Answer, fields: int) -> tuple[str, ...]:
    values = (item.document, item.instalment, item.amount, item.days, item.bucket)
    converted = (item.company_amount, item.group_amount)[: fields - 5]
    return tuple(str(_plain(value)) for value in (*values, *converted))


def _plain(value: object) -> object:
    return value.normalize() if isinstance(value, Decimal) else value


def _compare(found: list[str], what: str, expected: dict[str, Decimal], given: dict[str, Decimal]) -> None:
    wanted = {key: amount for key, amount in expected.items() if amount}
    got = {key: amount for key, amount in given.items() if amount}
    if wanted != got:
        found.append(f"{what}: expected {wanted}, got {got}")


def metric_differences(wanted: Mapping[str, str], row: Mapping[str, Any]) -> list[str]:
    """Every figure of a metric row that is not what the scenario says, rounded half up to its decimals."""
    found = []
    for column, text in wanted.items():
        if column in ("mart", "month", "currency"):
            continue
        shown = _rounded(row[column], text)
        if shown != text:
            found.append(f"{column}: expected {text}, got {shown}")
    return found


def _rounded(value: Any, like: str) -> str:
    if value is None or isinstance(value, str):
        return "null" if value is None else value
    places = len(like.partition(".")[2])
    exact = Fraction(value) if isinstance(value, Fraction | int | Decimal) else Fraction(repr(value))
    scaled = abs(exact) * 10**places
    minor = int((scaled * 2 + 1) // 2) * (1 if exact >= 0 else -1)
    return f"{Decimal(minor).scaleb(-places):.{places}f}"
