"""How the command line talks: tables and JSON on stdout, progress and errors on stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from receivables.errors import ReceivablesError

# What is read by a file or another program is not folded to a terminal's width.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
err = Console(stderr=True, highlight=False)

STEP_NAMES = {
    "extract": "read the sources",
    "load": "load into the warehouse",
    "check_raw": "check what was loaded",
    "transform": "build and test the models",
    "candidate": "copy the new version",
    "check_marts": "check the new version",
    "publish": "publish",
    "docs": "write the documentation",
}


def print_json(value: Any) -> None:
    """One JSON document on stdout. Amounts are texts: a JSON number would be read as a binary float."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, ReceivablesError):
        return error_facts(value)
    if isinstance(value, Decimal | Path):
        return str(value)
    return str(value)


def error_facts(error: ReceivablesError) -> dict[str, Any]:
    """An error as a program wants it."""
    return {
        "what": error.what,
        "cause": error.cause,
        "next_step": error.next_step,
        "exit_code": error.exit_code,
    }


def print_error(error: ReceivablesError) -> None:
    """An error as a person wants it: what it is about, what went wrong, what to do."""
    err.print(f"[bold red]Error:[/] [bold]{escape(error.what)}[/]", soft_wrap=True)
    err.print(f"  {escape(error.cause)}", soft_wrap=True)
    err.print(f"  [green]Next:[/] {escape(error.next_step)}", soft_wrap=True)


def table(
    title: str | None, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[str] = ()
) -> Table:
    """A table; numbers and the columns named in `right` stand on the right."""
    rows = [list(row) for row in rows]
    made = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    for position, column in enumerate(columns):
        numeric = any(isinstance(row[position], int | float | Decimal) for row in rows)
        made.add_column(column, justify="right" if numeric or column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows as a table; as one block per row when the terminal is too narrow for a table."""
    made = table(None, columns, rows)
    if made.__rich_measure__(out, out.options.update(max_width=10_000)).maximum <= out.width:
        out.print(made)
        return
    width = max(map(len, columns))
    for number, row in enumerate(rows, start=1):
        out.print(f"[dim]{f'── {number} ':─<{min(out.width, 60)}}[/]")
        for column, value in zip(columns, row, strict=True):
            out.print(f"[bold]{escape(column):<{width}}[/]  {cell(value)}", soft_wrap=True)


def cell(value: Any) -> str:
    """A value as people read it: thousands separated, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal | float):
        return f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return escape(", ".join(map(str, value)))
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return escape(str(value))


@contextmanager
def step_progress(title: str, *, quiet: bool = False) -> Iterator[Callable[[str, str, int, int], None]]:
    """Show a run's steps as they happen: bars on a terminal, one line per step elsewhere."""
    if quiet:
        yield lambda *_: None
    elif err.is_terminal:
        with _bars() as progress:
            yield _on_bars(progress, title)
    else:
        seen: set[str] = set()

        def tell(step: str, what: str, done: int, total: int) -> None:
            if step not in seen:
                seen.add(step)
                err.print(f"{title}: {STEP_NAMES.get(step, step)}")

        yield tell


def _bars() -> Progress:
    return Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[what]}"),
        console=err,
    )


def _on_bars(progress: Progress, title: str) -> Callable[[str, str, int, int], None]:
    bars: dict[str, Any] = {}

    def tell(step: str, what: str, done: int, total: int) -> None:
        if step not in bars:
            finish(progress, bars)
            description = f"{title} {STEP_NAMES.get(step, step)}"
            bars[step] = progress.add_task(description, total=total or None, what="")
        progress.update(bars[step], completed=done, total=total or None, what=what)

    return tell


def finish(progress: Progress, bars: dict[str, Any]) -> None:
    """Mark every bar shown so far as done."""
    for bar in bars.values():
        total = progress.tasks[bar].total or 1
        progress.update(bar, completed=total, total=total, what="")
