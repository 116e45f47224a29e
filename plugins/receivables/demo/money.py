"""Money of the demo company: whole minor units in memory, decimal text in the database.

Every amount is an integer number of minor units (CNY, EUR and USD all have two decimals) and every rate an
integer number of millionths, so that nothing is ever rounded but where the ledger rounds.
"""

from __future__ import annotations

RATE_UNIT = 1_000_000

# What one US dollar is worth when amounts and limits are drawn; booking uses the rates of the day.
NOMINAL_PER_USD = {"USD": 1.0, "EUR": 0.92, "CNY": 7.2}


def amount_text(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}" if minor >= 0 else f"-{amount_text(-minor)}"


def rate_text(rate: int) -> str:
    return f"{rate // RATE_UNIT}.{rate % RATE_UNIT:06d}"


def converted(minor: int, rate: int) -> int:
    """A non-negative amount in the company's currency, rounded half up to the minor unit."""
    return minor if rate == RATE_UNIT else (2 * minor * rate + RATE_UNIT) // (2 * RATE_UNIT)


def tax_within(gross: int, basis_points: int) -> int:
    """The tax in a gross amount, rounded half up."""
    whole = 10_000 + basis_points
    return (2 * gross * basis_points + whole) // (2 * whole)
