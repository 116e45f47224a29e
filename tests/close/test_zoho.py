"""Zoho Books from its answers to the marts: a quiet run, and one through a storm of faults."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from receivables.extract import extract_all
from receivables.load import load
from receivables.settings import Settings
from receivables.transform import transform
from receivables.warehouse import reading
from tests.close.chain import Hashes, differences, row_hashes
from tests.conftest import PROJECT
from tests.sources.setup import Case
from tests.sources.test_zoho_books import storm
from tests.sources.zoho_fixture import FIRST, live_through, open_in_zoho, zoho_books

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("close-zoho")]  # one worker builds both warehouses
ENTITIES = "".join(
    f"  {name}: {{}}\n"
    for name in (
        "customers",
        "invoices",
        "credit_memos",
        "receipts",
        "applications",
        "adjustments",
        "gl_balances",
    )
)
LAST = FIRST + timedelta(days=2)


@dataclass(frozen=True)
class Built:
    """A warehouse, what the service said was open on the last evening, and the ids of the story."""

    settings: Settings
    open_in_zoho: dict[str, Decimal]
    ids: dict[str, str]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with reading(self.settings.warehouse) as connection:
            return connection.execute(sql).fetchall()

    @property
    def marts(self) -> Hashes:
        with reading(self.settings.warehouse) as connection:
            return row_hashes(connection)


def _build(folder: Path, *, is_stormy: bool) -> Built:
    sources = folder / "sources"
    sources.mkdir(parents=True)
    config = folder / "receivables.yml"
    text = (PROJECT / "receivables.yml").read_text(encoding="utf-8")
    # The organization's own zone: its days are the company's.
    config.write_text(text.replace("timezone: Europe/Berlin", "timezone: Asia/Shanghai"), encoding="utf-8")
    settings = Settings(root=PROJECT, home=folder / "home", sources_dir=sources, config_file=config)
    more = f"entities:\n{ENTITIES}"
    with pytest.MonkeyPatch.context() as patch, zoho_books(settings, patch, more=more) as (zoho, case):
        zoho.largest_page = 6

        def night(day: date) -> None:
            if is_stormy:
                storm(zoho, day.toordinal())
            _load(case, day)

        ids = live_through(zoho, night)
        said = open_in_zoho(zoho.company)
    transform(settings, LAST, f"{LAST}-zoho")
    return Built(settings, said, ids)


def _load(case: Case, day: date) -> None:
    extract_all(case.settings, case.source, day, f"run-{day}")
    load(case.settings, case.source, day, f"run-{day}")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    yield _build(tmp_path_factory.mktemp("quiet"), is_stormy=False)


@pytest.fixture(scope="module")
def stormy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    yield _build(tmp_path_factory.mktemp("stormy"), is_stormy=True)


def test_after_the_storm_the_marts_are_those_of_a_quiet_run(quiet: Built, stormy: Built) -> None:
    assert quiet.marts["ar_open_items"]
    assert differences(stormy.marts, quiet.marts) == {}


def test_each_document_is_open_by_what_zoho_says(quiet: Built) -> None:
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for document, amount in quiet.query("select document_id, open_amount from marts.ar_open_items"):
        amounts[document.split(":")[-1].split("|")[-1]] += abs(amount)
    opening = {key: amount for key, amount in amounts.items() if key.startswith("opening-")}
    assert list(opening.values()) == [Decimal("55.50")]
    assert {key: amount for key, amount in amounts.items() if key not in opening} == quiet.open_in_zoho


def test_what_was_taken_back_is_a_dated_reversal(quiet: Built) -> None:
    reversals = quiet.query(
        "select distinct reason, known_on from marts.fct_ledger_entries"
        " where reason in ('voided', 'removed', 'unapplied') order by all"
    )
    assert set(reversals) >= {
        ("unapplied", FIRST + timedelta(days=1)),
        ("unapplied", LAST),
        ("voided", LAST),
        ("removed", LAST),
    }


def test_the_ledger_is_reconciled_with_the_balance_that_zoho_states(quiet: Built) -> None:
    rows = quiet.query(
        "select as_of_date, difference_amount, status from marts.ar_reconciliation"
        f" where gl_amount is not null and as_of_date = '{LAST}'"
    )
    assert rows == [(LAST, Decimal(0), "reconciled")]
