"""Who is told what, when, and exactly once, whatever breaks in between."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from receivables.alert_spool import open_problems, record_recovery, record_report, send_alerts, unsent
from receivables.alerts import FailedCheck, Incident, Mail, Outbox, record_incident
from receivables.checks import CheckReport, CheckResult
from receivables.company import check_recipients
from receivables.errors import ConfigError, PermanentError, TransientError
from receivables.settings import Settings
from tests.conftest import PROJECT
from tests.environment import environment

DAY = date(2026, 3, 28)
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
COMPANY = (PROJECT / "receivables.yml").read_text(encoding="utf-8")


class Server:
    """A transport that keeps what it takes; `down` and `refuses` make it fail."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.down = False
        self.refuses: set[str] = set()

    def send(self, mail: Mail) -> None:
        if self.down:
            raise TransientError("mail server", cause="cannot be reached", next_step="start it")
        if self.refuses & set(mail.recipients):
            raise PermanentError("mail server", cause="it refused every recipient", next_step="correct it")
        self.mails.append(mail)

    def told(self) -> list[tuple[str, str]]:
        """To whom, and the subject, of what was taken since the last look."""
        found = [(mail.recipients[0], mail.subject) for mail in self.mails]
        self.mails.clear()
        return found


@pytest.fixture
def server() -> Server:
    return Server()


def configured(home: Settings, recipients: str) -> Settings:
    home.config_file.write_text(f"{COMPANY}\nalerts:\n  recipients:\n{recipients}", encoding="utf-8")
    (home.sources_dir / "erp.yml").touch()
    (home.sources_dir / "crm.yml").touch()
    return home


@pytest.fixture
def settings(home: Settings) -> Settings:
    return configured(home, "    - address: ar@example.com\n")


def result(
    check: str = "rule", severity: str = "critical", *, success: bool = False, companies: tuple[str, ...] = ()
) -> CheckResult:
    return CheckResult(
        suite="marts.ar_dso",
        check=check,
        severity=severity,  # type: ignore[arg-type]
        success=success,
        sentence=f"The sentence of {check}.",
        observed="2 rows",
        expected="no row",
        rows_failed=len(companies) or 2,
        examples=tuple({"company_id": company} for company in companies),
        companies=dict.fromkeys(companies, 1),
        note="It matters.",
        owner="treasury",
        checked_at=datetime(2026, 3, 29),  # noqa: DTZ001 (as the record keeps it)
    )


def check_day(
    settings: Settings, day: date, *results: CheckResult, source: str | None = None, run: str = ""
) -> None:
    stage = "raw" if source else "marts"
    report = CheckReport(run or f"r{day}", day, stage, source, results, Path("index.html"))  # type: ignore[arg-type]
    record_report(settings, report, dag="publish_receivables", task="check_marts")


def after(days: int) -> date:
    return DAY + timedelta(days=days)


def at(days: int, hours: int = 0) -> datetime:
    return NOON + timedelta(days=days, hours=hours)


# --- when ---


def test_critical_comes_at_once_and_a_warning_in_the_digest(settings: Settings, server: Server) -> None:
    check_day(settings, DAY, result("a"), result("b", "warning"), source="erp")
    check_day(settings, DAY, result("c", "warning"))
    assert send_alerts(settings, server, now=NOON) == 2
    assert [subject for _, subject in server.told()] == [
        "[Receivables] critical: Checks on the data of erp of 2026-03-28: 1 critical failure and 1 warning",
        "[Receivables] daily digest: 1 to look at",
    ]


def test_a_recipient_gets_one_digest_a_day_and_what_comes_later_waits_for_the_next(
    settings: Settings, server: Server
) -> None:
    check_day(settings, DAY, result("a", "warning"))
    send_alerts(settings, server, now=NOON)
    check_day(settings, DAY, result("b", "warning"), result("c", "warning"), run="later")
    assert send_alerts(settings, server, now=at(0, hours=11)) == 0
    assert send_alerts(settings, server, now=at(1)) == 1
    assert [subject for _, subject in server.told()] == [
        "[Receivables] daily digest: 1 to look at",
        "[Receivables] daily digest: 2 to look at",
    ]


