"""What readers get: whole versions, without personal data, of the newest business day."""

from __future__ import annotations

import json
import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from receivables.errors import PermanentError
from receivables.publish import (
    PUBLIC,
    RESTRICTED,
    VERDICT,
    Publication,
    audit,
    build_candidate,
    current_version,
    newest_candidate,
    open_published,
    publish,
    stored_versions,
    verify,
)
from receivables.settings import Settings
from receivables.warehouse import writing
from tests.publish.installation import build_checked, build_marts, make_installation

DAY = date(2026, 3, 31)


@pytest.fixture
def installation(tmp_path: Path) -> Settings:
    settings = make_installation(tmp_path)
    build_marts(settings, DAY)
    return settings


def publish_day(settings: Settings, day: date, run: str, *, edition: int = 1) -> Publication:
    build_marts(settings, day, edition=edition)
    build_checked(settings, day, run)
    return publish(settings, day, run)


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    with open_published(path) as connection:
        return connection.execute(sql).fetchall()


def test_readers_find_the_version_through_the_link(installation: Settings) -> None:
    publication = publish_day(installation, DAY, "r1")

    assert publication.is_current
    assert (installation.published / "current").readlink() == Path("versions") / "2026-03-31-r1"
    assert ask(installation.published_database, "select count(*), sum(amount) from marts.items") == ask(
        installation.published_database, "select 1000, amount from marts.totals"
    )


def test_the_public_file_has_no_personal_column_and_the_restricted_one_has_it(installation: Settings) -> None:
    version = publish_day(installation, DAY, "r1").version.path

    columns = "select column_name from duckdb_columns() where table_name = 'items' order by column_index"
    assert [name for (name,) in ask(version / PUBLIC, columns)] == ["id", "amount", "edition", "valid_from"]
    assert ("email",) in ask(version / RESTRICTED, columns)
    assert b"person1@example.com" not in (version / PUBLIC).read_bytes()


def test_a_refused_row_is_public_by_key_and_reason_only(installation: Settings) -> None:
    version = publish_day(installation, DAY, "r1").version.path

    sql = "select key, reason, payload from quality.quarantined_rows"
    assert ask(version / PUBLIC, sql) == [("C1", "has no currency", None)]
    assert ask(version / RESTRICTED, sql) == [("C1", "has no currency", '{"email": "a@example.com"}')]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("amount: 'Ms Wang, Elm Road 4' is not a number", "amount: '…' is not a number"),
        (
            "due_date: 'Elm Road 4' is not a date; amount: 'Ms Wang' is not a number",
            "due_date: '…' is not a date; amount: '…' is not a number",
        ),
        # Refused before quotes in a value were replaced.
        ("amount: 'Elm Road 4, O'Brien' is not a number; x: 'y' is", "amount: '…' is"),
        ("amount: 'Elm\nRoad 4' is not a number", "amount: '…' is not a number"),
        ("names invoice I7, which the source has not delivered", None),
    ],
)
def test_the_public_reason_does_not_quote_what_was_refused(
    installation: Settings, reason: str, shown: str | None
) -> None:
    with writing(installation.warehouse) as connection:
        connection.execute("update quality.quarantined_rows set reason = ?", [reason])
    build_checked(installation, DAY, "r1")
    version = publish(installation, DAY, "r1").version.path

    sql = "select reason from quality.quarantined_rows"
    assert ask(version / PUBLIC, sql) == [(shown or reason,)]
    assert ask(version / RESTRICTED, sql) == [(reason,)]
    assert b"Road" not in (version / PUBLIC).read_bytes()


def test_files_are_read_only_and_the_restricted_one_is_closed_to_others(installation: Settings) -> None:
    version = publish_day(installation, DAY, "r1").version.path

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in version.iterdir()}
    assert modes == {PUBLIC: 0o444, RESTRICTED: 0o440, "manifest.json": 0o444, VERDICT: 0o444}


