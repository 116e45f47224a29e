"""MariaDB and MySQL: exact values, what changed, and what their faults say."""

# ruff: noqa: DTZ001, E501 (raw holds UTC without a zone; tables of rows and messages are easier to compare uncut)

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from receivables.errors import ConfigError, PermanentError, TransientError
from receivables.settings import Settings
from receivables.sources.address import MYSQL, server_address
from receivables.sources.config import MysqlConnection as MysqlSettings
from receivables.sources.mysql import FETCH_ROWS
from tests.servers import MariaDb, free_port
from tests.sources.setup import DAY, Case, write_source

NEXT = DAY + timedelta(days=1)
COLUMNS = (
    "{invoice_id: no, customer_id: customer, invoice_date: day, due_date: due, amount: total,"
    " is_disputed: disputed, terms_days: terms, updated_at: changed_at, created_at: made_at}"
)
ROWS = """
    create table bills (
        no bigint unsigned primary key, customer varchar(140), day date, due date, total decimal(21, 9),
        disputed tinyint(1), terms smallint, changed_at datetime(6), made_at timestamp null, note blob, flag bit(1)
    ) character set utf8mb4
    """, """
    insert into bills values
        (18446744073709551615, '华东 é', '2026-01-05', '0000-00-00', 12345678901.120000000, 1, 30,
         '2026-03-02 07:59:59.123456', null, x'ff00', b'1'),
        (2, 'C1', '2026-01-06', '2026-02-00', 0.1, 0, null, '2026-03-02 08:00:00', null, null, b'0'),
        (3, 'C1', '2026-01-07', '2026-02-07', 1.005, null, -1, '2026-03-04 08:00:00', null, null, null)
    """, """
    set time_zone = '+08:00'
    """, """
    update bills set made_at = '2026-03-02 02:00:00', changed_at = changed_at
    """  # fmt: skip
SOURCE = """
kind: sql
timezone: {zone}
connection: {{mysql: {connection}}}
default_currency_code: EUR
entities:
  invoices:
    {entity}
    columns: {columns}
"""
BY_PARTS = '{host: 127.0.0.1, port: "${MY_PORT}", database: erp, user: erp, password: "${MY_PASSWORD}"}'


def source(
    home: Settings, *, entity: str = "table: bills", connection: str = BY_PARTS, zone: str = "Asia/Shanghai"
) -> Case:
    text = SOURCE.format(entity=entity, connection=connection, columns=COLUMNS, zone=zone)
    return write_source(home, text)


@pytest.fixture
def erp(mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch) -> Iterator[MariaDb]:
    """A database with three bills, and the variables that lead to it."""
    mariadb.execute("create database erp character set utf8mb4")
    mariadb.execute(*ROWS, database="erp")
    monkeypatch.setenv("MY_PORT", str(mariadb.port))
    monkeypatch.setenv("MY_PASSWORD", mariadb.password)
    yield mariadb
    mariadb.execute("drop database erp")


def test_decimals_zero_dates_flags_and_moments_arrive_exactly(home: Settings, erp: MariaDb) -> None:
    case = source(home)
    case.run(NEXT + timedelta(days=5))
    rows = case.query(
        "select invoice_id, customer_id, invoice_date, due_date, amount, is_disputed, terms_days, updated_at, created_at"
        " from raw_erp.invoices order by invoice_date"
    )
    made = datetime(2026, 3, 1, 18)  # a TIMESTAMP is a moment: 02:00 in Shanghai
    assert rows == [
        ("18446744073709551615", "华东 é", date(2026, 1, 5), None, Decimal("12345678901.1200"), True, 30,
         datetime(2026, 3, 1, 23, 59, 59, 123456), made),
        ("2", "C1", date(2026, 1, 6), None, Decimal("0.1000"), False, None, datetime(2026, 3, 2), made),
    ]  # fmt: skip
    assert [(key, reason) for key, reason, _, _ in case.refused()] == [
        ("3", "amount (total): '1.005000000' has more than 2 decimals")
    ]


def test_only_what_changed_is_read_up_to_the_end_of_the_business_day_in_the_sources_zone(
    home: Settings, erp: MariaDb
) -> None:
    case = source(
        home,
        entity="table: bills\n    mode: incremental\n    cursor: changed_at\n    overlap: 0h\n    sweep: true",
    )
    assert case.run(DAY).entities[0].new == 2
    erp.execute("delete from bills where no = 2", database="erp")
    erp.execute("update bills set total = 7, changed_at = '2026-03-03 09:00:00' where no = 3", database="erp")
    report = case.run(NEXT).entities[0]
    assert (report.new, report.changed, report.removed) == (1, 0, 1)


def test_a_timestamp_cursor_is_compared_in_utc(home: Settings, erp: MariaDb) -> None:
    """A read of 1 March ends when that day is over for every company, in Berlin as well: not at 06:00 in Shanghai."""
    erp.execute(
        "set time_zone = '+08:00'",
        "update bills set made_at = '2026-03-02 06:00:00', changed_at = changed_at where no = 2",
        "update bills set made_at = '2026-03-02 21:00:00', changed_at = changed_at where no <> 2",
        database="erp",
    )
    case = source(home, entity="table: bills\n    mode: incremental\n    cursor: made_at")
    assert case.run(date(2026, 3, 1)).entities[0].rows == 1
    assert case.run(date(2026, 3, 2)).entities[0].rows == 3


