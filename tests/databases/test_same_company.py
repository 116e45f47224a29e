"""One company, kept by different systems, has one set of figures: to the cent."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.databases import erpnext, harness, odoo
from tests.databases.company import read_company
from tests.databases.harness import METRICS, OWN, Warehouse
from tests.databases.writing import fill_mysql, fill_postgres
from tests.servers import MariaDb, Postgres

# System -> the prefix of its companies.
SYSTEMS = {"erpnext_mariadb": "EM", "erpnext_postgres": "EP", "odoo": "OD"}
# The company that a system is compared with: the demo's own, or that without what Odoo does not keep.
TOLD = "HO"
REFERENCES = {"erpnext_mariadb": OWN, "erpnext_postgres": OWN, "odoo": TOLD}
ERPNEXT = """
kind: erpnext
connection: {{{engine}: "${{{variable}}}"}}
timezone: {zone}
entities: {{gl_balances: {{}}}}
"""
ODOO = f"""
kind: odoo
connection: {{postgresql: "${{ODOO_URL}}"}}
timezone: Asia/Shanghai
write_off_accounts: ["{odoo.CODES[odoo.WRITE_OFF]}"]
discount_accounts: ["{odoo.CODES[odoo.DISCOUNT]}"]
entities: {{gl_balances: {{}}}}
"""
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("databases")]


@pytest.fixture(scope="module")
def warehouse(
    mariadb: MariaDb, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    """The company in its own ERP, in ERPNext on both engines, and in Odoo; one warehouse."""
    settings = harness.install(tmp_path_factory.mktemp("same"), [*SYSTEMS.values(), TOLD])
    company = read_company(settings.demo_erp)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RECEIVABLES_HOME", str(settings.home))
        for engine, server, fill, name in (
            ("mysql", mariadb, fill_mysql, "erpnext_mariadb"),
            ("postgresql", postgres, fill_postgres, "erpnext_postgres"),
        ):
            site = erpnext.Site(company, prefix=SYSTEMS[name])
            fill(server, f"same_{name}", erpnext.statements(engine), site.rows)  # type: ignore[operator]
            environment.setenv(f"{name.upper()}_URL", server.url(f"same_{name}"))  # type: ignore[attr-defined]
            text = ERPNEXT.format(engine=engine, variable=f"{name.upper()}_URL", zone=erpnext.ZONE)
            (settings.sources_dir / f"{name}.yml").write_text(text, encoding="utf-8")
        told = settings.demo_erp.with_name("told.sqlite")
        odoo.without_bounced_settlements(settings.demo_erp, told, prefix=TOLD)
        own = (settings.sources_dir / "demo_erp.yml").read_text(encoding="utf-8")
        assert own.count("erp.sqlite") == 1
        (settings.sources_dir / "told.yml").write_text(
            own.replace("erp.sqlite", told.name).replace("HD-CN", "HO-CN"), encoding="utf-8"
        )
        books = odoo.Books(read_company(told), own=TOLD, prefix=SYSTEMS["odoo"])
        fill_postgres(postgres, "same_odoo", odoo.statements(), books.rows)
        environment.setenv("ODOO_URL", postgres.url("same_odoo"))
        (settings.sources_dir / "odoo.yml").write_text(ODOO, encoding="utf-8")
        yield harness.build(settings)
    postgres.execute("drop database same_odoo with (force)")
    mariadb.execute("drop database same_erpnext_mariadb")
    postgres.execute("drop database same_erpnext_postgres with (force)")


@pytest.mark.parametrize("system", SYSTEMS)
def test_nothing_is_refused(warehouse: Warehouse, system: str) -> None:
    assert (
        warehouse.rows(
            f"select entity, key, reason from quality.quarantined_rows where source = '{system}'"
            " union all select entity, row_id, reason from intermediate.int_refused_rows"
            f" where source_name = '{system}'"
        )
        == []
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_ageing_is_the_same_on_24_days(warehouse: Warehouse, system: str) -> None:
    for day in warehouse.days(24):
        own = warehouse.ageing(REFERENCES[system], day)
        assert own, f"{day}: nothing is compared"
        assert warehouse.ageing(SYSTEMS[system], day) == own, day


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_ageing_by_customer_is_the_same_at_every_month_end(warehouse: Warehouse, system: str) -> None:
    own = warehouse.by_customer(REFERENCES[system])
    assert len(own) > 500
    assert warehouse.by_customer(SYSTEMS[system]) == own


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("mart", METRICS)
def test_the_metrics_are_the_same_in_every_month(warehouse: Warehouse, system: str, mart: str) -> None:
    own = warehouse.metric(REFERENCES[system], mart, METRICS[mart])
    assert len(own) > 20
    assert warehouse.metric(SYSTEMS[system], mart, METRICS[mart]) == own


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_ledger_is_what_the_system_itself_says_is_open(warehouse: Warehouse, system: str) -> None:
    """An invoice in instalments is rounded once by the system and by part here: cents."""
    rows = warehouse.rows(
        "select company_id, gl_amount, difference_amount from marts.ar_reconciliation"
        f" where company_id like '{SYSTEMS[system]}-%' and as_of_date = date '{warehouse.day}'"
    )
    assert len(rows) == 2
    for company, says, difference in rows:
        assert says > 1_000_000, company
        assert abs(difference) <= Decimal("0.10"), company
