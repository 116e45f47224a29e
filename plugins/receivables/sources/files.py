"""Files as a source: CSV, Parquet and Excel; one file, a folder or a glob per entity."""

from __future__ import annotations

import codecs
import csv
import glob
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq
import python_calamine

from receivables.errors import PermanentError, ReceivablesError
from receivables.settings import Settings
from receivables.sources.base import BATCH_ROWS, SourceBatch, UnreadableRow, Window
from receivables.sources.config import FilesSource, expand_all
from receivables.yamlfile import did_you_mean

_ENDINGS = {
    ".csv": "csv", ".txt": "csv", ".tsv": "csv", ".parquet": "parquet",
    ".xlsx": "excel", ".xlsm": "excel", ".xls": "excel", ".xlsb": "excel", ".ods": "excel",
}  # fmt: skip
_DELIMITERS = {",": "','", ";": "';'", "\t": "'\\t' (tab)", "|": "'|'"}
_ENCODINGS = ("utf-8", "gb18030", "utf-16", "cp1252")
_LONGEST_FIELD = 1 << 24
_TAIL = "receivables-tail"


def _forgive_tail(error: UnicodeError) -> tuple[str, int]:
    """Replace a character that the end of the file cuts in two; a wrong byte anywhere else is an error."""
    if isinstance(error, UnicodeDecodeError) and error.end == len(error.object):
        reason = error.reason.lower()
        if "unexpected end" in reason or "incomplete" in reason or "truncated" in reason:
            return ("\ufffd", error.end)
    raise error


codecs.register_error(_TAIL, _forgive_tail)


@dataclass(frozen=True)
class _Layout:
    """How one entity's files are read, after the source's defaults."""

    format: str | None
    delimiter: str
    encoding: str
    quote: str
    skip_rows: int
    sheet: str | int | None
    decimal: str


