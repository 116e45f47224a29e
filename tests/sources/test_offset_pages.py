"""Lists that are read page by page while rows come, go and move."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from receivables.errors import TransientError
from receivables.sources.offset_pages import OffsetPages, Page


class List:
    """A list of ids that `change` may alter before each page."""

    def __init__(self, ids: list[int], change: Callable[[List], None] | None = None) -> None:
        self.ids = ids
        self.change = change
        self.calls = 0
        self.largest = 200
        self.one_size = False

    def page(self, number: int, size: int) -> Page:
        self.calls += 1
        if self.change:
            self.change(self)
        size = self.largest if self.one_size else min(size, self.largest)
        start = (number - 1) * size
        rows = [{"id": str(one)} for one in self.ids[start : start + size]]
        return Page(rows, has_more=start + size < len(self.ids), size=size)

    def read(self) -> list[int]:
        pages = OffsetPages(self.page, key="id", largest=200, what="list")
        return [int(row["id"]) for page in pages.whole() for row in page]


@pytest.mark.parametrize("rows", [0, 1, 199, 200, 201, 399, 400, 12_345])
@pytest.mark.parametrize(("largest", "one_size"), [(200, False), (60, False), (7, False), (200, True)])
def test_each_row_comes_once(rows: int, largest: int, one_size: bool) -> None:
    service = List(list(range(rows)))
    service.largest, service.one_size = largest, one_size
    assert service.read() == list(range(rows))


def test_the_overlap_costs_about_a_tenth_more_pages() -> None:
    service = List(list(range(40_000)))
    service.read()
    assert service.calls < 225


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("one_size", [False, True])
def test_rows_that_stay_are_all_seen_however_many_others_go(seed: int, one_size: bool) -> None:
    chance = random.Random(seed)

    def change(service: List) -> None:
        for _ in range(chance.randrange(4)):
            if service.ids:
                service.ids.remove(chance.choice(service.ids))
        service.ids += [10_000 + service.calls]

    service = List(list(range(1500)), change)
    service.one_size = one_size
    read = service.read()
    assert len(read) == len(set(read))
    assert set(service.ids) - set(read) <= set(range(10_000, 99_999)), (
        "only what came meanwhile may be missed"
    )


def test_rows_that_move_to_the_front_are_seen() -> None:
    def change(service: List) -> None:
        service.ids.insert(0, service.ids.pop())

    read = List(list(range(1000)), change).read()
    assert sorted(read) == list(range(1000))


def test_a_list_that_never_stands_still_is_worth_a_retry() -> None:
    def change(service: List) -> None:
        service.ids = list(range(service.calls * 1000, service.calls * 1000 + 1000))

    with pytest.raises(TransientError, match="changes faster"):
        List([1], change).read()
