"""Change a company in one way, and the figures change in exactly the way that follows, and in no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.close.compare import Sheet, read_sheet
from tests.close.generated import generate, random_days, random_questions
from tests.close.harness import Built, Company, Question, asking, run_directly, run_files
from tests.close.picture import Picture, changes, picture
from tests.close.strategies import FIRST_DAY, RUN_DAY
from tests.close.transformed import dump, first_versions, renamed, scaled, shifted, with_stranger
from tests.oracle.book import Book

SEED = 4711
COUNT = 40
FOUR_YEARS = 4 * 365 + 1  # the same calendar, leap day included

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def books() -> list[Book]:
    return generate(COUNT, SEED)


@dataclass(frozen=True)
class Told:
    """The pictures of some companies, by name."""

    pictures: dict[str, Picture]

    def __getitem__(self, book: Book) -> Picture:
        return self.pictures[book.config.default_company]


def _sheet(built: Built, shift: int = 0) -> Sheet:
    assert built.failed_checks is None
    delta = timedelta(days=shift)
    questions = [
        replace(one, as_of=one.as_of + delta, known_at=one.known_at + delta if one.known_at else None)
        for one in random_questions(SEED)
    ]
    with asking(built) as answers:
        return read_sheet(answers, questions, [day + delta for day in random_days(SEED)])


def _told(folder: Path, books: Sequence[Book], *, shift: int = 0, reverse: bool = False) -> Told:
    companies = [Company(book) for book in books]
    built = run_directly(folder, companies, books[0].run_day, reverse=reverse)
    sheet = _sheet(built, shift)
    return Told({book.config.default_company: picture(book, sheet) for book in books})


@pytest.fixture(scope="module")
def told(books: list[Book], tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The companies with every twin that lives in the same years."""
    twins = [twin(book) for book in books for twin in TWINS.values()]
    return _told(tmp_path_factory.mktemp("twins"), [*books, *twins])


def _name(book: Book, suffix: str) -> str:
    return f"{book.config.default_company}{suffix}"


TWINS: dict[str, Callable[[Book], Book]] = {
    "renamed": lambda book: renamed(book, _name(book, "Z")),
    "scaled": lambda book: scaled(book, _name(book, "H"), 100),
    "stranger": lambda book: with_stranger(book, _name(book, "S")),
}


def _assert_same(before: Book, expected: Picture, given: Picture) -> None:
    changed = changes(expected, given)
    assert not changed, f"{dump(before)}\n{dict(list(changed.items())[:10])}"


def test_there_is_something_to_compare(books: list[Book], told: Told) -> None:
    assert sum(len(told[book]) for book in books) > 100 * COUNT


def test_another_name_changes_nothing(books: list[Book], told: Told) -> None:
    for book in books:
        _assert_same(book, told[book], told[TWINS["renamed"](book)])


def test_the_order_of_rows_changes_nothing(books: list[Book], told: Told, tmp_path: Path) -> None:
    reversed_books = _told(tmp_path, books, reverse=True)
    for book in books:
        _assert_same(book, told[book], reversed_books[book])


def test_amounts_a_hundred_times_as_large_scale_amounts_and_nothing_else(
    books: list[Book], told: Told
) -> None:
    """Where nothing is rounded: unconverted amounts, payments that are not spread pro rata."""
    for book in books:
        if book.config.allocation_policy == "fifo":
            before = _unrounded(told[book])
            after = _unrounded(told[TWINS["scaled"](book)])
            expected = {
                key: value * 100 if isinstance(value, Decimal) else value for key, value in before.items()
            }
            _assert_same(book, expected, after)


def _unrounded(told: Picture) -> Picture:
    converted = ("company_", "group_")
    tables = ("item", "cell", "ar_aging_daily", "ar_aging_snapshots", "ar_roll_forward")
    return {
        key: value
        for key, value in told.items()
        if key[0] in tables and not str(key[-1]).startswith(converted)
    }


def test_another_customer_changes_no_figure_of_the_others(books: list[Book], told: Told) -> None:
    by_customer = ("item", "cell", "ar_aging_snapshots")
    for book in books:
        before, after = told[book], told[TWINS["stranger"](book)]
        mine = {key: value for key, value in before.items() if key[0] in by_customer or "customer" in key}
        others = {
            key: value
            for key, value in after.items()
            if (key[0] in by_customer or "customer" in key) and not _is_stranger(key)
        }
        assert any(_is_stranger(key) for key in after)
        _assert_same(book, mine, others)


def _is_stranger(key: tuple[object, ...]) -> bool:
    return any(isinstance(part, str) and "STRANGER" in part for part in key)


def test_the_same_four_years_later_is_the_same(books: list[Book], told: Told, tmp_path: Path) -> None:
    """Of companies that report by months: four years are no whole number of years of weeks."""
    by_months = [book for book in books if book.config.calendar.kind == "calendar"]
    assert by_months
    later = _told(tmp_path, [shifted(book, FOUR_YEARS) for book in by_months], shift=FOUR_YEARS)
    for book in by_months:
        _assert_same(book, told[book], later[book])


def test_the_same_a_year_later_has_the_same_items_and_ages(
    books: list[Book], told: Told, tmp_path: Path
) -> None:
    """365 days cross a leap day here, so that months differ and days must not."""
    later = _told(tmp_path, [shifted(book, 365) for book in books], shift=365)
    by_day = ("item", "cell", "ar_aging_daily")
    for book in books:
        expected = {key: value for key, value in told[book].items() if key[0] in by_day}
        given = {key: value for key, value in later[book].items() if key[0] in by_day}
        _assert_same(book, expected, given)


def test_one_load_or_several_make_no_difference(books: list[Book], tmp_path: Path) -> None:
    """Rows that carry the day they were recorded may come in any number of loads."""
    unchanged = [first_versions(book) for book in books]
    companies = [Company(book) for book in unchanged]
    days = [FIRST_DAY + timedelta(days=40 * number) for number in range(5)]
    at_once = run_files(tmp_path / "once", companies, days=[RUN_DAY])
    split = run_files(tmp_path / "split", companies, days=[*days, RUN_DAY])
    direct = run_directly(tmp_path / "direct", companies, RUN_DAY)
    sheets = [_sheet(built) for built in (at_once, split, direct)]
    for book in unchanged:
        once, often, straight = (picture(book, sheet) for sheet in sheets)
        _assert_same(book, once, often)
        _assert_same(book, once, straight)


def test_a_question_may_name_the_day_of_the_run_or_leave_it_out(books: list[Book], tmp_path: Path) -> None:
    built = run_directly(tmp_path, [Company(book) for book in books], RUN_DAY)
    with asking(built) as answers:
        for day in random_days(SEED):
            assert answers.open_items(Question(day, None)) == answers.open_items(Question(day, RUN_DAY))