def test_a_large_table_is_streamed_and_left_in_the_middle(home: Settings, erp: MariaDb) -> None:
    erp.execute(
        "create table many as select seq as no, 'C1' as customer, date '2026-01-05' as day, null as due,"
        " seq / 100 as total, 0 as disputed, 30 as terms, now() as changed_at, now() as made_at"
        f" from seq_1_to_{25 * FETCH_ROWS}",
        database="erp",
    )
    case = source(home, entity="table: many")
    from receivables.sources import check_source

    report = check_source(home, "erp")
    assert report.is_ok and report.entities[0].is_partial
    assert sum(manifest.rows for manifest in case.extract().values()) == 25 * FETCH_ROWS


def test_a_source_is_never_written(home: Settings, erp: MariaDb) -> None:
    erp.execute(f"grant all on erp.* to '{erp.user}'@'127.0.0.1'")
    entity = "query: \"select * from bills where no = 2 into outfile '/tmp/receivables-never'\""
    with pytest.raises(PermanentError):
        source(home, entity=entity).extract()
    assert not Path("/tmp/receivables-never").exists()


@pytest.mark.parametrize(
    ("entity", "words"),
    [
        ("table: bill", "there is no table 'bill' (did you mean 'bills'?)"),
        ("query: select nothing from bills", "Unknown column 'nothing'"),
        ("query: selct 1", "You have an error in your SQL syntax"),
    ],
)
def test_a_faulty_entity_says_what_and_what_to_do(
    home: Settings, erp: MariaDb, entity: str, words: str
) -> None:
    with pytest.raises(PermanentError) as caught:
        source(home, entity=entity).extract()
    assert words.lower() in str(caught.value).lower()
    assert "correct" in str(caught.value)


def test_a_missing_column_is_named_with_those_there_are(home: Settings, erp: MariaDb) -> None:
    erp.execute("alter table bills drop column total", database="erp")
    with pytest.raises(PermanentError, match=r"column 'total' \(for amount\) is missing.*customer"):
        source(home).extract()


def test_a_wrong_password_is_permanent_and_not_shown(
    home: Settings, erp: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PASSWORD", "a-secret-word")
    with pytest.raises(PermanentError, match="refuses the user or the password") as caught:
        source(home).extract()
    assert "a-secret-word" not in str(caught.value)


def test_a_server_that_is_down_is_worth_a_retry(
    home: Settings, erp: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PORT", str(free_port()))
    with pytest.raises(TransientError, match="does not answer"):
        source(home).extract()


def test_a_missing_database_and_missing_rights_are_named(home: Settings, erp: MariaDb) -> None:
    with pytest.raises(PermanentError, match="no such database"):
        source(home, connection=BY_PARTS.replace("database: erp", "database: nowhere")).extract()
    erp.execute("create user 'poor'@'127.0.0.1' identified by ''", "grant usage on *.* to 'poor'@'127.0.0.1'")
    try:
        with pytest.raises(PermanentError, match="grant select"):
            source(
                home, connection=BY_PARTS.replace('user: erp, password: "${MY_PASSWORD}"', "user: poor")
            ).extract()
    finally:
        erp.execute("drop user 'poor'@'127.0.0.1'")


def test_missing_variables_are_all_named_at_once(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MY_PORT", "MY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"MY_PASSWORD.*MY_PORT"):
        source(home).extract()


@pytest.mark.parametrize("form", ["url", "airflow url", "airflow json"])
def test_an_address_may_come_from_airflow_or_one_variable(
    home: Settings, erp: MariaDb, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    connection = '"${MY_URL}"' if form == "url" else "{airflow_connection: my_erp}"
    monkeypatch.setenv("MY_URL", erp.url())
    as_json = {
        "conn_type": "mysql", "host": erp.host, "port": erp.port, "schema": "erp", "login": erp.user,
        "password": erp.password,
    }  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_MY_ERP", json.dumps(as_json) if form == "airflow json" else erp.url())
    assert source(home, connection=connection).extract()["invoices"].rows == 2


def test_a_wrong_address_is_not_shown(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_URL", "postgresql://erp:a-secret-word@127.0.0.1/erp")
    with pytest.raises(ConfigError, match="mysql://user:password@host:3306/database") as caught:
        source(home, connection='"${MY_URL}"').extract()
    assert "a-secret-word" not in str(caught.value)


def test_a_password_in_the_file_is_refused(home: Settings) -> None:
    with pytest.raises(ConfigError, match="password stands in the file"):
        source(home, connection="{host: h, database: d, user: u, password: open}").extract()


def test_the_options_of_an_engine_reach_its_driver(home: Settings) -> None:
    config = MysqlSettings(host="h", database="d", user="u", socket="/run/my.sock", ssl_ca="/etc/ca.pem")
    assert server_address(config, home, engine=MYSQL, what="x").options == {
        "socket": "/run/my.sock",
        "ssl_ca": "/etc/ca.pem",
    }
