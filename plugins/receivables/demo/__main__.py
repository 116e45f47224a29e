"""`python -m receivables.demo`: make a demo company, or move it forward."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path

from receivables.demo.company import FIRST_DAY, advance, create
from receivables.errors import ReceivablesError


def main() -> int:
    arguments = _parser().parse_args()
    try:
        if not arguments.path.exists() or arguments.replace:
            create(
                arguments.path,
                seed=arguments.seed,
                invoices=arguments.invoices,
                days=arguments.days,
                start=arguments.start,
                customers=arguments.customers,
                progress=_show,
            )
        if arguments.to is not None:
            advance(arguments.path, arguments.to, progress=_show)
    except ReceivablesError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m receivables.demo", description=__doc__)
    parser.add_argument(
        "--path", type=Path, required=True, help="the SQLite file; made when it does not exist"
    )
    parser.add_argument("--replace", action="store_true", help="make it anew although it exists")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--invoices", type=int, default=6_000, help="invoices written in --days days")
    parser.add_argument("--days", type=int, default=730)
    parser.add_argument("--start", type=date.fromisoformat, default=FIRST_DAY, metavar="DAY")
    parser.add_argument("--customers", type=int, default=None, help="default: one per 44 invoices")
    parser.add_argument(
        "--to", type=date.fromisoformat, default=None, metavar="DAY", help="move forward to DAY"
    )
    return parser


def _show(done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        sys.stderr.write(f"\rday {done} of {total}" + ("\n" if done == total else ""))


if __name__ == "__main__":
    raise SystemExit(main())