def test_the_day_of_the_digest_is_that_of_the_zone(home: Settings, server: Server) -> None:
    settings = configured(home, "    - address: ar@example.com\n  timezone: Asia/Shanghai\n")
    evening = datetime(2026, 3, 29, 15, 59, tzinfo=UTC)  # 23:59 in Shanghai
    check_day(settings, DAY, result("a", "warning"))
    assert send_alerts(settings, server, now=evening) == 1
    check_day(settings, after(1), result("b", "warning"))
    assert send_alerts(settings, server, now=evening) == 0
    assert send_alerts(settings, server, now=evening + timedelta(minutes=1)) == 1


def test_a_digest_names_each_check_once_as_it_was_last_seen(settings: Settings, server: Server) -> None:
    for offset in range(3):
        check_day(settings, after(offset), result("a", "warning"))
    send_alerts(settings, server, now=NOON)
    [mail] = server.mails
    assert mail.text.count("The sentence of a.") == 1
    assert "The third day in a row: since 28 March 2026." in mail.text
    assert mail.subject == "[Receivables] daily digest: 1 to look at"


def test_tasks_of_one_name_that_broke_together_are_one_entry(settings: Settings, server: Server) -> None:
    for entity in ("customers", "invoices", "receipts"):
        error = (
            f"{entity}: there is no such file" if entity != "receipts" else "customers: there is no such file"
        )
        broken = Incident(kind="run_failed", dag="ingest_erp", task="extract", run="r1", day=DAY, error=error)
        record_incident(settings, broken)
    send_alerts(settings, server, now=NOON)
    [mail] = server.mails
    assert mail.subject == "[Receivables] critical: ingest_erp broke at extract on 2026-03-28"
    assert mail.html.count("customers: there is no such file") == 1
    assert "invoices: there is no such file" in mail.html


# --- the same again ---


def test_the_same_failure_on_the_third_day_says_so(settings: Settings, server: Server) -> None:
    for offset in range(3):
        check_day(settings, after(offset), result("a"))
        send_alerts(settings, server, now=at(offset))
    assert "in a row" not in server.mails[0].text
    assert "The second day in a row: since 28 March 2026." in server.mails[1].html
    assert "The third day in a row: since 28 March 2026." in server.mails[2].html


def test_the_same_failure_of_another_run_of_the_day_is_not_mailed_again(
    settings: Settings, server: Server
) -> None:
    for run in ("r1", "r2"):
        check_day(settings, DAY, result("a"), run=run)
        send_alerts(settings, server, now=NOON)
    assert len(server.mails) == 1
    check_day(settings, DAY, result("a"), result("b"), run="r3")
    assert send_alerts(settings, server, now=NOON) == 1, "one more check failed: that is news"


def test_a_success_in_between_ends_the_row(settings: Settings, server: Server) -> None:
    for offset, success in enumerate((False, False, True, False)):
        check_day(settings, after(offset), result("a", success=success))
        send_alerts(settings, server, now=at(offset))
    assert "in a row" not in server.mails[-1].text


# --- mended ---


def test_what_was_critical_and_is_mended_is_told_at_once(settings: Settings, server: Server) -> None:
    for offset in range(2):
        check_day(settings, after(offset), result("a"))
        send_alerts(settings, server, now=at(offset))
    server.told()
    check_day(settings, after(2), result("a", success=True))
    send_alerts(settings, server, now=at(2))
    [mail] = server.mails
    assert mail.subject == "[Receivables] mended: Mended on 2026-03-30: the marts"
    assert "The sentence of a. It failed for 2 days, since 28 March 2026." in mail.text
    assert open_problems(settings) == []


def test_a_warning_that_is_mended_stands_in_the_digest(settings: Settings, server: Server) -> None:
    check_day(settings, DAY, result("a", "warning"), result("b", "warning"))
    send_alerts(settings, server, now=NOON)
    check_day(settings, after(1), result("a", "warning", success=True), result("b", "warning"))
    send_alerts(settings, server, now=at(1))
    assert server.told()[1:] == [("ar@example.com", "[Receivables] daily digest: 1 to look at and 1 mended")]


def test_what_failed_and_was_mended_before_anybody_heard_is_told_as_mended_only(
    settings: Settings, server: Server
) -> None:
    check_day(settings, DAY, result("a", "warning"))
    check_day(settings, DAY, result("a", "warning", success=True), run="again")
    send_alerts(settings, server, now=NOON)
    assert server.told() == [("ar@example.com", "[Receivables] daily digest: 1 mended")]


