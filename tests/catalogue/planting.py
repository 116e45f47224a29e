"""Changes to the rows of a company, as the catalogue's records describe them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from receivables.entities import ENTITIES
from tests.catalogue.company import Row, Rows

Record = Mapping[str, Any]
HERE = Path(__file__).parent


def records(name: str) -> list[Record]:
    """The records of one file of the catalogue."""
    loaded: list[Record] = yaml.load((HERE / f"{name}.yml").read_text(encoding="utf-8"), yaml.BaseLoader)
    return loaded


def plant(rows: Rows, change: Record) -> None:
    """Change the rows of one entity.

    `like` + `set`: add copies of a row (`times`, numbered {n}); `new`: add a row; `row` + `set`: change one;
    `every` + `set`: each n-th; `fill`: a column of all; `drop`, `rename`: columns; `keep`, `remove_first`:
    rows; `missing`: the file.
    """
    table = rows[change["entity"]]
    key = ENTITIES[change["entity"]].key[0]
    if "like" in change:
        original = next(row for row in table if row[key] == change["like"])
        for number in range(1, int(change.get("times", 1)) + 1):
            _add(table, {**original, **_numbered(change["set"], number)}, change["entity"])
            if "then" in change:
                _add(table, {**original, **change["set"], **change["then"]}, change["entity"])
    elif "new" in change:
        _add(table, dict(change["new"]), change["entity"])
    elif "row" in change:
        next(row for row in table if row[key] == change["row"]).update(change["set"])
    elif "every" in change:
        for row in table[:: int(change["every"])]:
            row.update(change["set"])
    for column, value in change.get("fill", {}).items():
        for row in table:
            row[column] = value
    for old, new in change.get("rename", {}).items():
        for row in table:
            row[new] = row.pop(old)
    if "drop" in change:
        for row in table:
            row.pop(change["drop"], None)
    if "keep" in change:
        del table[int(change["keep"]) :]
    if "remove_first" in change:
        del table[: int(change["remove_first"])]
    if "missing" in change:
        del rows[change["entity"]]
    if "with" in change:
        plant(rows, change["with"])


def _numbered(values: Mapping[str, str], number: int) -> Row:
    return {column: value.format(n=number) if "{n" in value else value for column, value in values.items()}


def _add(table: list[Row], row: Row, entity: str) -> None:
    """Two faults may be planted by one row: it is delivered once."""
    names = ENTITIES[entity].key
    if all([new.get(name) for name in names] != [row.get(name) for name in names] for new in table):
        table.append(row)
