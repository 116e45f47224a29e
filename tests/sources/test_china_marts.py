"""Fxiaoke, Kingdee and YonBIP up to the marts: a storm leaves no trace, and removals are dated reversals."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from receivables.settings import Settings
from receivables.transform import transform
from receivables.warehouse import reading
from tests.close.chain import Hashes, differences, hashes_in
from tests.conftest import PROJECT
from tests.sources import test_fxiaoke as crm
from tests.sources import test_kingdee as erp
from tests.sources import test_yonbip as bip
from tests.sources.china import MONDAY, TUESDAY, use_clock
from tests.sources.setup import Case
from tests.standins.fxiaoke import Fxiaoke
from tests.standins.kingdee import Kingdee
from tests.standins.yonbip import YonBIP

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("china-marts")]


@dataclass(frozen=True)
class Built:
    """Both warehouses as of Tuesday, and the companies that they hold."""

    stormy: Hashes
    quiet: Hashes
    warehouse: Path
    orders: crm.Company
    receivables: erp.Company
    tenant: bip.Company

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with reading(self.warehouse) as connection:
            return connection.execute(sql).fetchall()

    def entries(self, document: str, *, known_on: date = TUESDAY) -> set[tuple[Any, ...]]:
        """(reason, effective date, amount) of what became known of a document on a day."""
        return set(
            self.query(
                "select reason, effective_date, sum(amount) from marts.fct_ledger_entries"
                f" where document_id = '{document}' and known_on = '{known_on}'"
                " group by all having sum(amount) <> 0"
            )
        )


def _home(folder: Path) -> Settings:
    sources = folder / "sources"
    sources.mkdir(parents=True)
    shutil.copyfile(PROJECT / "receivables.yml", folder / "receivables.yml")
    return Settings(
        root=PROJECT, home=folder / "home", sources_dir=sources, config_file=folder / "receivables.yml"
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("china")
    homes = {name: _home(folder / name) for name in ("stormy", "quiet")}
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for name, value in {**crm.VARIABLES, **erp.VARIABLES, **bip.VARIABLES}.items():
            patch.setenv(name, value)
        fxiaoke, kingdee, yonbip = (stack.enter_context(kind()) for kind in (Fxiaoke, Kingdee, YonBIP))
        orders, receivables, tenant = (
            crm.Company(fxiaoke), erp.Company(kingdee), bip.Company(yonbip),
        )  # fmt: skip

        def cases(name: str) -> tuple[Case, Case, Case]:
            home = homes[name]
            return crm.crm(home, fxiaoke), erp.erp(home, kingdee), bip.bip(home, yonbip)

        weather = (
            (fxiaoke, crm.storm(fxiaoke, orders)),
            (kingdee, erp.storm(kingdee, receivables)),
            (yonbip, bip.storm(yonbip, tenant)),
        )
        for name in homes:
            for case, (server, _) in zip(cases(name), weather, strict=True):
                use_clock(patch, server)
                case.run(MONDAY)
        for case, (server, faults) in zip(cases("stormy"), weather, strict=True):
            use_clock(patch, server)
            with server.plan(*faults):
                case.run(TUESDAY)
            case.run(TUESDAY, run="after-the-storm")
        for case, (server, _) in zip(cases("quiet"), weather, strict=True):
            use_clock(patch, server)
            case.run(TUESDAY)
    for settings in homes.values():
        transform(settings, TUESDAY, "build")
    yield Built(
        hashes_in(homes["stormy"].warehouse, digits=9),
        hashes_in(homes["quiet"].warehouse, digits=9),
        homes["stormy"].warehouse,
        orders,
        receivables,
        tenant,
    )


def test_after_a_storm_the_marts_are_those_of_a_quiet_day(built: Built) -> None:
    assert differences(built.stormy, built.quiet) == {}
    assert built.stormy["ar_open_items"]


def test_a_voided_order_leaves_on_the_day_it_was_noticed(built: Built) -> None:
    order = f"crm:invoice:{built.orders.orders[200]}"
    assert built.entries(order) == {("voided", TUESDAY, Decimal("-300.00"))}
    assert built.query(f"select count(*) from marts.ar_open_items where document_id = '{order}'") == [(0,)]


def test_an_application_that_was_voided_opens_its_order_again(built: Built) -> None:
    order = f"crm:invoice:{built.orders.orders[10]}"
    assert built.entries(order) == {("unapplied", TUESDAY, Decimal("40.00"))}


def test_a_plan_makes_instalments_and_its_payment_settles_the_one_it_names(built: Built) -> None:
    first = built.orders.orders[0]
    settled = built.query(
        "select instalment_number, sum(amount) from marts.fct_ledger_entries"
        f" where document_id = 'crm:invoice:{first}' and known_on < '{TUESDAY}' group by all order by all"
    )
    assert settled == [(1, Decimal("60.00")), (2, Decimal("0.00"))]


def test_an_unaudited_receivable_is_no_claim_until_it_is_audited_again(built: Built) -> None:
    """What is known from Tuesday: it is a draft, so it never counted. What Monday's report said stays."""
    receivable = f"erp:invoice:AR_receivable:{built.receivables.receivables[10]}"
    (gone,) = built.entries(receivable)
    assert gone[1:] == (date(2026, 1, 31), Decimal("-110.00"))
    assert built.query(f"select count(*) from marts.ar_open_items where document_id = '{receivable}'") == [
        (0,)
    ]


def test_a_match_that_was_undone_opens_both_its_sides(built: Built) -> None:
    receivable = f"erp:invoice:AR_receivable:{built.receivables.receivables[3]}"
    receipt = f"erp:receipt:AR_RECEIVEBILL:{built.receivables.receipts[3]}"
    assert sum(amount for _, _, amount in built.entries(receivable)) == Decimal("50.00")
    assert sum(amount for _, _, amount in built.entries(receipt)) == Decimal("-50.00")


def test_a_written_off_debt_is_no_collection(built: Built) -> None:
    receivable = f"erp:invoice:AR_receivable:{built.receivables.receivables[21]}"
    kinds = built.query(
        "select entry_type, sum(amount) from marts.fct_ledger_entries"
        f" where document_id = '{receivable}' group by all order by all"
    )
    assert ("write_off", Decimal("-9.00")) in kinds


def test_a_deleted_document_of_yonbip_leaves_on_the_day_it_was_missed(built: Built) -> None:
    receivable = f"bip:invoice:{built.tenant.receivables[12]}"
    assert built.entries(receivable) == {("removed", TUESDAY, Decimal("-112.00"))}


def test_nothing_is_owed_twice(built: Built) -> None:
    """The open items of each source add up to its documents less what was settled in it."""
    open_amounts = dict(
        built.query(
            "select split_part(document_id, ':', 1), sum(open_amount) from marts.ar_open_items"
            " where currency_code = 'CNY' group by all"
        )
    )
    ledger = dict(
        built.query(
            "select split_part(document_id, ':', 1), sum(amount) from marts.fct_ledger_entries"
            f" where currency_code = 'CNY' and effective_date <= '{TUESDAY}' group by all"
        )
    )
    assert set(open_amounts) == {"crm", "erp", "bip"}
    assert open_amounts == ledger