class _BrokenRow(list[str]):
    """A row whose quotes do not fit; the reader goes on behind it."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = (
            "a quote is opened and never closed: this row and everything after it is unreadable"
            if "unexpected end" in fault
            else f"the quotes do not fit ({fault})"
        )


class FilesConnector:
    """Reads the files of one source."""

    def __init__(self, source: FilesSource, settings: Settings) -> None:
        self.source = source
        texts = {name: entity.path for name, entity in source.entities.items()}
        if source.base is not None:
            texts["base"] = source.base
        expanded = expand_all(texts, settings, what=f"source {source.name} ({source.file})")
        folder = source.file.parent.resolve()
        base = folder / Path(expanded.pop("base")).expanduser() if source.base is not None else folder
        self._paths = {name: str(base / Path(path).expanduser()) for name, path in expanded.items()}

    def close(self) -> None:
        """Nothing stays open."""

    def describe(self, entity: str) -> tuple[str, ...]:
        """The columns of the entity's first file."""
        return self._columns(self._files(entity)[0], entity)

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """Every row of every file."""
        for path in self._files(entity):
            yield from self._read_file(path, entity)

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """A file holds what is there: the same as reading it."""
        for path in self._files(entity):
            yield from self._read_file(path, entity)

    # --- which files ---

    def _what(self, entity: str, path: Path | str) -> str:
        return f"source {self.source.name}, {entity}: {path}"

    def _files(self, entity: str) -> list[Path]:
        wanted = self._paths[entity]
        path = Path(wanted)
        if path.is_file():
            return [path]
        layout = self._layout(entity)
        if path.is_dir():
            found = sorted(
                child for child in path.iterdir() if child.is_file() and not child.name.startswith(".")
            )
            found = [child for child in found if layout.format or child.suffix.lower() in _ENDINGS]
        elif glob.has_magic(wanted):
            found = sorted(child for child in map(Path, glob.glob(wanted, recursive=True)) if child.is_file())  # noqa: PTH207
        else:
            found = []
        if not found:
            raise self._missing(entity, path)
        return found

    def _missing(self, entity: str, path: Path) -> PermanentError:
        if path.is_dir():
            cause = "the folder holds no CSV, Parquet or Excel file"
        elif glob.has_magic(str(path)):
            cause = "no file matches"
        elif not path.parent.is_dir():
            cause = f"there is no such file; its folder {path.parent} does not exist either"
        else:
            names = sorted(child.name for child in path.parent.iterdir() if child.is_file())
            cause = f"there is no such file{did_you_mean(path.name, names)}"
        return PermanentError(
            self._what(entity, path),
            cause=cause,
            next_step=f"put the file there, or correct entities.{entity}.path in {self.source.file.name}",
        )

    def _layout(self, entity: str) -> _Layout:
        own = self.source.entities[entity]

        def pick(name: str, default: Any) -> Any:
            value = getattr(own, name)
            value = getattr(self.source, name) if value is None else value
            return default if value is None else value

        return _Layout(
            format=pick("format", None),
            delimiter=pick("delimiter", ""),
            encoding=pick("encoding", "utf-8-sig"),
            quote=pick("quote", '"'),
            skip_rows=pick("skip_rows", 0),
            sheet=pick("sheet", None),
            decimal=pick("decimal", "."),
        )

    def _format(self, path: Path, entity: str) -> str:
        kind = self._layout(entity).format or _ENDINGS.get(path.suffix.lower())
        if kind is None:
            raise PermanentError(
                self._what(entity, path),
                cause=f"the ending '{path.suffix}' does not say what kind of file it is",
                next_step="write `format: csv`, `parquet` or `excel` at"
                f" entities.{entity} in {self.source.file.name}",
            )
        return kind

    # --- reading ---

    def _columns(self, path: Path, entity: str) -> tuple[str, ...]:
        if self._format(path, entity) == "parquet":
            return tuple(self._parquet(path, entity).schema_arrow.names)
        if self._format(path, entity) == "excel":
            return tuple(self._header(self._excel_rows(path, entity), path, entity))
        with self._open(path, entity) as handle:
            try:
                return tuple(self._header(self._csv_rows(handle, path, entity), path, entity))
            except UnicodeDecodeError as error:
                raise self._wrong_encoding(path, entity, error) from error

    def _read_file(self, path: Path, entity: str) -> Iterator[SourceBatch]:
        kind = self._format(path, entity)
        try:
            if kind == "parquet":
                yield from self._read_parquet(path, entity)
            elif kind == "excel":
                yield from self._read_rows(self._excel_rows(path, entity), path, entity)
            else:
                with self._open(path, entity) as handle:
                    yield from self._read_rows(self._csv_rows(handle, path, entity), path, entity)
        except UnicodeDecodeError as error:
            raise self._wrong_encoding(path, entity, error) from error
        except OSError as error:
            raise self._unreadable(path, entity, str(error)) from error

    def _unreadable(self, path: Path, entity: str, reason: str) -> PermanentError:
        return PermanentError(
            self._what(entity, path),
            cause=f"cannot be read ({reason})",
            next_step="check that it is a whole file of the kind its ending says,"
            " and that this user may read it",
        )

    def _open(self, path: Path, entity: str) -> TextIO:
        try:
            if path.stat().st_size == 0:
                raise PermanentError(
                    self._what(entity, path),
                    cause="the file is empty (0 bytes): not even a header",
                    next_step="deliver it again; an export without rows still has its header line",
                )
            return path.open(encoding=self._layout(entity).encoding, errors=_TAIL, newline="")
        except OSError as error:
            raise self._unreadable(path, entity, str(error)) from error

    def _wrong_encoding(self, path: Path, entity: str, error: UnicodeDecodeError) -> PermanentError:
        encoding = self._layout(entity).encoding
        guess = next((name for name in _ENCODINGS if _decodes(path, name)), None)
        fix = f"write `encoding: {guess}`" if guess else "write its `encoding:`"
        return PermanentError(
            self._what(entity, path),
            cause=f"is not {encoding.removesuffix('-sig')} text"
            f" (byte 0x{error.object[error.start]:02x} cannot be read)"
            + (f"; as {guess} it can" if guess else ""),
            next_step=f"{fix} at entities.{entity} or at the top of {self.source.file.name}",
        )

    def _csv_rows(self, handle: TextIO, path: Path, entity: str) -> Iterator[list[str]]:
        layout = self._layout(entity)
        csv.field_size_limit(_LONGEST_FIELD)
        for _ in range(layout.skip_rows):
            handle.readline()
        delimiter = layout.delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")
        quoting: dict[str, Any] = {"quotechar": layout.quote} if layout.quote else {"quoting": csv.QUOTE_NONE}
        reader = csv.reader(handle, delimiter=delimiter, strict=True, **quoting)
        while True:
            try:
                yield from reader
            except csv.Error as error:
                yield _BrokenRow(str(error))
            else:
                return

    def _header(self, rows: Iterator[list[str]], path: Path, entity: str) -> list[str]:
        header = [name.strip() for name in next(rows, [])]
        while header and not header[-1]:
            header.pop()
        if not header:
            raise PermanentError(
                self._what(entity, path),
                cause="there is no header row",
                next_step="deliver the file with column names in its first row, or set `skip_rows`"
                " to the lines above the header",
            )
        twice = sorted({name for name in header if name and header.count(name) > 1})
        if twice:
            raise PermanentError(
                self._what(entity, path),
                cause=f"two columns have the same name: {', '.join(twice)}",
                next_step="give each column its own name in the export",
            )
        if len(header) == 1:
            self._check_delimiter(header[0], path, entity)
        return [name or f"column {position}" for position, name in enumerate(header, start=1)]

    def _check_delimiter(self, header: str, path: Path, entity: str) -> None:
        if self._format(path, entity) != "csv":
            return
        used = self._layout(entity).delimiter or ","
        guess = max((mark for mark in _DELIMITERS if mark != used), key=header.count)
        if header.count(guess):
            written = "\\t" if guess == "\t" else guess
            raise PermanentError(
                self._what(entity, path),
                cause=f"only one column was found with the delimiter {_DELIMITERS.get(used, repr(used))}:"
                f" '{header}'; it looks as if the delimiter is {_DELIMITERS[guess]}",
                next_step=f'write `delimiter: "{written}"` at entities.{entity} or at'
                f" the top of {self.source.file.name}",
            )

    def _read_rows(self, rows: Iterator[list[str]], path: Path, entity: str) -> Iterator[SourceBatch]:
        """Batches of text columns. Row numbers are those of a spreadsheet: the header is 1 + skip_rows."""
        header = self._header(rows, path, entity)
        first = self._layout(entity).skip_rows + 2
        width = len(header)
        while chunk := list(islice(rows, BATCH_ROWS)):
            numbers: range | list[int] = range(first, first + len(chunk))
            first += len(chunk)
            broken: list[UnreadableRow] = []
            if set(map(len, chunk)) != {width}:
                chunk, numbers, broken = _split_broken(chunk, numbers, width=width, path=path)
            columns = list(zip(*chunk, strict=True)) if chunk else [()] * width
            table = pa.table(
                {name: pa.array(column, pa.string()) for name, column in zip(header, columns, strict=True)}
            )
            yield SourceBatch(table, path.name, numbers, tuple(broken))

    def _parquet(self, path: Path, entity: str) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise self._unreadable(path, entity, f"not a whole Parquet file: {error}") from error

    def _read_parquet(self, path: Path, entity: str) -> Iterator[SourceBatch]:
        first = 1
        with self._parquet(path, entity) as file:
            try:
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    table = pa.Table.from_batches([batch])
                    yield SourceBatch(table, path.name, range(first, first + table.num_rows))
                    first += table.num_rows
            except pa.ArrowInvalid as error:
                raise self._unreadable(path, entity, str(error)) from error

    def _excel_rows(self, path: Path, entity: str) -> Iterator[list[str]]:
        layout = self._layout(entity)
        try:
            with python_calamine.CalamineWorkbook.from_path(path) as book:
                sheet = self._sheet(book, path, entity)
                rows = sheet.to_python(skip_empty_area=False)
        except ReceivablesError:
            raise
        except (python_calamine.CalamineError, OSError) as error:
            raise self._unreadable(path, entity, f"not an Excel file: {error}") from error
        width = max(map(len, rows), default=0)
        for row in islice(rows, layout.skip_rows, None):
            cells = [cell_text(cell, decimal=layout.decimal) for cell in row]
            yield cells + [""] * (width - len(cells))

    def _sheet(self, book: Any, path: Path, entity: str) -> Any:
        names = book.sheet_names
        wanted = self._layout(entity).sheet
        if wanted is None:
            return book.get_sheet_by_index(0)
        if isinstance(wanted, int) and 1 <= wanted <= len(names):
            return book.get_sheet_by_index(wanted - 1)
        if wanted in names:
            return book.get_sheet_by_name(wanted)
        raise PermanentError(
            self._what(entity, path),
            cause=f"there is no sheet '{wanted}'{did_you_mean(str(wanted), names)};"
            f" the sheets are {', '.join(names)}",
            next_step=f"correct `sheet` at entities.{entity} in {self.source.file.name}",
        )