def test_the_manifest_names_day_run_rows_and_hashes(installation: Settings) -> None:
    version = publish_day(installation, DAY, "r1").version

    facts = json.loads((version.path / "manifest.json").read_text())
    items = facts["files"][PUBLIC]["tables"]["marts.items"]
    assert (facts["as_of_date"], facts["run"], items["rows"]) == ("2026-03-31", "r1", 1000)
    verify(installation, version.name)


def test_the_same_marts_have_the_same_hashes_in_any_version(installation: Settings) -> None:
    first, second = publish_day(installation, DAY, "r1"), publish_day(installation, DAY, "r2")
    third = publish_day(installation, DAY, "r3", edition=2)

    def hashes(publication: Publication) -> dict[str, str]:
        facts = json.loads((publication.version.path / "manifest.json").read_text())
        tables = facts["files"][PUBLIC]["tables"]
        return {name: table["hash"] for name, table in tables.items() if name.startswith("marts.")}

    assert hashes(first) == hashes(second) != hashes(third)


def test_column_comments_and_functions_are_published(installation: Settings) -> None:
    database = publish_day(installation, DAY, "r1").version.database

    comment = "select comment from duckdb_columns() where table_name = 'items' and column_name = 'amount'"
    assert ask(database, comment) == [("What's still owed.",)]
    assert ask(database, "select count(*) from marts.items_as_of(date '2026-04-01')") == [(1000,)]
    assert ask(database, "select count(*) from marts.items_as_of('2026-03-30')") == [(0,)]


def test_old_clients_can_read_the_file(installation: Settings) -> None:
    database = publish_day(installation, DAY, "r1").version.database

    [(version,)] = ask(
        database,
        "select tags['storage_version'] from duckdb_databases() where database_name = 'receivables'",
    )
    assert version.startswith("v1.2.0")


def test_what_a_killed_dbt_left_behind_is_not_published(installation: Settings) -> None:
    database = publish_day(installation, DAY, "r1").version.database

    names = "select table_name from information_schema.tables where table_schema = 'marts' order by 1"
    assert ask(database, names) == [("items",), ("totals",)]


def test_a_version_of_an_older_day_is_stored_and_does_not_become_current(installation: Settings) -> None:
    publish_day(installation, DAY, "r1")
    older = publish_day(installation, DAY - timedelta(days=1), "r2")

    assert not older.is_current
    assert older.version.database.exists()
    current = current_version(installation)
    assert current is not None
    assert current.as_of_date == DAY


def test_a_second_version_of_the_same_day_becomes_current(installation: Settings) -> None:
    publish_day(installation, DAY, "r1")
    publish_day(installation, DAY, "r2", edition=2)

    assert ask(installation.published_database, "select distinct edition from marts.items") == [(2,)]


def test_marts_of_another_day_are_not_published_under_this_one(installation: Settings) -> None:
    build_marts(installation, DAY + timedelta(days=1))

    with pytest.raises(PermanentError, match="marts in the working database are of 2026-04-01"):
        build_candidate(installation, DAY, "r1")


def test_a_model_without_its_table_stops_the_candidate(installation: Settings) -> None:
    with writing(installation.warehouse) as connection:
        connection.execute("drop table marts.totals")

    with pytest.raises(PermanentError, match=r"has no marts\.totals"):
        build_candidate(installation, DAY, "r1")


def test_a_function_that_needs_a_personal_column_stops_the_candidate(installation: Settings) -> None:
    file = installation.dbt_project / "functions" / "mails.sql"
    file.write_text("create macro marts.mails(as_of) as table select email from marts.items")
    stamp = installation.dbt_manifest.with_name("manifest.json.made_from")
    from receivables.transform import project_fingerprint

    stamp.write_text(project_fingerprint(installation))

    with pytest.raises(PermanentError, match="mails"):
        build_checked(installation, DAY, "r1")
        publish(installation, DAY, "r1")
    assert current_version(installation) is None


def test_publishing_without_a_candidate_says_what_to_do(installation: Settings) -> None:
    with pytest.raises(PermanentError, match="receivables run --as-of 2026-03-31"):
        publish(installation, DAY, "r1")


