"""Build generated companies with the models under RECEIVABLES_ROOT and print the first difference found."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.close.generated import compare_batch, generate

# Enough companies that every rule is met a few times; the same ones for every mutation.
BATCHES = ((80, 4), (160, 5))


def first_difference(folder: Path) -> str:
    """What disagrees first; empty when every batch agrees in everything."""
    for count, number in BATCHES:
        books = generate(count, number, always_convertible=number % 2 == 0)
        outcome = compare_batch(folder / str(number), books, number)
        if outcome.failed_checks:
            return outcome.failed_checks[:160]
        for name, found in outcome.companies.items():
            return f"{len(outcome.companies)} of {count} companies, {name}: {found[0][:160]}"
        if outcome.group:
            return f"group: {outcome.group[0][:160]}"
    return ""


if __name__ == "__main__":
    print(first_difference(Path(sys.argv[1])))
