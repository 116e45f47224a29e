"""Databases: SQLite and PostgreSQL, in full and by what changed; and what their faults say."""

# ruff: noqa: DTZ001, E501 (raw holds UTC without a zone; tables of rows and messages are easier to compare uncut)

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pytest

from receivables.errors import ConfigError, PermanentError, TransientError
from receivables.settings import Settings
from receivables.sources import check_source
from receivables.sources.sql import rebatch
from tests.conftest import PROJECT
from tests.servers import Postgres, free_port
from tests.sources.setup import DAY, Case, write_source

NEXT = DAY + timedelta(days=1)
TABLE = (
    "create table bills (no text, customer text, day text, total text, changed_at text);"
    "insert into bills values ('1', 'C1', '2026-01-05', '10.10', '2026-03-01 10:00:00'),"
    " ('2', 'C1', '2026-01-06', '20.20', '2026-03-02 10:00:00');"
)
COLUMNS = "{invoice_id: no, customer_id: customer, invoice_date: day, amount: total, updated_at: changed_at}"


def sqlite(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def sqlite_case(home: Settings, *, entity: str = "table: bills", script: str = TABLE, top: str = "") -> Case:
    sqlite(home.sources_dir / "erp.sqlite", script)
    return write_source(
        home,
        f"kind: sql\n{top}connection: {{sqlite: erp.sqlite}}\ndefault_currency_code: EUR\n"
        f"entities:\n  invoices:\n    {entity}\n    columns: {COLUMNS}\n",
    )


INCREMENTAL = "{ENTITY}\n    mode: incremental\n    cursor: changed_at\n    overlap: 1d"


def incremental(home: Settings, *, entity: str = "table: bills", more: str = "", top: str = "") -> Case:
    return sqlite_case(home, entity=INCREMENTAL.replace("{ENTITY}", entity) + more, top=top)


def ids(case: Case) -> list[str]:
    return [
        row[0] for row in case.query("select _row_key from raw_erp.invoices where not _is_removed order by 1")
    ]


# --- SQLite ---


def test_a_sqlite_table_is_read(home: Settings) -> None:
    case = sqlite_case(home)
    case.run()
    assert case.query("select invoice_id, amount, updated_at from raw_erp.invoices order by 1") == [
        ("1", Decimal("10.1"), datetime(2026, 3, 1, 10)),
        ("2", Decimal("20.2"), datetime(2026, 3, 2, 10)),
    ]


def test_a_query_is_read_like_a_table(home: Settings) -> None:
    case = sqlite_case(home, entity="query: \"select * from bills where no = '2';\"")
    case.run()
    assert ids(case) == ["2"]


def test_loose_types_of_sqlite_are_judged_row_by_row(home: Settings) -> None:
    script = (
        "create table bills (no, customer, day, total real, changed_at);"
        "insert into bills values (1, 'C1', '2026-01-05', 0.1, null), (2, 'C1', 20260105, 'ten', null),"
        " ('3', 'C1', '2026-01-05', 1e3, null), (4, null, '2026-01-05', 5, null);"
    )
    case = sqlite_case(home, script=script)
    case.run()
    assert case.query("select invoice_id, amount from raw_erp.invoices order by 1") == [
        ("1", Decimal("0.1")), ("3", Decimal(1000)),
    ]  # fmt: skip
    assert [(row[0], row[2]) for row in case.refused()] == [("2", "bills:2"), ("4", "bills:4")]
    assert "total" in case.refused()[0][1]


def test_only_what_changed_since_the_last_load_is_read_with_an_overlap(home: Settings) -> None:
    case = incremental(home)
    assert case.run(DAY).entities[0].rows == 2
    sqlite(
        home.sources_dir / "erp.sqlite",
        "insert into bills values ('3', 'C1', '2026-01-07', '30', '2026-03-03 09:00:00');"
        "update bills set total = '21', changed_at = '2026-03-03 09:00:00' where no = '2';"
        "insert into bills values ('0', 'C1', '2025-01-01', '1', '2026-02-27 09:00:00')",  # before the overlap
    )
    report = case.run(NEXT).entities[0]
    assert (report.rows, report.new, report.changed, report.removed) == (
        3,
        1,
        1,
        0,
    )  # within the overlap: row 1, unchanged
    assert case.query("select watermark from quality.loads order by as_of_date") == [
        ("2026-03-02 10:00:00",), ("2026-03-03 09:00:00",),
    ]  # fmt: skip


def test_the_window_ends_when_the_business_day_is_over_in_every_time_zone(home: Settings) -> None:
    """The source is in Shanghai, one of the companies in Berlin: there the day ends seven hours later."""
    case = incremental(home, top="timezone: Asia/Shanghai\n")
    sqlite(
        home.sources_dir / "erp.sqlite",
        "delete from bills;"
        "insert into bills values ('1', 'C', '2026-01-05', '1', '2026-03-02 23:59:59'),"
        " ('2', 'C', '2026-01-05', '1', '2026-03-02T15:59:59Z'), ('3', 'C', '2026-01-05', '1', '2026-03-03 07:00:00')",
    )
    case.run(DAY)
    window = case.query("select window_from, window_to from quality.loads")
    assert window == [(None, datetime(2026, 3, 2, 23))]
    assert "1" in ids(case)
    assert "3" not in ids(case)
    case.run(NEXT)
    assert ids(case) == ["1", "2", "3"]


def test_an_utc_cursor_in_another_time_zone_is_compared_in_utc(home: Settings) -> None:
    case = incremental(home, top="timezone: Asia/Shanghai\n")
    text = case.file.read_text().replace(
        "updated_at: changed_at", "updated_at: {from: changed_at, timezone: UTC}"
    )
    case.file.write_text(text)
    sqlite(
        home.sources_dir / "erp.sqlite",
        "delete from bills;"
        "insert into bills values ('1', 'C', '2026-01-05', '1', '2026-03-02 15:59:59'),"
        " ('2', 'C', '2026-01-05', '1', '2026-03-02 23:00:00')",
    )
    case.run(DAY)
    assert ids(case) == ["1"]


def test_rows_without_a_cursor_value_come_with_the_first_load(home: Settings) -> None:
    case = incremental(home)
    sqlite(home.sources_dir / "erp.sqlite", "insert into bills values ('9', 'C', '2026-01-05', '1', null)")
    case.run()
    assert "9" in ids(case)


def test_a_rerun_of_a_past_day_reads_that_day_again_and_leaves_the_watermark(home: Settings) -> None:
    case = incremental(home)
    case.run(DAY)
    sqlite(
        home.sources_dir / "erp.sqlite",
        "insert into bills values ('3', 'C1', '2026-01-07', '30', '2026-03-03 09:00:00')",
    )
    case.run(NEXT)
    report = case.run(DAY, run="again").entities[0]
    assert (report.rows, report.unchanged) == (2, 2)
    assert case.query("select max(watermark) from quality.loads") == [("2026-03-03 09:00:00",)]
    assert case.query("select watermark from quality.loads where run = 'again'") == [("2026-03-03 09:00:00",)]


def test_an_incremental_extract_without_changes_removes_nothing(home: Settings) -> None:
    case = incremental(home)
    case.run(DAY)
    report = case.run(DAY + timedelta(days=30)).entities[0]
    assert (report.new, report.changed, report.removed) == (0, 0, 0)


def test_a_sweep_notices_removed_rows_of_an_incremental_entity(home: Settings) -> None:
    case = incremental(home, more="\n    sweep: true")
    case.run(DAY)
    sqlite(home.sources_dir / "erp.sqlite", "delete from bills where no = '1'")
    assert case.run(NEXT).entities[0].removed == 1
    assert case.query("select _row_key from raw_erp.invoices where _is_removed") == [("1",)]


def test_without_a_sweep_incremental_entities_notice_no_removal(home: Settings) -> None:
    case = incremental(home)
    case.run(DAY)
    sqlite(home.sources_dir / "erp.sqlite", "delete from bills where no = '1'")
    assert case.run(NEXT).entities[0].removed == 0


def test_a_full_read_that_is_due_brings_what_did_not_move_the_cursor(home: Settings) -> None:
    entity = (
        "table: bills\n    mode: incremental\n    cursor: changed_at\n    overlap: 1h\n    full_every: 7d"
    )
    case = sqlite_case(home, entity=entity)
    case.run()
    path = home.sources_dir / "erp.sqlite"
    sqlite(path, "update bills set total = '11.00' where no = '1'; delete from bills where no = '2'")
    case.run(DAY + timedelta(days=6))
    assert case.query("select amount from raw_erp.invoices") == [(Decimal("10.1000"),), (Decimal("20.2000"),)]
    case.run(DAY + timedelta(days=7))
    assert ids(case) == ["1", "1", "2"]
    assert case.query("select _row_key from raw_erp.invoices where _is_removed") == [("2",)]
    report = case.run(DAY + timedelta(days=7))
    assert (report.entities[0].changed, report.entities[0].removed) == (1, 1), "a rerun reports the same"


def test_a_source_is_never_written(home: Settings) -> None:
    case = sqlite_case(home, entity='query: "select * from bills; drop table bills"')
    with pytest.raises(PermanentError):
        case.extract()
    assert (
        len(sqlite3.connect(home.sources_dir / "erp.sqlite").execute("select * from bills").fetchall()) == 2
    )


SQLITE_FAULTS = {
    "missing table": ("table: bill", "there is no table 'bill' (did you mean 'bills'?); there are bills"),
    "missing column in a query": ('query: "select nope from bills"', "no such column: nope"),
    "broken query": ('query: "selct 1"', "syntax error"),
    "missing cursor": (
        "table: bills\n    mode: incremental\n    cursor: chnged_at",
        "column 'chnged_at' (for cursor) is missing (did you mean 'changed_at'?)",
    ),
}


@pytest.mark.parametrize(("entity", "words"), SQLITE_FAULTS.values(), ids=SQLITE_FAULTS)
def test_a_faulty_entity_says_what_and_what_to_do(home: Settings, entity: str, words: str) -> None:
    case = sqlite_case(home, entity=entity)
    with pytest.raises(PermanentError) as caught:
        case.extract()
    assert words in str(caught.value)
    assert "correct entities.invoices" in str(caught.value) or "correct the query" in str(caught.value)


def test_a_missing_sqlite_file_is_named_and_not_created(home: Settings) -> None:
    case = sqlite_case(home)
    (home.sources_dir / "erp.sqlite").unlink()
    with pytest.raises(PermanentError, match="there is no such SQLite file"):
        case.extract()
    assert not (home.sources_dir / "erp.sqlite").exists()


def test_a_file_that_is_no_database_says_so(home: Settings) -> None:
    case = sqlite_case(home)
    (home.sources_dir / "erp.sqlite").write_text("not a database, but long enough to be asked about it" * 50)
    with pytest.raises(PermanentError, match="the file is not a SQLite database"):
        case.extract()


def test_checking_a_database_reports_every_entity(home: Settings) -> None:
    case = sqlite_case(home)
    case.file.write_text(case.file.read_text() + "  customers: {table: nope}\n")
    report = check_source(home, "erp")
    assert [(entity.entity, entity.rows, entity.error is None) for entity in report.entities] == [
        ("customers", 0, False), ("invoices", 2, True),
    ]  # fmt: skip


def test_batches_are_cut_and_joined_to_size() -> None:
    import pyarrow as pa

    batches = [pa.record_batch({"a": list(range(size))}) for size in (3, 4, 25, 1)]
    assert [table.num_rows for table in rebatch(iter(batches), 10)] == [10, 10, 10, 3]


def test_every_table_of_the_demo_erp_fits_its_mapping(home: Settings) -> None:
    schema = PROJECT / "plugins" / "receivables" / "demo" / "schema.sql"
    home.demo_erp.parent.mkdir(parents=True)
    sqlite(home.demo_erp, schema.read_text(encoding="utf-8"))
    case = Case(home, "demo_erp")
    case.file.write_text((PROJECT / "sources" / "demo_erp.yml").read_text(encoding="utf-8"))
    report = check_source(home, "demo_erp")
    assert [str(entity.error) for entity in report.entities if entity.error] == []
    assert len(report.entities) == 14


# --- PostgreSQL ---


@pytest.fixture
def pg(home: Settings, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A source on a PostgreSQL table of its own."""
    postgres.execute(
        "drop schema if exists erp cascade",
        "create schema erp",
        "create table erp.bills (no integer primary key, customer text, day date, total numeric(20, 4),"
        " changed_at timestamptz, fx numeric, paid boolean, extra jsonb, code uuid default gen_random_uuid(),"
        " tags text[], fee money, blob bytea)",
        "insert into erp.bills (no, customer, day, total, changed_at, fx, paid, extra, tags, fee, blob) values"
        " (1, 'C1', '2026-01-05', 12345678901234.5600, '2026-03-01 10:00+08', 7.81234567, true, '{\"a\": 1}', '{x}', 12.5,"
        " '\\x00'), (2, '华东', '2026-01-06', 0.10, '2026-03-02 23:59:59.5+08', null, false, null, null, null, null)",
    )
    monkeypatch.setenv("ERP_PASSWORD", postgres.password)
    yield write_source(
        home,
        f"""
        kind: sql
        timezone: Asia/Shanghai
        default_currency_code: EUR
        connection:
          postgresql:
            host: 127.0.0.1
            port: {postgres.port}
            database: postgres
            user: erp
            password: ${{ERP_PASSWORD}}
        entities:
          invoices:
            table: erp.bills
            columns:
              invoice_id: no
              customer_id: customer
              invoice_date: day
              amount: total
              updated_at: changed_at
              exchange_rate: fx
              is_disputed: paid
              reference: extra
              contract_id: code
              salesperson: tags
              tax_amount: fee
        """,
    )


def test_postgresql_numbers_dates_and_odd_types_arrive_exactly(pg: Case) -> None:
    pg.run()
    assert pg.refused() == []
    assert pg.query(
        "select invoice_id, customer_id, invoice_date, amount, updated_at, exchange_rate, is_disputed, reference,"
        " salesperson, tax_amount, length(contract_id) from raw_erp.invoices order by 1"
    ) == [
        ("1", "C1", date(2026, 1, 5), Decimal("12345678901234.56"), datetime(2026, 3, 1, 2), Decimal("7.81234567"), True,
         '{"a": 1}', "{x}", Decimal("12.5"), 36),
        ("2", "华东", date(2026, 1, 6), Decimal("0.1"), datetime(2026, 3, 2, 15, 59, 59, 500000), None, False, None,
         None, None, 36),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_postgresql_is_read_by_what_changed_whatever_the_cursors_type(
    pg: Case, postgres: Postgres, kind: str
) -> None:
    zone = " at time zone 'Asia/Shanghai'" if kind != "timestamptz" else ""
    postgres.execute(f"alter table erp.bills alter changed_at type {kind} using (changed_at{zone})::{kind}")
    text = pg.file.read_text()
    pg.file.write_text(
        text.replace(
            "table: erp.bills",
            "table: erp.bills\n    mode: incremental\n    cursor: changed_at\n    overlap: 1h",
        )
    )
    assert pg.run(DAY).entities[0].new == 2
    postgres.execute(
        "insert into erp.bills (no, customer, day, total, changed_at) values"
        " (3, 'C1', '2026-01-07', 1, '2026-03-03 23:59:59+08'),"
        " (4, 'C1', '2026-01-07', 1, '2026-03-05 00:00+08')"
    )
    assert pg.run(NEXT).entities[0].new == 1
    assert ids(pg) == ["1", "2", "3"]


def test_a_cursor_that_is_no_time_is_refused(pg: Case) -> None:
    text = pg.file.read_text()
    pg.file.write_text(
        text.replace("table: erp.bills", "table: erp.bills\n    mode: incremental\n    cursor: customer")
    )
    with pytest.raises(
        PermanentError, match="the cursor column 'customer' is string, not a date or timestamp"
    ):
        pg.run()


def test_a_wrong_password_is_permanent_and_not_shown(pg: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_PASSWORD", "s3cr3t/+pass")
    with pytest.raises(PermanentError) as caught:
        pg.extract()
    assert "the server refuses the user or the password" in str(caught.value)
    assert "check user and password in the environment" in str(caught.value)
    assert_is_secret("s3cr3t/+pass", caught.value)


def assert_is_secret(secret: str, error: BaseException) -> None:
    """Neither the error nor anything chained to it may repeat the secret."""
    seen: BaseException | None = error
    while seen is not None:
        assert secret not in str(seen)
        assert quote(secret, safe="") not in str(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def test_a_server_that_is_down_is_worth_a_retry(pg: Case, postgres: Postgres) -> None:
    pg.file.write_text(pg.file.read_text().replace(str(postgres.port), str(free_port())))
    with pytest.raises(TransientError, match=r"the server does not answer .*Connection refused") as caught:
        pg.extract()
    assert caught.value.exit_code == 75
    assert_is_secret(postgres.password, caught.value)


def test_a_missing_password_variable_is_named(pg: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERP_PASSWORD")
    pg.file.write_text(pg.file.read_text().replace("user: erp", "user: ${ERP_USER}"))
    with pytest.raises(ConfigError, match="environment variables not set: ERP_PASSWORD, ERP_USER"):
        pg.extract()


PG_FAULTS = {
    "missing table": ("table: erp.bill", "there is no table 'erp.bill' (did you mean 'bills'?)"),
    "missing column in a query": ('query: "select nope from erp.bills"', 'column "nope" does not exist'),
    "broken query": ('query: "selct 1"', 'syntax error at or near'),
    "a query that writes": (
        'query: "select * from erp.bills where setval(\'erp.s\', 1) > 0"', "cannot execute setval() in a read-only",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("entity", "words"), PG_FAULTS.values(), ids=PG_FAULTS)
def test_a_faulty_postgresql_entity_says_what_is_wrong(
    pg: Case, postgres: Postgres, entity: str, words: str
) -> None:
    postgres.execute("create sequence erp.s")
    pg.file.write_text(pg.file.read_text().replace("table: erp.bills", entity))
    with pytest.raises(PermanentError) as caught:
        pg.extract()
    assert words in str(caught.value)
    assert_is_secret(postgres.password, caught.value)


def test_a_connection_that_breaks_on_the_way_is_worth_a_retry(pg: Case) -> None:
    query = 'query: "select * from erp.bills where pg_terminate_backend(pg_backend_pid())"'
    pg.file.write_text(pg.file.read_text().replace("table: erp.bills", query))
    with pytest.raises(TransientError, match="terminating connection"):
        pg.extract()


def test_a_missing_database_is_named(pg: Case) -> None:
    pg.file.write_text(pg.file.read_text().replace("database: postgres", "database: nodb"))
    with pytest.raises(PermanentError, match="there is no such database on the server"):
        pg.extract()


def test_a_table_without_rights_says_how_to_grant_them(
    pg: Case, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.execute(
        "drop role if exists reader",
        "create role reader login password 'r3ader'",
        "grant usage on schema erp to reader",
    )
    monkeypatch.setenv("ERP_PASSWORD", "r3ader")
    pg.file.write_text(pg.file.read_text().replace("user: erp", "user: reader"))
    with pytest.raises(PermanentError, match=r"may not read this .*grant select on"):
        pg.extract()


@pytest.mark.parametrize("form", ["uri", "json", "url"])
def test_an_address_may_come_from_airflow_or_one_variable(
    pg: Case, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    text = pg.file.read_text()
    start, end = text.index("  postgresql:"), text.index("entities:")
    if form == "url":
        monkeypatch.setenv("ERP_URL", postgres.url())
        connection = "  postgresql: ${ERP_URL}\n"
    else:
        parts = {"conn_type": "postgres", "host": "127.0.0.1", "port": postgres.port, "login": "erp",
                 "password": postgres.password, "schema": "postgres"}  # fmt: skip
        monkeypatch.setenv(
            "AIRFLOW_CONN_ERP_DB",
            json.dumps(parts) if form == "json" else postgres.url().replace("postgresql:", "postgres:"),
        )
        connection = "  postgresql: {airflow_connection: erp_db}\n"
    pg.file.write_text(text[:start] + connection + text[end:])
    assert pg.run().rows == 2


def test_a_missing_airflow_connection_is_named(pg: Case) -> None:
    text = pg.file.read_text()
    start, end = text.index("  postgresql:"), text.index("entities:")
    pg.file.write_text(text[:start] + "  postgresql: {airflow_connection: erp_gone}\n" + text[end:])
    with pytest.raises(ConfigError, match="environment variable not set: AIRFLOW_CONN_ERP_GONE"):
        pg.extract()


def test_a_wrong_address_is_not_shown(pg: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_URL", "mysql://root:t0psecret@host/db")
    text = pg.file.read_text()
    start, end = text.index("  postgresql:"), text.index("entities:")
    pg.file.write_text(text[:start] + "  postgresql: ${ERP_URL}\n" + text[end:])
    with pytest.raises(ConfigError, match="is not an address of the form postgresql://") as caught:
        pg.extract()
    assert_is_secret("t0psecret", caught.value)


def test_a_read_that_sees_nothing_newer_keeps_the_watermark_in_utc(pg: Case) -> None:
    text = pg.file.read_text()
    pg.file.write_text(
        text.replace("table: erp.bills", "table: erp.bills\n    mode: incremental\n    cursor: changed_at")
    )
    manifest = pg.extract()["invoices"]
    assert manifest.watermark == datetime(2026, 3, 2, 15, 59, 59, 500000, tzinfo=UTC)
