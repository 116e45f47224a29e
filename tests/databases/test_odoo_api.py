"""Odoo through its API is Odoo through its database: the same rows, whatever goes wrong on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from receivables import demo
from receivables.entities import ENTITIES
from receivables.errors import ConfigError, PermanentError, TransientError
from receivables.extract import extract
from receivables.settings import Settings
from receivables.sources import check_source
from tests.databases import odoo
from tests.databases.company import Company, read_company
from tests.databases.writing import fill_postgres
from tests.servers import Postgres
from tests.sources.setup import Case, write_source
from tests.standins.odoo import DATABASE, KEY, OdooServer
from tests.standins.server import Answer, Fault

pytestmark = pytest.mark.xdist_group("databases")
TOP = f"""
timezone: Asia/Shanghai
write_off_accounts: ["{odoo.CODES[odoo.WRITE_OFF]}"]
discount_accounts: ["{odoo.CODES[odoo.DISCOUNT]}"]
"""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """Four months of the demo company."""
    path = tmp_path_factory.mktemp("small") / "erp.sqlite"
    demo.create(path, invoices=600, days=120)
    odoo.without_bounced_settlements(path, told := path.with_name("told.sqlite"), prefix="HD")
    return read_company(told)


@pytest.fixture
def server(company: Company, monkeypatch: pytest.MonkeyPatch) -> Iterator[OdooServer]:
    monkeypatch.setenv("ODOO_API_KEY", KEY)
    with OdooServer(odoo.Books(company, own="HD", prefix="HD").rows) as running:
        yield running


def api_case(home: Settings, server: OdooServer, *, more: str = "", database: str = DATABASE) -> Case:
    connection = (
        f"{{api: {{url: '{server.url}', database: {database}, limits: {{calls_per_minute: 100000}}{more}}}}}"
    )
    return write_source(home, f"kind: odoo\nconnection: {connection}{TOP}", name="api")


def rows_of(case: Case, company: Company, entity: str) -> list[dict[str, Any]]:
    day = max(row["balance_date"] for row in company["gl_balance"])
    manifest = extract(case.settings, case.source, entity, day, "only")
    assert manifest.refused_rows == 0
    folder = case.settings.landing / case.name / entity / "only"
    rows = [row for part in sorted(folder.glob("part-*.parquet")) for row in pq.read_table(part).to_pylist()]
    unimportant = {"_file", "_row"}
    return sorted(
        ({name: value for name, value in row.items() if name not in unimportant} for row in rows),
        key=lambda row: [str(row[name]) for name in ENTITIES[entity].key],
    )


def test_every_entity_is_the_same_as_through_the_database(
    home: Settings,
    server: OdooServer,
    company: Company,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill_postgres(postgres, "beside_api", odoo.statements(), server.rows)
    monkeypatch.setenv("ODOO_URL", postgres.url("beside_api"))
    through_api = api_case(home, server, more=", page_rows: 500")
    through_sql = write_source(
        home, f'kind: odoo\nconnection: {{postgresql: "${{ODOO_URL}}"}}{TOP}', name="database"
    )
    try:
        for entity in through_sql.source.entity_configs:
            expected = rows_of(through_sql, company, entity)
            assert expected, f"{entity}: nothing was compared"
            assert rows_of(through_api, company, entity) == expected, entity
    finally:
        postgres.execute("drop database beside_api with (force)")
    assert server.calls("account.move.line/search_read") > 10, "it was read in pages"


def test_after_a_storm_the_rows_are_those_of_a_quiet_run(
    home: Settings, server: OdooServer, company: Company
) -> None:
    quiet = rows_of(api_case(home, server), company, "applications")
    again = write_source(home, api_case(home, server).file.read_text(encoding="utf-8"), name="again")
    with server.plan(
        Fault("reset", after=3),
        Fault("truncate", after=6),
        Fault("page", after=8),
        Fault("answer", after=10, answer=Answer({"message": "slow down"}, 429, headers={"Retry-After": "0"})),
    ):
        assert rows_of(again, company, "applications") == quiet


def asked(server: OdooServer) -> list[tuple[str, int]]:
    """Which page of which model each call asked for: the model and the id that the page lies behind."""
    return [
        (request.path.split("/")[3], next(term[2] for term in request.body["domain"] if term[0] == "id"))
        for request in server.requests
        if request.path.endswith("search_read")
    ]


def test_an_entity_reads_each_page_of_the_models_it_needs_once_and_keeps_them_on_disk(
    home: Settings, server: OdooServer, company: Company
) -> None:
    case = api_case(home, server, more=", page_rows: 50")
    rows_of(case, company, "exchange_rates")
    pages = asked(server)
    assert {model for model, _ in pages} == {"res.company", "res.currency", "res.currency.rate"}
    assert len(pages) == len(set(pages)), "no page is asked for twice"
    rates = len(server.rows["res_currency_rate"])
    assert sum(model == "res.currency.rate" for model, _ in pages) == rates // 50 + 1
    assert not list(home.http_state.glob("odoo-*")), "the tables are deleted when the source is closed"


def test_a_read_that_broke_off_is_taken_up_behind_the_last_page(
    home: Settings, server: OdooServer, company: Company
) -> None:
    quiet = rows_of(api_case(home, server, more=", page_rows: 100"), company, "applications")
    whole = len(asked(server))
    case = api_case(home, server, more=", page_rows: 100")
    text = case.file.read_text(encoding="utf-8").replace("calls_per_minute", "attempts: 1, calls_per_minute")
    case.file.write_text(text, encoding="utf-8")
    server.requests.clear()
    with server.plan(Fault("reset", after=11 + whole // 2)), pytest.raises(TransientError):
        rows_of(case, company, "applications")
    before = asked(server)
    assert 1 < len(before) < whole
    server.requests.clear()
    assert rows_of(case, company, "applications") == quiet
    assert not set(asked(server)) & set(before[:-1]), "what had arrived is not asked for again"
    assert len(before[:-1]) + len(asked(server)) == whole


def test_a_wrong_key_is_refused_at_once_and_not_shown(
    home: Settings, server: OdooServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODOO_API_KEY", "another-secret")
    with pytest.raises(PermanentError, match="Invalid apikey") as caught:
        api_case(home, server).extract()
    assert "another-secret" not in str(caught.value)
    assert len(server.requests) == 1


def test_the_key_is_written_nowhere(home: Settings, server: OdooServer, company: Company) -> None:
    rows_of(api_case(home, server), company, "customers")
    for path in Path(home.home).rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_a_wrong_database_says_what_to_check(home: Settings, server: OdooServer) -> None:
    with pytest.raises(PermanentError, match="No database is selected"):
        api_case(home, server, database="elsewhere").extract()


def test_a_server_that_stays_down_is_worth_a_retry(home: Settings, server: OdooServer) -> None:
    case = api_case(home, server, more="")
    text = case.file.read_text(encoding="utf-8").replace("calls_per_minute", "attempts: 1, calls_per_minute")
    case.file.write_text(text, encoding="utf-8")
    with server.plan(Fault("page", times=100)), pytest.raises(TransientError):
        case.extract()


def test_a_field_that_a_version_lacks_is_not_asked_for(home: Settings, server: OdooServer) -> None:
    server.hidden = {"invoice_currency_rate", "debit_origin_id", "customer_rank"}
    api_case(home, server)
    report = check_source(home, "api")
    assert report.is_ok
    notes = " ".join(note for entity in report.entities for note in entity.notes)
    assert "invoice_currency_rate" in notes


def test_a_missing_key_is_named(home: Settings, server: OdooServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODOO_API_KEY")
    with pytest.raises(ConfigError, match="ODOO_API_KEY"):
        api_case(home, server).extract()


def test_the_key_may_not_stand_in_the_file(home: Settings, server: OdooServer) -> None:
    with pytest.raises(ConfigError, match="api_key stands in the file"):
        _ = api_case(home, server, more=", auth: {api_key: open}").source
