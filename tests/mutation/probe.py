"""Build generated companies with the models under RECEIVABLES_ROOT and print the first difference found."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.close.compare import Comparison, group_differences, read_sheet
from tests.close.generated import generate, random_days, random_questions
from tests.close.harness import Company, asking, run_directly
from tests.close.strategies import RUN_DAY

# Enough companies that every rule is met a few times; the same ones for every mutation. The small batch
# notices most mutations; the large one is built for those that it does not notice.
BATCHES = ((60, 4), (180, 5))


def first_difference(folder: Path) -> str:
    """What disagrees first; empty when every batch agrees in everything."""
    for count, number in BATCHES:
        found = _first_of_batch(folder / str(number), count, number)
        if found:
            return found
    return ""


def _first_of_batch(folder: Path, count: int, number: int) -> str:
    books = generate(count, number, always_convertible=number % 2 == 0)
    built = run_directly(folder, [Company(book) for book in books], RUN_DAY)
    if built.failed_checks:
        return built.failed_checks[:160]
    with asking(built) as answers:
        sheet = read_sheet(answers, random_questions(number), random_days(number))
    comparisons = []
    for book in books:
        comparison = Comparison(book, sheet)
        differences = comparison.differences()
        if differences:
            return f"{comparison.company_id}: {differences[0][:160]}"
        comparisons.append(comparison)
    group = group_differences(comparisons, sheet)
    return f"group: {group[0][:160]}" if group else ""


if __name__ == "__main__":
    print(first_difference(Path(sys.argv[1])))
