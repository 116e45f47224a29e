"""A company loaded day by day, in one go, or again months later: the same numbers, to the last row."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from receivables import demo
from receivables.settings import Settings
from receivables.transform import transform
from receivables.warehouse import reading
from tests.close.chain import Hashes, differences, hashes_in, hashes_of, ingest, install_demo

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("close-days")]

START = date(2026, 1, 1)
INITIAL_DAYS = 87  # the first load brings these at once, up to 28 March
LAST = date(2026, 4, 8)
BETWEEN = date(2026, 4, 1)  # a month has ended, and a bounced receipt is known since today
PACE = {"seed": 23, "invoices": 900, "pace_days": 90, "start": START}

# Where the day on which something became known is part of the row.
KNOWLEDGE = ("fct_applications", "fct_documents", "fct_ledger_entries", "fct_open_item_versions")
# A document that a later load has changed: its row in raw has a second version.
CHANGED = """
    create temp table changed as
    select distinct 'demo_erp:' || kind || ':' || _row_key as document_id from (
        select 'invoice' as kind, _row_key, _version from raw_demo_erp.invoices
        union all select 'receipt', _row_key, _version from raw_demo_erp.receipts
        union all select 'credit_memo', _row_key, _version from raw_demo_erp.credit_memos
        union all select 'adjustment', _row_key, _version from raw_demo_erp.adjustments
    ) where _version > 1
"""
# The columns of a mart that name a document.
NAMES = ("document_id", "cause_document_id", "invoice_document_id", "credit_document_id")
# When something became known, and what is computed from it.
KNOWN = ("known_on", "known_until", "entry_id")


@dataclass(frozen=True)
class Loaded:
    """The warehouses of one company: copies made after each build."""

    at_once: Path
    day_by_day: Path
    between: Path
    between_again: Path


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("days")

    at_once = install_demo(folder / "at_once")
    demo.create(at_once.demo_erp, days=(LAST - START).days + 1, **PACE)
    ingest(at_once, LAST)
    transform(at_once, LAST, "at-once")

    daily = install_demo(folder / "daily")
    demo.create(daily.demo_erp, days=INITIAL_DAYS, **PACE)
    day = START + timedelta(days=INITIAL_DAYS - 1)
    between = folder / "between.duckdb"
    while day <= LAST:
        demo.advance(daily.demo_erp, day)
        ingest(daily, day)
        if day == BETWEEN:
            _build(daily, day, between)
        day += timedelta(days=1)
    day_by_day = _build(daily, LAST, folder / "day_by_day.duckdb")
    ingest(daily, BETWEEN)
    between_again = _build(daily, BETWEEN, folder / "between_again.duckdb")
    return Loaded(at_once.warehouse, day_by_day, between, between_again)


def _build(settings: Settings, day: date, copy: Path) -> Path:
    transform(settings, day, f"{day}-build")
    return Path(shutil.copyfile(settings.warehouse, copy))


@pytest.fixture
def both(loaded: Loaded) -> Iterator[dict[str, duckdb.DuckDBPyConnection]]:
    """Both warehouses of the last day, each with the documents that a later load has changed."""
    with reading(loaded.day_by_day) as daily, reading(loaded.at_once) as once:
        daily.execute(CHANGED)
        once.execute("create temp table changed (document_id varchar)")
        once.executemany("insert into changed values (?)", daily.execute("from changed").fetchall())
        yield {"day by day": daily, "at once": once}


def test_the_company_had_what_makes_a_day_different(loaded: Loaded) -> None:
    with reading(loaded.day_by_day) as connection:
        seen = connection.execute(
            """
            select
                (select count(*) from raw_demo_erp.invoices where _version > 1 and status = 'void'),
                (select count(*) from raw_demo_erp.receipts where _version > 1 and status = 'void'),
                (select count(*) from raw_demo_erp.disputes where _version > 1),
                (select count(*) from raw_demo_erp.gl_balances where _version > 1),
                (select count(*) from raw_demo_erp.receipts where receipt_date < _loaded_on - 1),
                (select count(distinct _loaded_on) from raw_demo_erp.invoices)
            """
        ).fetchone()
    assert seen is not None
    assert all(count > 0 for count in seen[:5]), seen
    assert seen[5] > 5


def test_loaded_in_one_go_or_day_by_day_every_mart_is_the_same(loaded: Loaded) -> None:
    at_once, day_by_day = hashes_in(loaded.at_once), hashes_in(loaded.day_by_day)
    assert len(day_by_day) > 25
    assert sum(map(len, day_by_day.values())) > 10_000
    # Those with the day of knowledge in the row have their own rule below.
    assert set(differences(at_once, day_by_day)) <= set(KNOWLEDGE), differences(at_once, day_by_day)


def test_what_no_load_changed_was_also_known_on_the_same_day(
    both: dict[str, duckdb.DuckDBPyConnection],
) -> None:
    untouched = {way: _knowledge(connection, about_changed=False) for way, connection in both.items()}
    assert all(len(rows) > 500 for rows in untouched["at once"].values())
    assert differences(untouched["at once"], untouched["day by day"]) == {}


def test_of_a_document_that_was_voided_only_the_day_of_knowing_may_differ(
    both: dict[str, duckdb.DuckDBPyConnection],
) -> None:
    """A source that shows a void document without having shown it posted cannot say since when it is void.

    Its row says when it was recorded, and one load makes one version of it, known since that day.
    """
    touched = {
        way: _knowledge(connection, about_changed=True, without=KNOWN) for way, connection in both.items()
    }
    # Day by day such an item has a description of its own for the days before the void: the same one.
    for rows in touched.values():
        rows["fct_open_item_versions"] = sorted(set(rows["fct_open_item_versions"]))
    assert all(touched["day by day"].values())
    assert differences(touched["at once"], touched["day by day"]) == {}


def test_day_by_day_a_void_is_known_from_the_day_it_happened(
    both: dict[str, duckdb.DuckDBPyConnection],
) -> None:
    voids = both["day by day"].execute(
        "select effective_date, known_on from marts.fct_ledger_entries"
        " where reason = 'voided' and cause_document_id in (from changed)"
    )
    found = voids.fetchall()
    assert found
    assert all(effective == known for effective, known in found)


def test_a_past_day_run_again_after_later_days_gives_that_day(loaded: Loaded) -> None:
    then, again = hashes_in(loaded.between), hashes_in(loaded.between_again)
    assert differences(then, again) == {}
    assert differences(then, hashes_in(loaded.day_by_day)), "the later days did bring something"


def _knowledge(
    connection: duckdb.DuckDBPyConnection, *, about_changed: bool, without: tuple[str, ...] = ()
) -> Hashes:
    """Row hashes of the tables that say when something became known, of changed or of other documents."""
    found = {}
    for table in KNOWLEDGE:
        columns = [row[0] for row in connection.execute(f"describe marts.{table}").fetchall()]
        named = [column for column in columns if column in NAMES]
        touches = " or ".join(f"coalesce({column} in (from changed), false)" for column in named)
        source = f"{table} where {'' if about_changed else 'not '}({touches})"
        kept = [f'"{column}"' for column in columns if column not in without]
        found[table] = hashes_of(connection, source, kept)
    return found