def test_a_success_of_an_older_day_mends_nothing(settings: Settings, server: Server) -> None:
    check_day(settings, after(1), result("a"))
    check_day(settings, DAY, result("a", success=True))
    assert [problem.key for problem in open_problems(settings)] == ["marts|marts.ar_dso.a"]


def test_a_broken_run_is_mended_by_a_publication_of_its_day_or_a_later_one(
    settings: Settings, server: Server
) -> None:
    broken = Incident(kind="run_failed", dag="ingest_erp", task="load", run="r1", day=DAY, error="no disk")
    record_incident(settings, broken)
    send_alerts(settings, server, now=NOON)
    server.told()
    record_recovery(settings, dags={"transform_receivables"}, day=DAY, run="r2")
    record_recovery(settings, dags={"ingest_erp"}, day=after(-1), run="r2")
    assert send_alerts(settings, server, now=NOON) == 0
    record_recovery(settings, dags={"ingest_erp"}, day=after(1), run="r2")
    send_alerts(settings, server, now=NOON)
    assert server.told() == [
        ("ar@example.com", "[Receivables] mended: ingest_erp of 2026-03-29 succeeded after an alert")
    ]


def test_nobody_hears_of_a_success_that_follows_no_failure(settings: Settings, server: Server) -> None:
    check_day(settings, DAY, result("a", success=True))
    record_recovery(settings, dags={"publish_receivables"}, day=DAY, run="r1")
    assert send_alerts(settings, server, now=NOON) == 0


# --- who ---


def test_recipients_are_chosen_by_source_severity_company_and_language(
    home: Settings, server: Server
) -> None:
    settings = configured(
        home,
        "    - {address: all@example.com, severity: info}\n"
        "    - {address: cfo@example.com, severity: critical}\n"
        "    - {address: crm@example.com, sources: [crm]}\n"
        "    - {address: 王丽 <cn@example.com>, language: zh, companies: [HD-CN]}\n",
    )
    check_day(settings, DAY, result("a", companies=("HD-EU",)), result("b", "warning", companies=("HD-CN",)))
    send_alerts(settings, server, now=NOON)
    assert [to for to, _ in server.told()] == [
        "all@example.com",
        "cfo@example.com",
        "crm@example.com",
        "王丽 <cn@example.com>",
    ], "what is about the marts concerns everybody"

    check_day(settings, after(1), result("a", companies=("HD-EU",)), source="erp")
    send_alerts(settings, server, now=at(1))
    assert [to for to, _ in server.told()] == ["all@example.com", "cfo@example.com"]


def test_a_recipient_hears_only_of_their_company_in_their_language(home: Settings, server: Server) -> None:
    settings = configured(home, "    - {address: cn@example.com, language: zh, companies: [HD-CN]}\n")
    check_day(settings, DAY, result("eu", companies=("HD-EU",)), result("cn", companies=("HD-CN",)))
    send_alerts(settings, server, now=NOON)
    [mail] = server.mails
    assert "The sentence of cn." in mail.text
    assert "The sentence of eu." not in mail.text
    assert mail.subject == "[应收账款] 严重：2026-03-28 数据集市的检查：1 项严重失败"


def test_a_failure_of_unknown_companies_concerns_everybody(home: Settings, server: Server) -> None:
    settings = configured(home, "    - {address: cn@example.com, companies: [HD-CN]}\n")
    check_day(settings, DAY, result("a"))
    assert send_alerts(settings, server, now=NOON) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("address: nobody", "mail address"),
        ('address: "a@example.com\\r\\nBcc: x@example.com"', "mail address"),
        ("address: a@example.com, language: de", "language"),
        ("address: a@example.com, severity: urgent", "severity"),
        ("address: a@example.com, companies: [HD-XX]", "'HD-XX' is no company_id"),
        ("address: a@example.com, sources: [erq]", r"no source 'erq' \(did you mean 'erp'\?\)"),
        ("adress: a@example.com", r"no setting 'adress' \(did you mean 'address'\?\)"),
    ],
)
def test_a_wrong_recipient_is_refused_with_its_line(home: Settings, line: str, said: str) -> None:
    settings = configured(home, f"    - {{address: ok@example.com}}\n    - {{{line}}}\n")
    number = len(f"{COMPANY}\nalerts:\n  recipients:\n".splitlines()) + 2
    with pytest.raises(ConfigError, match=said) as error:
        check_recipients(settings)
    assert error.value.what.endswith(f"receivables.yml:{number}")


def test_a_broken_receivables_yml_is_alerted_to_those_of_the_environment(
    home: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECEIVABLES_ALERT_TO", "it@example.com")
    home.config_file.write_text("companies: [", encoding="utf-8")
    check_day(home, DAY, result("a"))
    assert send_alerts(home, server, now=NOON) == 1
    assert server.told()[0][0] == "it@example.com"


# --- never lost, never twice ---


def test_a_server_that_is_down_loses_no_mail_and_sends_each_once_when_it_is_back(
    settings: Settings, server: Server
) -> None:
    server.down = True
    for offset in range(2):
        check_day(settings, after(offset), result("a"))
        with pytest.raises(TransientError):
            send_alerts(settings, server, now=at(offset))
    assert [mail["attempts"] for mail in unsent(settings)] == [2, 0], "a dead server is asked once per call"
    server.down = False
    assert send_alerts(settings, server, now=at(1)) == 2
    assert send_alerts(settings, server, now=at(1)) == 0
    assert len(server.mails) == 2


def test_one_refused_recipient_does_not_keep_the_mail_from_the_others(home: Settings, server: Server) -> None:
    settings = configured(home, "    - {address: gone@example.com}\n    - {address: ar@example.com}\n")
    server.refuses = {"gone@example.com"}
    check_day(settings, DAY, result("a"))
    with pytest.raises(PermanentError):
        send_alerts(settings, server, now=NOON)
    assert [to for to, _ in server.told()] == ["ar@example.com"]
    [waiting] = unsent(settings)
    assert (waiting["recipient"], waiting["last_error"]) == ("gone@example.com", "it refused every recipient")


KILLED = """
import sys
from datetime import UTC, datetime
from receivables.alert_spool import send_alerts
from receivables.alerts import Outbox
from receivables.settings import Settings
settings = Settings.load()
send_alerts(settings, Outbox(settings.outbox), now=datetime(2026, 3, 29, 12, tzinfo=UTC))
"""


@pytest.mark.parametrize(("point", "copies"), [("alerts.posted", 1), ("alerts.taken", 2)])
def test_a_kill_at_any_point_loses_nothing_and_shows_each_mail_once(
    settings: Settings, point: str, copies: int
) -> None:
    """Between the server's answer and our note of it a kill repeats the mail, with the id it had before."""
    check_day(settings, DAY, result("a"))

    def send(crash_at: str) -> int:
        variables = {**os.environ, **environment(settings), "RECEIVABLES_CRASH_AT": crash_at}
        return subprocess.run([sys.executable, "-c", KILLED], env=variables, check=False).returncode

    assert send(point) == -signal.SIGKILL
    assert send("") == 0
    assert send("") == 0
    mails = [path.read_bytes() for path in settings.outbox.glob("*.eml")]
    ids = {next(line for line in mail.splitlines() if line.startswith(b"Message-ID:")) for mail in mails}
    assert (len(mails), len(ids)) == (copies, 1)


def test_what_was_told_long_ago_is_forgotten_and_what_waits_is_not(
    settings: Settings, server: Server
) -> None:
    check_day(settings, DAY, result("a"))
    send_alerts(settings, server, now=NOON)
    server.down = True
    check_day(settings, after(1), result("a"))
    with pytest.raises(TransientError):
        send_alerts(settings, server, now=at(1))
    with pytest.raises(TransientError):
        send_alerts(settings, server, now=at(200))
    with sqlite3.connect(settings.incidents / "spool.sqlite") as spool:
        assert spool.execute("select count(*), count(sent_at) from mails").fetchone() == (1, 0)


def test_the_spool_is_for_its_owner_only(settings: Settings, server: Server) -> None:
    check_day(settings, DAY, result("a"))
    send_alerts(settings, server, now=NOON)
    assert (settings.incidents / "spool.sqlite").stat().st_mode & 0o077 == 0


def test_a_check_of_a_finding_without_rows_can_be_mailed(settings: Settings) -> None:
    check = FailedCheck.of(replace(result(), rows_failed=None, observed="nothing"))
    record_incident(
        settings, Incident(kind="check_failed", dag="d", task="t", run="r", day=DAY, failed_checks=(check,))
    )
    assert send_alerts(settings, Outbox(settings.outbox), now=NOON) == 1
