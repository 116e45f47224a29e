"""ERPNext and Odoo keep the rules that every connector keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from receivables import demo
from receivables.settings import Settings
from tests.databases import erpnext, odoo
from tests.databases.company import Company, read_company
from tests.databases.writing import fill_mysql, fill_postgres
from tests.servers import MariaDb, Postgres
from tests.sources.conformance import RULES, WITH_SERVERS, Subject, Tools
from tests.sources.setup import write_source

pytestmark = pytest.mark.xdist_group("databases")
CONNECTION = (
    'connection: {{{engine}: {{host: 127.0.0.1, port: "{port}", database: conforming, user: "${{ERP_USER}}",'
    ' password: "${{ERP_PASSWORD}}"}}}}'
)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """Four months of the demo company, as Odoo too can tell it."""
    path = tmp_path_factory.mktemp("small") / "erp.sqlite"
    demo.create(path, invoices=600, days=120)
    odoo.without_bounced_settlements(path, told := path.with_name("told.sqlite"), prefix="HD")
    return read_company(told)


@pytest.fixture(scope="module")
def servers(
    mariadb: MariaDb, postgres: Postgres, company: Company
) -> Iterator[dict[str, MariaDb | Postgres]]:
    fill_mysql(mariadb, "conforming", erpnext.statements("mysql"), erpnext.Site(company, prefix="HD").rows)
    fill_postgres(postgres, "conforming", odoo.statements(), odoo.Books(company, own="HD", prefix="HD").rows)
    yield {"erpnext": mariadb, "odoo": postgres}
    mariadb.execute("drop database conforming")
    postgres.execute("drop database conforming with (force)")


@pytest.mark.parametrize("kind", WITH_SERVERS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_connector_keeps_the_rule(
    rule: Callable[[Subject, Tools], None],
    kind: str,
    servers: dict[str, MariaDb | Postgres],
    home: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = servers[kind]
    monkeypatch.setenv("ERP_USER", server.user)
    monkeypatch.setenv("ERP_PASSWORD", server.password)
    engine = "mysql" if kind == "erpnext" else "postgresql"
    connection = CONNECTION.format(engine=engine, port=server.port)
    case = write_source(home, f"kind: {kind}\n{connection}\ntimezone: Asia/Shanghai\n")
    rule(
        Subject(case, ("ERP_USER", "ERP_PASSWORD"), {"ERP_PASSWORD": server.password}),
        Tools(monkeypatch, caplog),
    )
