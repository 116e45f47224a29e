"""What the demo company is calibrated on, read from `calibration.json`."""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

CALIBRATION_FILE = Path(__file__).with_name("calibration.json")


@dataclass(frozen=True)
class PaymentClass:
    """Customers of one payment habit; days late are relative to the due date, negative is early."""

    name: str
    share: float
    mean_days_late: float
    within_sd: float
    bad_debt_share: float


@dataclass(frozen=True)
class Pick:
    """A weighted choice that costs one random number."""

    values: tuple[Any, ...]
    cumulative: tuple[float, ...]

    @classmethod
    def of(cls, shares: dict[Any, float]) -> Pick:
        total = sum(shares.values())
        return cls(tuple(shares), tuple(accumulate(share / total for share in shares.values())))

    def __call__(self, rng: Random) -> Any:
        return self.values[min(bisect_left(self.cumulative, rng.random()), len(self.values) - 1)]


@dataclass(frozen=True)
class Quantiles:
    """A distribution known by some of its quantiles, straight lines between them."""

    levels: tuple[float, ...]
    values: tuple[float, ...]

    def draw(self, rng: Random) -> float:
        level = min(max(rng.random(), self.levels[0]), self.levels[-1])
        right = max(1, bisect_left(self.levels, level))
        low, high = self.levels[right - 1], self.levels[right]
        share = (level - low) / (high - low)
        return self.values[right - 1] + share * (self.values[right] - self.values[right - 1])


@dataclass(frozen=True)
class Calibration:
    """The figures that drive the simulation; `figures` and `choices` are the file's two parts."""

    figures: dict[str, Any]
    choices: dict[str, Any]
    classes: tuple[PaymentClass, ...]
    payments_per_invoice: Pick
    first_part: Quantiles
    terms: dict[str, Pick]
    currencies: dict[str, Pick]
    companies: Pick
    month_weights: tuple[int, ...]  # thousandths, January first
    weekday_weights: tuple[int, ...]  # ten-thousandths, Monday first
    payment_weekdays: tuple[float, ...]

    def chance(self, name: str) -> float:
        return self.choices[name]


@lru_cache(maxsize=1)
def load_calibration() -> Calibration:
    content = json.loads(CALIBRATION_FILE.read_text(encoding="utf-8"))
    figures, choices = content["figures"], content["choices"]
    parts = figures["first_part_payment"]["quantiles"]
    return Calibration(
        figures=figures,
        choices=choices,
        classes=tuple(
            PaymentClass(
                name, row["share"], row["mean_days_late"], row["within_sd"], choices["bad_debt"][name]
            )
            for name, row in figures["payment_classes"]["classes"].items()
        ),
        payments_per_invoice=Pick.of(
            {int(count): share for count, share in figures["payments_per_invoice"]["shares"].items()}
        ),
        first_part=Quantiles(tuple(map(float, parts)), tuple(parts.values())),
        terms={
            company: Pick.of({int(days): share for days, share in mix.items()})
            for company, mix in choices["terms_days"].items()
        },
        currencies={company: Pick.of(mix) for company, mix in choices["currencies"].items()},
        companies=Pick.of(choices["company_share"]),
        month_weights=tuple(round(1000 * index) for index in figures["month_seasonality"]["index"].values()),
        weekday_weights=tuple(round(10_000 * share) for share in figures["weekday_invoices"]["shares"]),
        payment_weekdays=tuple(figures["weekday_payments"]["shares"]),
    )
