"""The landing folder: Parquet parts of one extract, and last a manifest that says they are whole.

A folder without a manifest is a half-written extract: nobody reads it and the next attempt replaces it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from receivables.crash import crash_point
from receivables.errors import PermanentError
from receivables.settings import Settings
from receivables.sources.base import BATCH_ROWS

MANIFEST = "manifest.json"
PROGRESS = "progress.json"
KINDS = ("part", "refused", "keys")


@dataclass(frozen=True)
class Part:
    """One Parquet file of an extract; `kind` is part, refused or keys."""

    name: str
    kind: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What one extract holds. Times are UTC; `control_totals` is the sum of the amounts per currency."""

    source: str
    entity: str
    run: str
    as_of_date: date
    mode: str
    rows: int
    refused_rows: int
    unreadable_rows: int
    control_totals: dict[str, str]
    window_from: datetime | None
    window_to: datetime
    watermark: datetime | None
    allow_empty: bool
    distinct: bool
    parts: tuple[Part, ...]
    source_columns: tuple[str, ...]
    columns_added: tuple[str, ...]
    columns_gone: tuple[str, ...]
    checksum: str
    started_at: datetime
    finished_at: datetime
    # Of the source's own columns, where it has types: a database, Parquet. A text file has none.
    source_types: dict[str, str] = field(default_factory=dict)

    @property
    def has_sweep(self) -> bool:
        """Whether the keys still present in the source were read beside the changes."""
        return any(part.kind == "keys" for part in self.parts)


def extract_folder(settings: Settings, *, source: str, entity: str, run: str) -> Path:
    return settings.landing / source / entity / run


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class PartWriter:
    """Writes one kind of part in files of about BATCH_ROWS rows."""

    def __init__(self, folder: Path, kind: str, *, parts: Sequence[Part] = ()) -> None:
        self._folder = folder
        self._kind = kind
        self._waiting: list[pa.Table] = []
        self.parts: list[Part] = [part for part in parts if part.kind == kind]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts) + sum(table.num_rows for table in self._waiting)

    def write(self, table: pa.Table) -> None:
        """Add rows; a part is written as soon as there are enough."""
        if table.num_rows:
            self._waiting.append(table)
        if sum(waiting.num_rows for waiting in self._waiting) >= BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        self._waiting = []
        path = self._folder / f"{self._kind}-{len(self.parts):05d}.parquet"
        pq.write_table(table, path, compression="zstd", compression_level=1)
        _fsync(path)
        self.parts.append(Part(path.name, self._kind, table.num_rows, sha256_of(path)))
        crash_point("extract.part")


@dataclass(frozen=True)
class Progress:
    """What an extract of many windows has read so far: the first `windows` of them are whole.

    `task` tells what was being read, of which source file and up to when: another task starts anew.
    """

    task: str
    windows: int = 0
    rows_read: int = 0
    parts: tuple[Part, ...] = ()
    unreadable_rows: int = 0
    control_totals: dict[str, str] = field(default_factory=dict)
    watermark: datetime | None = None
    source_types: dict[str, str] = field(default_factory=dict)


def write_progress(folder: Path, progress: Progress) -> None:
    """Declare the windows so far whole: atomically, after their parts are on disk."""
    temporary = folder / f".{PROGRESS}.{os.getpid()}"
    temporary.write_text(json.dumps(asdict(progress), default=_to_text, indent=1), encoding="utf-8")
    _fsync(temporary)
    temporary.rename(folder / PROGRESS)
    _fsync(folder)
    crash_point("extract.window")


def take_up(folder: Path, task: str) -> Progress:
    """What an attempt that broke off has left of a task, moved to this folder; an empty folder without one.

    The attempt may have been another run's: its folder becomes this one. A part of no whole window goes.
    """
    for path in sorted(folder.parent.glob(f"*/{PROGRESS}")):
        progress = _read_progress(path)
        if progress is None or progress.task != task or (path.parent / MANIFEST).exists():
            continue
        if path.parent != folder:
            shutil.rmtree(folder, ignore_errors=True)
            path.parent.rename(folder)
        kept = {PROGRESS, *(part.name for part in progress.parts)}
        for child in folder.iterdir():
            if child.name not in kept:
                child.unlink()
        return progress
    start_folder(folder)
    return Progress(task)


