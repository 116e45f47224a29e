"""Reading a list page by page while it changes.

A list that is cut by page number shifts when a row before the cut goes: the next page then begins behind a
row that nobody has seen. Here each page begins on a row that the page before has shown; when it does not,
rows went, and the reading steps back until the pages connect. It costs about a tenth more pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from receivables.errors import TransientError

_PASSES = 4


@dataclass(frozen=True)
class Page:
    """One page. `sorted_by` and `size` are the service's own words on the order and the page size."""

    rows: list[dict[str, Any]]
    has_more: bool
    sorted_by: str | None = None
    size: int | None = None


class OffsetPages:
    """A list behind `fetch(page, size)`, pages counted from 1; `key` is the field that identifies a row."""

    def __init__(self, fetch: Callable[[int, int], Page], *, key: str, largest: int, what: str) -> None:
        self._fetch = fetch
        self._key = key
        self._largest = largest
        self._what = what
        self._is_size_fixed = False
        self._pages = 0
        self.sorted_by: str | None = None

    def forward(self) -> Iterator[list[dict[str, Any]]]:
        """Each row once, in the order of the list; not those that moved to where was read already."""
        seen: set[str] = set()
        yield from self._forward(seen)

    def whole(self) -> Iterator[list[dict[str, Any]]]:
        """Each row once; also those that moved to the front of the list meanwhile."""
        seen: set[str] = set()
        yield from self._forward(seen)
        if self._pages == 1:
            return
        if self._is_size_fixed:
            # Pages that cannot overlap hide what slips between them: read again until nothing new comes.
            for _ in range(_PASSES):
                before = len(seen)
                yield from self._forward(seen)
                if len(seen) == before:
                    break
        while True:
            page = self._ask(1, self._largest)
            fresh = self._fresh(page.rows, seen)
            if fresh:
                yield fresh
            # A page of the front is all new only if still more has moved there.
            if len(fresh) < len(page.rows) or not page.rows:
                return

    def _forward(self, seen: set[str]) -> Iterator[list[dict[str, Any]]]:
        end, back = 0, 1
        while True:
            number, size = self._page_at(max(end - back, 0), end)
            page = self._ask(number, size)
            self.sorted_by = page.sorted_by
            if page.size is not None and page.size != size:
                # Smaller: it caps the size. Larger: it knows one size only.
                self._is_size_fixed = self._is_size_fixed or page.size > size
                self._largest = size = page.size
            start = (number - 1) * size
            is_connected = start in {0, end} or (page.rows and str(page.rows[0][self._key]) in seen)
            if not is_connected:
                if back > end:
                    raise self._unsteady()
                back *= 8
                continue
            if start == 0 < end and not any(str(row[self._key]) in seen for row in page.rows):
                raise self._unsteady()
            fresh = self._fresh(page.rows, seen)
            if fresh:
                yield fresh
            if not page.has_more:
                return
            if start + len(page.rows) <= end and back == 1:
                raise self._unsteady()
            end, back = start + len(page.rows), 1

    def _ask(self, number: int, size: int) -> Page:
        self._pages += 1
        return self._fetch(number, size)

    def _fresh(self, rows: list[dict[str, Any]], seen: set[str]) -> list[dict[str, Any]]:
        fresh = []
        for row in rows:
            key = str(row[self._key])
            if key not in seen:
                seen.add(key)
                fresh.append(row)
        return fresh

    def _page_at(self, offset: int, end: int) -> tuple[int, int]:
        """The page number and size that begin at `offset` or a little before, and reach furthest."""
        if not self._is_size_fixed:
            sizes = range(self._largest, self._largest // 2, -1)
            size = max(sizes, key=lambda size: (offset // size + 1) * size)
            if (offset // size + 1) * size > end or offset < end - 1:
                return offset // size + 1, size
        # No size makes a page that overlaps: the next one begins where the last one ended, or before.
        return end // self._largest + 1, self._largest

    def _unsteady(self) -> TransientError:
        return TransientError(
            self._what,
            cause="the list changes faster than it can be read",
            next_step="the run tries again by itself; choose a quieter hour",
        )
