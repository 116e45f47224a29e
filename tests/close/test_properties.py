"""Generated companies: the warehouse agrees with the plain-Python reference in every balance and metric.

COMPANIES: how many are generated (500); BATCH: how many share a warehouse (250); FIRST_SEED: the first seed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.close.generated import compare_batch, generate, report

COUNT = int(os.environ.get("COMPANIES", "500"))
BATCH = int(os.environ.get("BATCH", "250"))
FIRST_SEED = int(os.environ.get("FIRST_SEED", "1"))
NUMBERS = range(FIRST_SEED, FIRST_SEED + max(1, COUNT // BATCH))

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", NUMBERS)
def test_the_warehouse_agrees_with_the_reference(number: int, tmp_path: Path) -> None:
    # In every second batch all amounts can be converted, so that the group has figures too.
    books = generate(BATCH, number, always_convertible=number % 2 == 0)
    outcome = compare_batch(tmp_path / "batch", books, number)
    if outcome.companies or outcome.group or outcome.failed_checks:
        pytest.fail(report(tmp_path, books, outcome, number), pytrace=False)