def _read_progress(path: Path) -> Progress | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        watermark = datetime.fromisoformat(data["watermark"]) if data["watermark"] else None
        parts = tuple(Part(**part) for part in data["parts"])
        return Progress(**{**data, "parts": parts, "watermark": watermark})
    except (ValueError, TypeError, KeyError):
        return None


def start_folder(folder: Path) -> None:
    """An empty folder: what an earlier attempt left goes, its manifest first."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def checksum(parts: Sequence[Part]) -> str:
    """One checksum over all parts of an extract."""
    return hashlib.sha256("\n".join(f"{part.name} {part.sha256}" for part in parts).encode()).hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Declare the extract whole: atomically, after its parts are on disk."""
    temporary = folder / f".{MANIFEST}.{os.getpid()}"
    temporary.write_text(
        json.dumps(asdict(manifest), default=_to_text, indent=1, ensure_ascii=False), encoding="utf-8"
    )
    _fsync(temporary)
    crash_point("extract.manifest")
    temporary.rename(folder / MANIFEST)
    (folder / PROGRESS).unlink(missing_ok=True)
    _fsync(folder)


def _to_text(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a manifest cannot hold {type(value).__name__}")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a whole extract, None when there is none.

    Raises:
        PermanentError: the manifest is damaged.
    """
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(
            **{
                **data,
                "as_of_date": date.fromisoformat(data["as_of_date"]),
                "parts": tuple(Part(**part) for part in data["parts"]),
                **{name: tuple(data[name]) for name in ("source_columns", "columns_added", "columns_gone")},
                **{
                    name: datetime.fromisoformat(data[name]) if data[name] else None
                    for name in ("window_from", "window_to", "watermark", "started_at", "finished_at")
                },
            }
        )
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise PermanentError(
            str(path), cause=f"is damaged ({error})", next_step="delete the folder and extract again"
        ) from error


def verify(folder: Path, manifest: Manifest) -> None:
    """Check every part against the manifest: present, unchanged, with the rows it should have.

    Raises:
        PermanentError: a part is missing or differs.
    """
    for part in manifest.parts:
        path = folder / part.name
        if not path.is_file():
            fault = "is missing"
        elif sha256_of(path) != part.sha256:
            fault = "is not what the extract wrote: its checksum differs"
        elif pq.ParquetFile(path).metadata.num_rows != part.rows:
            fault = f"does not hold the {part.rows} rows that the manifest says"
        else:
            continue
        raise PermanentError(
            f"landing {path}",
            cause=fault,
            next_step="delete the folder and extract again; nothing was loaded",
        )
    counted = {kind: sum(part.rows for part in manifest.parts if part.kind == kind) for kind in KINDS}
    if (counted["part"], counted["refused"]) != (manifest.rows, manifest.refused_rows):
        raise PermanentError(
            f"landing {folder}",
            cause=f"the parts hold {counted['part']} and {counted['refused']} refused rows, the manifest says"
            f" {manifest.rows} and {manifest.refused_rows}",
            next_step="delete the folder and extract again; nothing was loaded",
        )


def earlier_manifest(settings: Settings, *, source: str, entity: str, run: str) -> Manifest | None:
    """The newest whole extract of another run."""
    folder = settings.landing / source / entity
    if not folder.is_dir():
        return None
    paths = [path for path in folder.glob(f"*/{MANIFEST}") if path.parent.name != run]
    newest = max(paths, key=lambda path: path.stat().st_mtime, default=None)
    return read_manifest(newest.parent) if newest else None


def prune(settings: Settings, *, source: str, keep: int = 10) -> None:
    """Drop old extracts of a source; the newest `keep` runs of each entity stay for inspection."""
    for entity in (settings.landing / source).glob("*"):
        runs = sorted(
            (path for path in entity.iterdir() if path.is_dir()),
            key=lambda path: path.stat().st_mtime,
            reverse=True,
        )
        for old in runs[keep:]:
            (old / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(old, ignore_errors=True)
