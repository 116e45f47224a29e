"""The demo company's ERP as a SQLite file: made for a number of days, then moved forward day by day."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from receivables.demo.calibration import load_calibration
from receivables.demo.cash import bounce, receive_advance, receive_payments
from receivables.demo.credit_control import close_dispute, dun, open_dispute, review_limit, welcome
from receivables.demo.credits import (
    apply_credit,
    concede_discount,
    grant_bonus,
    plan_accruals,
    record_accruals,
    record_credit_journal,
    refund,
    return_goods,
    reverse_accrual,
    write_off,
)
from receivables.demo.database import SCHEMA_FILE, Database
from receivables.demo.sales import (
    Sale,
    cancel_draft,
    deliver,
    new_sales,
    post_draft,
    record_invoice,
    void_invoice,
)
from receivables.demo.world import Parameters, World
from receivables.errors import PermanentError

FIRST_DAY = date(2024, 7, 1)
# The layout of the file and of the state in it; a file of another version cannot be moved forward.
VERSION = "1"
FEWEST_CUSTOMERS = 24

Progress = Callable[[int, int], None]

EVENTS: dict[str, Callable[..., object]] = {
    "accruals": record_accruals,
    "advance": receive_advance,
    "apply_credit": apply_credit,
    "bonus": grant_bonus,
    "bounce": bounce,
    "cancel_draft": cancel_draft,
    "close_dispute": close_dispute,
    "concede_discount": concede_discount,
    "credit_journal": record_credit_journal,
    "deliver": deliver,
    "dun": dun,
    "invoice": lambda world, *details: record_invoice(world, Sale(*details)),
    "open_dispute": open_dispute,
    "post_draft": post_draft,
    "refund": refund,
    "return_goods": return_goods,
    "reverse_accrual": reverse_accrual,
    "review_limit": review_limit,
    "void_invoice": void_invoice,
    "write_off": write_off,
}


def create(
    path: Path,
    *,
    seed: int = 7,
    invoices: int = 6_000,
    days: int = 730,
    start: date = FIRST_DAY,
    customers: int | None = None,
    pace_days: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the ERP as it stood at the end of the last of `days` days from `start` on.

    The same arguments give the same rows. An older demo company at `path` is replaced, in one rename.

    Args:
        path: the SQLite file to write.
        seed: another seed, another company.
        invoices: how many invoices are written in `pace_days` days; the company goes on at that pace.
        days: how many days to simulate.
        start: the first business day; no document is dated before it.
        customers: how many customers there are after `pace_days`; by default from the calibration.
        pace_days: the days that `invoices` counts over; `days` if not given. With one pace, a company made
            for N days and moved forward M days equals one made for N + M days.
        progress: called after each day with the days done and the days in all.

    Raises:
        PermanentError: an argument is below 1, or `path` holds something that is no demo company.
    """
    path = Path(path)
    parameters = _parameters(seed, invoices, days, start, customers, pace_days or days)
    _refuse_foreign_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
            # Nobody reads the file before it is renamed, so it needs no journal to roll back with.
            connection.execute("pragma journal_mode = off")
            connection.execute("pragma synchronous = off")
            connection.executescript(SCHEMA_FILE.read_text(encoding="utf-8"))
            connection.execute("begin")
            world = World(parameters, Database(connection))
            world.open_for_business()
            _simulate(world, parameters.start + days - 1, progress)
            connection.execute("commit")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def advance(path: Path, to_day: date, progress: Progress | None = None) -> int:
    """Move the demo company forward to the end of a day, in one transaction; returns the days moved.

    Raises:
        PermanentError: `path` is no demo company, of another version, or already past `to_day`.
    """
    path = Path(path)
    if not path.is_file():
        raise PermanentError(
            str(path), cause="there is no such file", next_step="make one with `receivables demo-data`"
        )
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        database = Database(connection)
        meta = _read_meta(path, connection)
        world = World(
            Parameters(**{name: int(meta[name]) for name in Parameters.__dataclass_fields__}), database
        )
        world.restore(meta["state"])
        ahead = to_day.toordinal() - world.today
        if ahead < 0:
            reached = date.fromordinal(world.today)
            raise PermanentError(
                str(path),
                cause=f"the demo company is at {reached}, past {to_day}; it cannot go back",
                next_step=f"give a day from {reached} on, or make a new company that ends on {to_day}",
            )
        if ahead:
            _simulate(world, to_day.toordinal(), progress)
        connection.execute("commit")
    return ahead


def current_day(path: Path) -> date:
    """The last day that a demo company has been through."""
    with closing(sqlite3.connect(f"file:{Path(path)}?mode=ro", uri=True)) as connection:
        return date.fromisoformat(_read_meta(Path(path), connection)["as_of"])


def _parameters(
    seed: int, invoices: int, days: int, start: date, customers: int | None, pace_days: int
) -> Parameters:
    if customers is None:
        per_customer = load_calibration().figures["invoices_per_customer"]["mean"]
        customers = max(FEWEST_CUSTOMERS, round(invoices / per_customer))
    for name, value in {
        "invoices": invoices,
        "days": days,
        "customers": customers,
        "pace_days": pace_days,
    }.items():
        if value < 1:
            raise PermanentError(
                f"demo company, {name}", cause=f"{value} is below 1", next_step="give 1 or more"
            )
    return Parameters(
        seed=seed, start=start.toordinal(), invoices=invoices, pace_days=pace_days, customers=customers
    )


def _simulate(world: World, last_day: int, progress: Progress | None) -> None:
    first_day = world.today + 1
    for day in range(first_day, last_day + 1):
        _live_through(world, day)
        if progress is not None:
            progress(day - first_day + 1, last_day - first_day + 1)
    world.database.flush()
    world.database.write_meta(
        {
            **{name: str(value) for name, value in asdict(world.parameters).items()},
            "version": VERSION,
            "as_of": date.fromordinal(world.today).isoformat(),
            "state": world.dump(),
        }
    )


def _live_through(world: World, day: int) -> None:
    world.begin(day)
    welcome(world)
    if day == world.parameters.start:
        plan_accruals(world)
    events = world.agenda.pop(day, [])
    for kind, *details in events:
        if kind != "pay":
            EVENTS[kind](world, *details)
    new_sales(world)
    receive_payments(world, [details for kind, *details in events if kind == "pay"])
    world.close_books()
    world.database.flush_when_full()


def _refuse_foreign_file(path: Path) -> None:
    """Never replace a file that this package did not write."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            _read_meta(path, connection)
    except sqlite3.DatabaseError as error:
        raise _not_a_company(path, str(error)) from error


def _read_meta(path: Path, connection: sqlite3.Connection) -> dict[str, Any]:
    try:
        meta = dict(connection.execute("select key, value from demo_meta"))
    except sqlite3.DatabaseError as error:
        raise _not_a_company(path, str(error)) from error
    if meta.get("version") != VERSION:
        raise PermanentError(
            str(path),
            cause=f"it is a demo company of version {meta.get('version')}, this is version {VERSION}",
            next_step="delete it and make a new one",
        )
    return meta


def _not_a_company(path: Path, cause: str) -> PermanentError:
    return PermanentError(
        str(path),
        cause=f"it holds something that is no demo company ({cause})",
        next_step="give another path",
    )
