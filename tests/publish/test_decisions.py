"""What people decide about versions: a check is let pass for one run, readers are sent back; on record."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from receivables import cli, deciding, pipeline, runs
from receivables.errors import CheckFailedError, PermanentError, ReceivablesError
from receivables.publish import (
    VERDICT,
    build_candidate,
    candidate_database,
    current_version,
    held_back,
    open_published,
    publish,
    rollback,
    stored_versions,
)
from receivables.settings import Settings
from receivables.warehouse import writing
from tests.publish.installation import build_checked, build_marts, make_installation

DAY = date(2026, 3, 31)
DSO, TIE_OUT = "marts.ar_dso.dso_is_believable", "marts.ar_reconciliation.agrees_with_the_ledger"


@pytest.fixture
def installation(tmp_path: Path) -> Settings:
    settings = make_installation(tmp_path)
    build_marts(settings, DAY)
    return settings


def published_run(settings: Settings) -> str | None:
    version = current_version(settings)
    return version and version.run


def publish_edition(settings: Settings, day: date, run: str, edition: int) -> str:
    build_marts(settings, day, edition=edition)
    build_checked(settings, day, run)
    return publish(settings, day, run).version.name


def seen(settings: Settings) -> int:
    with open_published(settings.published_database) as connection:
        [(edition,)] = connection.execute("select distinct edition from marts.items").fetchall()
    return int(edition)


def test_a_candidate_that_no_check_has_seen_is_not_published(installation: Settings) -> None:
    build_candidate(installation, DAY, "r1")
    with pytest.raises(PermanentError, match="no check has seen it"):
        publish(installation, DAY, "r1")
    assert current_version(installation) is None


def test_a_verdict_does_not_outlive_the_candidate_it_is_about(installation: Settings) -> None:
    build_checked(installation, DAY, "r1")
    build_candidate(installation, DAY, "r1")
    with pytest.raises(PermanentError, match="no check has seen it"):
        publish(installation, DAY, "r1")


def test_a_failed_critical_check_holds_the_version_back_and_says_how_to_go_on(installation: Settings) -> None:
    build_checked(installation, DAY, "r1", critical=[DSO])
    with pytest.raises(
        CheckFailedError, match=r"1 critical failed: marts\.ar_dso\.dso_is_believable"
    ) as error:
        publish(installation, DAY, "r1")
    assert "receivables publish --run r1 --accept CHECK" in error.value.next_step
    assert current_version(installation) is None
    [candidate] = held_back(installation)
    assert (candidate.run, candidate.critical) == ("r1", (DSO,))


def test_the_status_says_what_holds_a_version_back(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_checked(installation, DAY, "r1", critical=[DSO])
    for name, path in (
        ("ROOT", installation.root),
        ("HOME", installation.home),
        ("SOURCES", installation.sources_dir),
        ("CONFIG", installation.config_file),
    ):
        monkeypatch.setenv(f"RECEIVABLES_{name}", str(path))
    monkeypatch.setenv("COLUMNS", "200")
    said = CliRunner().invoke(cli.app, ["status"]).stdout
    assert "Held back by critical checks" in said
    assert DSO in said
    [held] = json.loads(CliRunner().invoke(cli.app, ["status", "--json"]).stdout)["held_back"]
    assert (held["run"], held["critical"]) == ("r1", [DSO])


def test_an_accepted_check_lets_its_run_pass_and_the_record_is_published(installation: Settings) -> None:
    build_checked(installation, DAY, "r1", critical=[DSO])

    decision = deciding.publish_held_back(installation, [DSO], by="Wang Li", reason="a credit run in March")

    assert (decision.version, decision.is_current) == ("2026-03-31-r1", True)
    with open_published(installation.published_database) as connection:
        rows = connection.execute(
            'select run, suite, "check", observed, accepted_by, reason from quality.acceptances'
        ).fetchall()
    assert rows == [("r1", "marts.ar_dso", "dso_is_believable", "7 rows", "Wang Li", "a credit run in March")]
    assert held_back(installation) == []
    state = runs.status(installation)
    assert [row["accepted_by"] for row in state["acceptances"]] == ["Wang Li"]
    assert [run["status"] for run in state["runs"]] == ["done"]


def test_another_critical_check_still_holds_the_version_back(installation: Settings) -> None:
    build_checked(installation, DAY, "r1", critical=[DSO, TIE_OUT])

    with pytest.raises(CheckFailedError, match=r"1 critical failed: marts\.ar_reconciliation"):
        deciding.publish_held_back(installation, ["dso_is_believable"], by="Wang Li", reason="known")
    assert current_version(installation) is None

    decision = deciding.publish_held_back(installation, [TIE_OUT], by="Chen Yu", reason="journal follows")
    assert decision.version == "2026-03-31-r1"


def test_an_acceptance_is_for_one_run_only(installation: Settings) -> None:
    build_checked(installation, DAY, "r1", critical=[DSO])
    deciding.publish_held_back(installation, [DSO], by="Wang Li", reason="known")

    build_checked(installation, DAY, "r2", critical=[DSO])
    with pytest.raises(CheckFailedError):
        publish(installation, DAY, "r2")
    assert published_run(installation) == "r1"


@pytest.mark.parametrize(
    ("check", "by", "reason", "said"),
    [
        (DSO, "", "known", "--by"),
        (DSO, "Wang Li", " \n", "--reason"),
        ("marts.ar_dso.no_such_check", "Wang Li", "known", "did not fail critically.*dso_is_believable"),
    ],
)
def test_an_acceptance_needs_a_name_a_reason_and_a_failed_check(
    installation: Settings, check: str, by: str, reason: str, said: str
) -> None:
    build_checked(installation, DAY, "r1", critical=[DSO])
    with pytest.raises(PermanentError, match=said):
        deciding.publish_held_back(installation, [check], by=by, reason=reason)
    assert current_version(installation) is None


def test_an_accepted_check_of_what_was_loaded_lets_the_run_be_continued(installation: Settings) -> None:
    with writing(installation.warehouse) as connection:
        connection.execute(
            'insert into quality.check_results (run, as_of_date, suite, "check", severity, success)'
            " values ('r1', ?, 'raw.erp.invoices', 'volume', 'critical', false)",
            [DAY],
        )
    decision = deciding.publish_held_back(
        installation, ["volume"], by="Wang Li", reason="a holiday", day=DAY, run="r1"
    )
    assert decision.version is None
    assert "receivables run --as-of 2026-03-31 --run r1" in decision.next_step
    assert list(pipeline.accepted_checks(installation, "r1")) == ["raw.erp.invoices.volume"]


def test_a_refused_candidate_waits_a_week_and_others_a_day(installation: Settings) -> None:
    build_checked(installation, DAY, "refused", critical=[DSO])
    build_candidate(installation, DAY, "unchecked")
    two_days_ago = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    for run in ("refused", "unchecked"):
        os.utime(candidate_database(installation, DAY, run).parent, (two_days_ago, two_days_ago))

    publish_edition(installation, DAY, "r2", 2)

    assert candidate_database(installation, DAY, "refused").exists()
    assert not candidate_database(installation, DAY, "unchecked").exists()


def test_of_refused_candidates_the_newest_three_are_kept(installation: Settings) -> None:
    for number in range(5):
        database = build_checked(installation, DAY, f"r{number}", critical=[DSO])
        verdict = database.with_name(VERDICT)
        facts = json.loads(verdict.read_text())
        facts["checked_at"] = (datetime.now(UTC) - timedelta(hours=9 - number)).isoformat()
        verdict.write_text(json.dumps(facts))

    publish_edition(installation, DAY, "r9", 9)

    assert [candidate.run for candidate in held_back(installation)] == ["r4", "r3", "r2"]


def test_readers_are_sent_back_at_once_and_the_next_run_publishes_on_top(installation: Settings) -> None:
    before = publish_edition(installation, DAY, "r1", 1)
    wrong = publish_edition(installation, DAY + timedelta(days=1), "r2", 2)
    assert seen(installation) == 2

    entry = deciding.roll_back(installation, by="Wang Li", reason="rows of the test system")

    assert (entry.from_version, entry.to_version) == (wrong, before)
    assert seen(installation) == 1
    assert runs.status(installation)["rollbacks"][0]["reason"] == "rows of the test system"

    publish_edition(installation, DAY + timedelta(days=1), "r3", 3)
    assert seen(installation) == 3
    with open_published(installation.published_database) as connection:
        rows = connection.execute("select from_version, to_version, rolled_back_by from quality.rollbacks")
        assert rows.fetchall() == [(wrong, before, "Wang Li")]


def test_a_version_that_readers_were_sent_back_from_stays_away_when_its_task_is_repeated(
    installation: Settings,
) -> None:
    publish_edition(installation, DAY, "r1", 1)
    wrong = publish_edition(installation, DAY, "r2", 2)
    rollback(installation, by="Wang Li", reason="wrong")

    assert not publish(installation, DAY, "r2").is_current
    assert seen(installation) == 1

    rollback(installation, by="Wang Li", reason="it was right after all", to=wrong)
    assert seen(installation) == 2
    assert publish(installation, DAY, "r2").is_current


def test_the_version_to_go_back_to_may_be_named_by_its_day(installation: Settings) -> None:
    for offset in range(3):
        publish_edition(installation, DAY + timedelta(days=offset), f"r{offset}", offset)
    rollback(installation, by="Wang Li", reason="wrong", to="2026-03-31")
    assert seen(installation) == 0


def test_going_back_twice_goes_back_two_versions(installation: Settings) -> None:
    for offset in range(3):
        publish_edition(installation, DAY + timedelta(days=offset), f"r{offset}", offset)
    rollback(installation, by="Wang Li", reason="wrong")
    rollback(installation, by="Wang Li", reason="wrong too")
    assert seen(installation) == 0


def test_readers_are_not_sent_to_a_damaged_version(installation: Settings) -> None:
    publish_edition(installation, DAY, "r1", 1)
    publish_edition(installation, DAY + timedelta(days=1), "r2", 2)
    older = next(version for version in stored_versions(installation) if version.run == "r1")
    older.database.chmod(0o644)
    with duckdb.connect(str(older.database)) as connection:
        connection.execute("delete from marts.items where id = 7")

    with pytest.raises(PermanentError, match=r"differ in marts\.items"):
        rollback(installation, by="Wang Li", reason="wrong")
    assert seen(installation) == 2


@pytest.mark.parametrize(("to", "said"), [(None, "no earlier version"), ("2020-01-01", "no other version")])
def test_without_a_version_to_go_back_to_nothing_changes(
    installation: Settings, to: str | None, said: str
) -> None:
    publish_edition(installation, DAY, "r1", 1)
    with pytest.raises(PermanentError, match=said):
        rollback(installation, by="Wang Li", reason="wrong", to=to)
    assert published_run(installation) == "r1"


def test_a_rollback_needs_a_name_and_a_reason(installation: Settings) -> None:
    publish_edition(installation, DAY, "r1", 1)
    publish_edition(installation, DAY, "r2", 2)
    with pytest.raises(PermanentError, match="give --by NAME and --reason TEXT"):
        deciding.roll_back(installation, by="Wang Li", reason=" ")
    assert seen(installation) == 2


def test_the_command_line_publishes_what_was_held_back(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECEIVABLES_ROOT", str(installation.root))
    monkeypatch.setenv("RECEIVABLES_HOME", str(installation.home))
    build_checked(installation, DAY, "r1", critical=[DSO, TIE_OUT])
    command = ["publish", "--accept", DSO, "--by", "Wang Li", "--reason", "known", "--json"]

    refused = CliRunner().invoke(cli.app, command)
    assert isinstance(refused.exception, ReceivablesError)
    assert refused.exception.exit_code == 3

    done = CliRunner().invoke(cli.app, [*command, "--accept", TIE_OUT])
    assert json.loads(done.stdout) == {
        "as_of_date": "2026-03-31",
        "run": "r1",
        "accepted": [DSO, TIE_OUT],
        "version": "2026-03-31-r1",
        "is_current": True,
        "next_step": "",
    }