def cell_text(cell: Any, *, decimal: str = ".") -> str:
    """An Excel cell as text: 1000.0 is '1000', dates are ISO, numbers have the source's decimal separator."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell).replace(".", decimal)
    if isinstance(cell, datetime):
        return cell.isoformat(timespec="microseconds" if cell.microsecond else "seconds")
    if isinstance(cell, date):
        return datetime.combine(cell, time()).isoformat(timespec="seconds")
    if isinstance(cell, time | timedelta):
        return str(cell)
    return "" if cell is None else str(cell)


def _split_broken(
    chunk: list[list[str]], numbers: range | list[int], *, width: int, path: Path
) -> tuple[list[list[str]], list[int], list[UnreadableRow]]:
    """Rows of the right width, and those that are not. Surplus empty cells at the end are nothing."""
    whole: list[list[str]] = []
    places: list[int] = []
    broken: list[UnreadableRow] = []
    for number, row in zip(numbers, chunk, strict=True):
        if isinstance(row, _BrokenRow):
            broken.append(UnreadableRow(f"{path.name}:{number}", row.fault, ""))
            continue
        if not any(cell.strip() for cell in row):
            continue
        if len(row) > width and not any(row[width:]):
            row = row[:width]
        if len(row) == width:
            whole.append(row)
            places.append(number)
            continue
        few = "few" if len(row) < width else "many"
        hint = "cut off while it was written?" if few == "few" else "a delimiter inside an unquoted value?"
        broken.append(
            UnreadableRow(
                location=f"{path.name}:{number}",
                reason=f"too {few} columns: {len(row)} where the header has {width} ({hint})",
                payload=json.dumps(row, ensure_ascii=False)[:4000],
            )
        )
    return whole, places, broken


def _decodes(path: Path, encoding: str) -> bool:
    try:
        with path.open(encoding=encoding, errors=_TAIL) as handle:
            while handle.read(1 << 20):
                pass
    except (UnicodeError, OSError):
        return False
    return True