def test_publishing_twice_ends_in_the_same_state(installation: Settings) -> None:
    publish_day(installation, DAY, "r1")
    before = json.loads((installation.published / "current" / "manifest.json").read_text())

    again = publish(installation, DAY, "r1")

    assert again.is_current
    assert json.loads((again.version.path / "manifest.json").read_text()) == before


def test_checks_that_ran_on_the_candidate_are_published_with_it(installation: Settings) -> None:
    build_checked(installation, DAY, "r1")

    database = publish(installation, DAY, "r1").version.database

    assert ask(database, 'select run, "check" from quality.check_results') == [("r1", "is_whole")]


def test_a_file_with_a_write_ahead_log_is_not_published(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = build_checked(installation, DAY, "r1")

    def audit_while_somebody_writes(folder: Path, day: date) -> dict[str, Any]:
        candidate.with_name(f"{RESTRICTED}.wal").touch()
        return audit(folder, day)

    monkeypatch.setattr("receivables.publish.audit", audit_while_somebody_writes)
    with pytest.raises(PermanentError, match="write-ahead log"):
        publish(installation, DAY, "r1")
    assert current_version(installation) is None


def test_files_that_differ_in_rows_are_not_published(installation: Settings) -> None:
    candidate = build_candidate(installation, DAY, "r1")
    with duckdb.connect(str(candidate)) as connection:
        connection.execute("delete from marts.items where id = 7")

    with pytest.raises(PermanentError, match=r"differ in marts\.items"):
        audit(candidate.parent, DAY)


def test_a_damaged_version_is_noticed(installation: Settings) -> None:
    version = publish_day(installation, DAY, "r1").version
    version.database.chmod(0o644)
    with duckdb.connect(str(version.database)) as connection:
        connection.execute("update marts.items set amount = 99 where id = 7")

    with pytest.raises(PermanentError, match="does not hold the rows that its manifest names"):
        verify(installation, version.name)


def test_the_newest_candidate_of_a_day_is_the_one_built_last(installation: Settings) -> None:
    build_candidate(installation, DAY, "r1")
    build_candidate(installation, DAY, "r2")
    assert newest_candidate(installation, DAY) == "r2"
    with pytest.raises(PermanentError, match="there is none"):
        newest_candidate(installation, DAY + timedelta(days=1))


def test_pruning_keeps_the_current_the_newest_two_and_the_young(installation: Settings) -> None:
    for offset in range(4):
        publish_day(installation, DAY - timedelta(days=offset), f"r{offset}")
    assert len(stored_versions(installation)) == 4, "all are young"

    build_checked(installation, DAY - timedelta(days=3), "r9")
    publish(installation, DAY - timedelta(days=3), "r9", minimum_age=timedelta(0))

    kept = {version.name for version in stored_versions(installation)}
    assert kept == {"2026-03-31-r0", "2026-03-28-r9", "2026-03-28-r3"}, "current, and the newest two"


def test_a_run_that_cannot_be_part_of_a_path_is_refused(installation: Settings) -> None:
    with pytest.raises(PermanentError, match="cannot be part of a path"):
        build_candidate(installation, DAY, "../r1")


@pytest.mark.parametrize(
    "sql",
    [
        "copy marts.items to '{folder}/stolen.csv'",
        "from read_csv('/etc/passwd')",
        "attach '{folder}/other.duckdb'",
        "set enable_external_access = true",
        "create table marts.mine as select 1",
        "delete from marts.items",
        "install httpfs",
    ],
)
def test_a_query_can_touch_nothing_else(installation: Settings, tmp_path: Path, sql: str) -> None:
    database = publish_day(installation, DAY, "r1").version.database

    with pytest.raises(duckdb.Error):
        ask(database, sql.format(folder=tmp_path))


def test_published_at_is_aware_and_recent(installation: Settings) -> None:
    version = publish_day(installation, DAY, "r1").version
    assert datetime.now(UTC) - version.published_at < timedelta(minutes=5)
