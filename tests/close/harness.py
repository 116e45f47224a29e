"""Small companies through the whole pipeline: source files, extract, load, dbt, and what the marts then say.

Many companies share one warehouse, since one dbt run answers for all of them. Each has its own company id and
its own row ids; companies with the same allocation policy share a source.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import yaml

from receivables.company import load_company_config, write_settings
from receivables.entities import ENTITIES, RAW_META
from receivables.errors import CheckFailedError
from receivables.extract import extract
from receivables.load import create_raw, load
from receivables.publish import add_functions
from receivables.settings import Settings
from receivables.sources import get_source, load_sources
from receivables.transform import transform
from receivables.warehouse import reading, writing
from tests.golden.answers import Answer
from tests.golden.scenarios import SOURCE_CURRENCY
from tests.oracle.book import KEYS, Book, Key, Row, Version, seen_at

# The mutation check points RECEIVABLES_ROOT at a changed copy of the models.
ROOT = Path(os.environ.get("RECEIVABLES_ROOT", Path(__file__).resolve().parents[2]))
SNAPSHOT_DAYS = 40
LATE = time(23, 30)  # whoever counts the day of another place gets the wrong one


@dataclass(frozen=True)
class Company:
    """A company to be built: its book, and the name of the source that delivers it."""

    book: Book

    @property
    def company_id(self) -> str:
        return self.book.config.default_company

    @property
    def source(self) -> str:
        return self.book.config.allocation_policy


def install(folder: Path, companies: Sequence[Company]) -> Settings:
    """An installation in `folder` that knows the companies and has one source of files per policy.

    What `receivables.yml` says once for all companies is taken from the first.
    """
    common = companies[0].book.config
    sources = folder / "sources"
    sources.mkdir(parents=True)
    settings = Settings(
        root=ROOT, home=folder / "home", sources_dir=sources, config_file=folder / "receivables.yml"
    )
    configuration = {
        "reporting_currency": common.reporting_currency,
        "companies": [
            {
                "company_id": company_id,
                "company_name": company_id,
                "currency_code": currency,
                "fiscal_calendar": company.book.config.calendar.kind,
                "fiscal_year_start_month": company.book.config.calendar.start_month,
                "timezone": company.book.config.timezone,
            }
            for company in companies
            for company_id, currency in company.book.config.companies.items()
        ],
        "aging_buckets": [one.max_days for one in common.buckets if one.max_days and one.max_days > 0],
        "forward_buckets": [-one.min_days for one in common.buckets if one.min_days and one.min_days < 0],
        "aging_basis": common.aging_basis,
        "day_count": common.day_count,
        "reconciliation_tolerance": str(common.reconciliation_tolerance),
        "daily_snapshot_days": SNAPSHOT_DAYS,
        "currencies": {"KWD": 3},
    }
    settings.config_file.write_text(yaml.safe_dump(configuration, sort_keys=False), encoding="utf-8")
    for source in sorted({company.source for company in companies}):
        described = {
            "kind": "files",
            "base": str(folder / "files" / source),
            "allocation": source,
            "default_currency_code": SOURCE_CURRENCY,
            "entities": {entity: {"path": f"{entity}.csv", "allow_empty": True} for entity in KEYS},
        }
        path = sources / f"{source}.yml"
        path.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    return settings


# --- through source files ---


def load_days(companies: Sequence[Company], run_day: date) -> list[date]:
    """The days on which a load is needed: every change, the day that each changed row began, and the last."""
    days = {run_day}
    for company in companies:
        for chains in company.book.chains.values():
            for chain in chains.values():
                if len(chain) > 1:
                    days.update(version.known_on for version in chain)
    return sorted(day for day in days if day <= run_day)


@dataclass(frozen=True)
class Built:
    """A built warehouse, and what its dbt tests found wrong: None = nothing."""

    settings: Settings
    failed_checks: str | None


def _build(settings: Settings, day: date) -> Built:
    try:
        transform(settings, day, f"{day.isoformat()}-close")
    except CheckFailedError as error:
        return Built(settings, str(error))
    return Built(settings, None)


def run_files(folder: Path, companies: Sequence[Company], *, days: Sequence[date]) -> Built:
    """Deliver the companies as full extracts on each of `days`, load each day, and build the last."""
    settings = install(folder, companies)
    for day in days:
        for source in sorted({company.source for company in companies}):
            delivered = [company.book for company in companies if company.source == source]
            write_files(folder / "files" / source, delivered, day)
            run = f"{day.isoformat()}-files"
            for entity in KEYS:
                extract(settings, get_source(settings, source), entity, day, run)
            load(settings, get_source(settings, source), day, run)
    return _build(settings, days[-1])


def write_files(folder: Path, books: Sequence[Book], day: date) -> None:
    """One CSV per entity with every row that exists on `day`, as the source knows it then."""
    folder.mkdir(parents=True, exist_ok=True)
    for entity in KEYS:
        columns = list(ENTITIES[entity].column_names)
        with (folder / f"{entity}.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, columns)
            writer.writeheader()
            zones = {key: book.config.timezone for book in books for key in book.entity(entity)}
            for key, chain in _chains(books, entity).items():
                row = _as_delivered(entity, chain, day, ZoneInfo(zones[key]))
                if row is not None:
                    writer.writerow(row)


def _chains(books: Sequence[Book], entity: str) -> dict[Key, list[Version]]:
    """The rows of all books of a source; rates may stand in more than one, if they are the same."""
    found: dict[Key, list[Version]] = {}
    for book in books:
        for key, chain in book.entity(entity).items():
            if found.setdefault(key, chain) != chain:
                raise ValueError(f"{entity} {key} is delivered twice, with different content")
    return found


def _as_delivered(entity: str, chain: Sequence[Version], day: date, zone: ZoneInfo) -> dict[str, str] | None:
    """The row of a full extract on `day`, recorded late in the evening where the company is."""
    seen = seen_at(list(chain), day)
    if not seen or seen[-1].removed:
        return None
    row = {column: _text(value) for column, value in seen[-1].row.items()}
    if "created_at" in ENTITIES[entity].column_names:
        row["created_at"] = datetime.combine(seen[0].known_on, LATE, zone).isoformat()
    return row


def _text(value: object) -> str:
    return "" if value is None else str(value)


# --- straight into raw ---


def run_directly(
    folder: Path, companies: Sequence[Company], run_day: date, *, reverse: bool = False
) -> Built:
    """Write the versions into raw as the loader would have, and build `run_day`.

    `reverse`: the last row first, which must make no difference.
    """
    settings = install(folder, companies)
    config = load_company_config(settings)
    sources = load_sources(settings)
    with writing(settings.warehouse) as connection:
        write_settings(connection, config, sources)
        create_raw(connection, sources)
        for source in sources:
            books = [company.book for company in companies if company.source == source]
            for entity in KEYS:
                _insert(connection, source, entity, books, reverse=reverse)
    return _build(settings, run_day)


def _insert(
    connection: duckdb.DuckDBPyConnection, source: str, entity: str, books: Sequence[Book], *, reverse: bool
) -> None:
    columns = {column.name: column.duckdb_type for column in ENTITIES[entity].columns} | dict(RAW_META)
    rows = [row for chain in _chains(books, entity).values() for row in _versions(entity, chain)]
    if not rows:
        return
    if reverse:
        rows.reverse()
    table = pa.table(
        {name: pa.array([_stored(row.get(name)) for row in rows], pa.string()) for name in columns}
    )
    connection.register("delivered", table)
    selected = ", ".join(f"cast({name} as {kind}) as {name}" for name, kind in columns.items())
    connection.execute(f"insert into raw_{source}.{entity} select {selected} from delivered")
    connection.unregister("delivered")


def _versions(entity: str, chain: Sequence[Version]) -> Iterator[Row]:
    """The raw rows of one key; a tombstone repeats the row that it removes."""
    row: Row = {}
    for number, version in enumerate(chain, start=1):
        row = row if version.removed else version.row
        text = repr(sorted((column, _text(value)) for column, value in row.items()))
        yield {
            **row,
            "_row_key": "|".join(_text(row.get(column)) for column in KEYS[entity]),
            "_row_hash": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
            "_version": number,
            "_is_removed": version.removed,
            "_known_on": version.known_on,
            "_loaded_on": version.known_on,
            "_load_id": f"{entity}.{version.known_on}",
            "_loaded_at": datetime.combine(version.known_on, time(18)),
        }


def _stored(value: object) -> str | None:
    return None if value is None else str(value)


# --- what the warehouse says ---


@dataclass(frozen=True)
class Question:
    """Which day, as known when, aged how, in which view."""

    as_of: date
    known_at: date | None
    basis: str = "due_date"
    view: str = "known"
    aging_day: date | None = None


class Answers:
    """Reads the marts of a built warehouse, company by company."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def open_items(self, question: Question) -> dict[str, list[Answer]]:
        """`open_items_as_of`, per company."""
        rows = self._rows(
            "select * from marts.open_items_as_of($as_of, known_at := $known_at, view_name := $view,"
            " basis := $basis, aging_day := $aging_day)",
            as_of=question.as_of,
            known_at=question.known_at,
            view=question.view,
            basis=question.basis,
            aging_day=question.aging_day,
        )
        found: dict[str, list[Answer]] = defaultdict(list)
        for row in rows:
            found[row["company_id"]].append(_answer(row))
        return found

    def aging(self, question: Question) -> dict[str, dict[tuple[str, str, str], Row]]:
        """`aging_as_of`, per company and (customer, currency, bucket)."""
        rows = self._rows(
            "select * from marts.aging_as_of($as_of, known_at := $known_at, view_name := $view,"
            " basis := $basis, aging_day := $aging_day)",
            as_of=question.as_of,
            known_at=question.known_at,
            view=question.view,
            basis=question.basis,
            aging_day=question.aging_day,
        )
        found: dict[str, dict[tuple[str, str, str], Row]] = defaultdict(dict)
        for row in rows:
            key = (own_id(row["customer_id"]), row["currency_code"], row["aging_bucket"])
            found[row["company_id"]][key] = row
        return found

    def table(self, name: str, where: str = "true") -> dict[str, list[Row]]:
        """The rows of a mart, per company."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self._rows(f"select * from marts.{name} where {where}"):
            found[row["company_id"]].append(row)
        return found

    def _rows(self, sql: str, **parameters: Any) -> list[Row]:
        result = self.connection.execute(sql, parameters) if parameters else self.connection.execute(sql)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _answer(row: Row) -> Answer:
    return Answer(
        document=own_id(row["document_id"]),
        instalment=1 if row["instalment_number"] is None else row["instalment_number"],
        customer=own_id(row["customer_id"]),
        currency=row["currency_code"],
        amount=row["open_amount"],
        days=row["days_past_due"],
        bucket=row["aging_bucket"],
        company_amount=row["company_amount"],
        group_amount=row.get("group_amount"),
    )


def own_id(public: str) -> str:
    """The id as the source wrote it: without the source and the kind of document in front."""
    return public.rsplit(":", 1)[-1]


@contextmanager
def asking(built: Built) -> Iterator[Answers]:
    """The built warehouse with the functions of the published database."""
    settings = built.settings
    functions = sorted((settings.dbt_project / "functions").glob("*.sql"))
    with writing(settings.warehouse) as connection:
        add_functions(connection, functions)
    with reading(settings.warehouse) as connection:
        yield Answers(connection)
