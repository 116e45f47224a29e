"""The connector interface: what a kind of source must be able to do."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, runtime_checkable

import pyarrow as pa

# Rows per batch and per Parquet part: bounds the memory of an extract, whatever the source holds.
BATCH_ROWS = 100_000


@dataclass(frozen=True)
class Window:
    """Changes from `start` (None: from the beginning) up to, not including, `end`; both aware."""

    start: datetime | None
    end: datetime


@dataclass(frozen=True)
class UnreadableRow:
    """A row that could not be split into columns: its key is unknown."""

    location: str
    reason: str
    payload: str


@dataclass(frozen=True)
class SourceBatch:
    """Rows with the source's own columns, and where each was: `origin` (a file, a table) and row numbers."""

    table: pa.Table
    origin: str
    rows: range | list[int]
    unreadable: tuple[UnreadableRow, ...] = ()

    def shifted(self, rows: int) -> SourceBatch:
        """The same rows, numbered behind this many others."""
        numbers = self.rows
        if isinstance(numbers, range):
            return replace(self, rows=range(numbers.start + rows, numbers.stop + rows))
        return replace(self, rows=[number + rows for number in numbers])


class Connector(Protocol):
    """One source system, opened. Errors are ReceivablesErrors that name the next step, never a secret."""

    def describe(self, entity: str) -> tuple[str, ...]:
        """The columns that the source has for an entity."""

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """All rows of a full entity; of an incremental one those that changed in the window."""

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """All rows still present, with at least the columns that make the key: what is absent was removed."""

    def close(self) -> None:
        """Let go of files and connections."""


@runtime_checkable
class Explaining(Protocol):
    """A connector that says what it met where installations of a system differ."""

    def notes(self, entity: str) -> tuple[str, ...]:
        """Sentences for the person who sets the source up; after `describe`, and again after `read`."""


def read_ahead(batches: Iterator[SourceBatch]) -> Iterator[SourceBatch]:
    """The same batches; the next one is read while this one is worked on, so at most two are in memory."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch
