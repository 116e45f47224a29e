"""Questions to the published version, as SQL."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Any, TextIO

import duckdb

from receivables.errors import PermanentError
from receivables.publish import PUBLIC, RESTRICTED, open_published
from receivables.settings import Settings


@dataclass(frozen=True)
class Answer:
    """The result of one statement: column names and rows."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def ask(settings: Settings, sql: str, *, restricted: bool = False) -> Answer:
    """Run one statement on the version that readers see.

    Raises:
        PermanentError: nothing is published, or the statement is wrong (the engine says why).
    """
    file = settings.published / "current" / (RESTRICTED if restricted else PUBLIC)
    if not file.exists():
        raise PermanentError(
            "published version",
            cause="nothing is published yet",
            next_step="see the demo (receivables demo), or run a day: receivables run --as-of DAY",
        )
    # Through the link to the version: a publication in the middle of the statement changes nothing for it.
    file = file.resolve()
    try:
        with open_published(file) as connection:
            cursor = connection.execute(sql)
            columns = tuple(column[0] for column in cursor.description or ())
            return Answer(columns, cursor.fetchall() if columns else [])
    except duckdb.PermissionException as error:
        raise _refused(sql, error, "only the tables of the published version can be read here") from error
    except duckdb.IOException as error:
        raise PermanentError(
            f"published file {file}",
            cause=str(error),
            next_step="read it as its owner or as a member of its group, or without --restricted",
        ) from error
    except duckdb.Error as error:
        raise _refused(
            sql, error, "`show all tables` lists the tables, `describe marts.NAME` the columns"
        ) from error


def write_csv(answer: Answer, target: TextIO) -> None:
    """Write all rows with a header; amounts keep every decimal."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)


def _refused(sql: str, error: duckdb.Error, next_step: str) -> PermanentError:
    shown = " ".join(sql.split())
    return PermanentError(
        f"query {shown[:60] + '…' if len(shown) > 60 else shown}",
        cause=str(error).strip(),
        next_step=next_step,
    )
