"""Batches of generated companies: one warehouse per batch, compared company by company with the reference."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.internal.conjecture.providers import HypothesisProvider

from tests.close.compare import Comparison, group_differences, read_sheet
from tests.close.harness import Built, Company, Question, asking, run_directly
from tests.close.strategies import FIRST_DAY, RUN_DAY, companies
from tests.close.transformed import dump, renamed, smaller
from tests.oracle.book import Book
from tests.oracle.metrics import month_ends

BASES = ("due_date", "invoice_date", "posting_date")
CANDIDATES = 120  # smaller companies that one warehouse tries at once


def generate(count: int, number: int, *, always_convertible: bool = False) -> list[Book]:
    """`count` companies; the same `number` gives the same ones."""
    books: list[Book] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(companies(name="X", always_convertible=always_convertible))
    def collect(book: Book) -> None:
        books.append(renamed(book, f"B{number}N{len(books)}"))

    # Hypothesis also draws numbers that it finds in the source of what is imported: no two changes of
    # the project, and no two workers of one test run, would see the same companies.
    with patch.object(HypothesisProvider, "_maybe_draw_constant", lambda *_, **__: None):
        collect()
    return books


def random_questions(number: int) -> list[Question]:
    """As known then, on some day, now and restated: days and bases are drawn from `number`."""
    draw = random.Random(number)
    span = (RUN_DAY - FIRST_DAY).days
    days = [FIRST_DAY + timedelta(days=draw.randrange(span + 1)) for _ in range(12)]
    basis = [draw.choice(BASES) for _ in range(16)]
    questions = [Question(day, day, basis[i]) for i, day in enumerate(days[:4])]
    for i, day in enumerate(days[4:8]):
        known_at = FIRST_DAY + timedelta(days=draw.randrange(span + 1))
        questions.append(Question(day, known_at, basis[4 + i]))
    questions += [Question(day, None, basis[8 + i]) for i, day in enumerate(days[8:10])]
    questions += [Question(day, RUN_DAY, basis[10 + i]) for i, day in enumerate(days[:2])]
    questions += [Question(day, None, basis[12 + i], "restated") for i, day in enumerate(days[9:12])]
    return list(dict.fromkeys(questions))


def random_days(number: int) -> list[date]:
    """Some month ends and some days in between, the last ones among them."""
    draw = random.Random(number + 1)
    ends = month_ends(FIRST_DAY, RUN_DAY)
    others = [RUN_DAY - timedelta(days=draw.randrange(200)) for _ in range(4)]
    return sorted({*draw.sample(ends, 3), *others, RUN_DAY})


@dataclass(frozen=True)
class Outcome:
    """What was wrong in a batch: per company, for the group, and in dbt's own tests."""

    companies: dict[str, list[str]]
    group: list[str]
    failed_checks: str | None  # dbt skips what follows a failed test, so nothing is compared then


def compare_batch(folder: Path, books: Sequence[Book], number: int) -> Outcome:
    """Build a warehouse of these companies and compare everything."""
    return compare_built(run_directly(folder, [Company(book) for book in books], RUN_DAY), books, number)


def compare_built(built: Built, books: Sequence[Book], number: int) -> Outcome:
    """Compare everything that was built from these companies; questions and days are drawn from `number`."""
    if built.failed_checks:
        return Outcome({}, [], built.failed_checks)
    with asking(built) as answers:
        sheet = read_sheet(answers, random_questions(number), random_days(number))
    comparisons = [Comparison(book, sheet) for book in books]
    wrong = {one.company_id: found for one in comparisons if (found := one.differences())}
    group = group_differences(comparisons, sheet) if not wrong else []
    return Outcome(wrong, group, None)


def smallest(folder: Path, book: Book, number: int, *, rounds: int = 40) -> tuple[Book, list[str]]:
    """A smallest company that still disagrees: row after row is left out, many variants to one warehouse."""
    found: list[str] = []
    for step in range(rounds):
        variants = [renamed(one, f"S{step}V{i}") for i, one in enumerate(smaller(book))][:CANDIDATES]
        if not variants:
            break
        outcome = compare_batch(folder / f"smaller{step}", variants, number)
        failing = [one for one in variants if one.config.default_company in outcome.companies]
        if not failing:
            break
        book = min(failing, key=lambda one: len(dump(one)))
        found = outcome.companies[book.config.default_company]
    return book, found


def report(folder: Path, books: Sequence[Book], outcome: Outcome, number: int) -> str:
    """What went wrong, with the smallest company that shows it."""
    if outcome.companies:
        by_name = {book.config.default_company: book for book in books}
        name = min(outcome.companies, key=lambda one: len(dump(by_name[one])))
        book, found = smallest(folder, by_name[name], number)
        lines = [f"{len(outcome.companies)} of {len(books)} companies disagree; the smallest, made smaller:"]
        return "\n".join([*lines, dump(book), *(found or outcome.companies[name])[:12]])
    return "\n".join([*outcome.group[:12], outcome.failed_checks or ""])
