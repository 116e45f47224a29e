"""An alert says what is needed, comes once, survives a mail server that is down, and carries no markup."""

from __future__ import annotations

import email
import email.policy
import json
import logging
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from receivables import alerts
from receivables.acceptance import Acceptance
from receivables.alert_mail import render
from receivables.alert_spool import send_alerts
from receivables.alerts import FailedCheck, Incident, Mail, Outbox, open_incidents, record_incident
from receivables.checks import CheckReport, CheckResult
from receivables.errors import ConfigError, PermanentError, TransientError
from receivables.settings import PACKAGE_DIR, Settings

DAY = date(2024, 3, 29)
HOSTILE = "<script>alert('ACME')</script>\r\nBcc: thief@example.com & Söhne 华东"


class Recorder:
    """A transport that keeps what it was given."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    def send(self, mail: Mail) -> None:
        self.mails.append(mail)


class Down:
    def send(self, mail: Mail) -> None:
        raise TransientError("mail server", cause="cannot be reached", next_step="start it")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    root = PACKAGE_DIR.parent.parent
    config = tmp_path / "receivables.yml"
    config.write_bytes((root / "receivables.yml").read_bytes())
    return replace(Settings.load(), root=root, home=tmp_path, config_file=config)


@pytest.fixture(autouse=True)
def addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVABLES_ALERT_TO", "Wang Li <wang@example.com>; ap@example.com")
    monkeypatch.setenv("RECEIVABLES_ALERT_FROM", "receivables@example.com")


def failed_check(**changes: object) -> FailedCheck:
    values: dict[str, object] = {
        "suite": "marts.ar_open_items",
        "check": "no_instalment_is_below_zero",
        "severity": "critical",
        "sentence": "No instalment is open with less than nothing.",
        "observed": "12 rows",
        "expected": "no row",
        "rows_failed": 12,
        "examples": ({"open_item_id": "erp:INV-1:1", "open_amount": "-12.30", "customer": HOSTILE},),
        "note": "A payment was counted twice.",
        "owner": "receivables accounting",
    }
    return FailedCheck(**(values | changes))


def incident(**changes: object) -> Incident:
    values: dict[str, object] = {
        "kind": "check_failed",
        "dag": "publish_receivables",
        "task": "check_marts",
        "run": "2024-03-29T010203-abcd",
        "day": DAY,
        "title": "Checks on the marts of 2024-03-29: 1 critical failure",
        "is_published": False,
        "shown_day": date(2024, 3, 28),
        "failed_checks": (failed_check(),),
        "consequence": "The marts of 2024-03-29 are not published; readers see the version of 2024-03-28.",
        "next_step": "Mend the source and run 2024-03-29 again.",
        "log": "https://airflow.example.com/log?a=1&b=2",
        "data_docs": "file:///srv/data_docs/index.html",
        "runbook": "/srv/docs/runbooks/publish_receivables.md",
        "occurred_at": datetime(2024, 3, 30, 1, 5, tzinfo=UTC),
    }
    return Incident(**(values | changes))


def result(severity: str = "critical", *, success: bool = False) -> CheckResult:
    return CheckResult(
        suite="marts.ar_open_items",
        check=f"a_{severity}_rule",
        severity=severity,  # type: ignore[arg-type]
        success=success,
        sentence="A rule.",
        observed="2 rows",
        expected="no row",
        rows_failed=2,
        examples=({"open_item_id": "1"},),
        note="It matters.",
        owner="treasury",
        checked_at=datetime(2024, 3, 30, tzinfo=UTC),
    )


def report(*results: CheckResult, source: str | None = None) -> CheckReport:
    return CheckReport(
        run="r1",
        day=DAY,
        stage="raw" if source else "marts",
        source=source,
        results=results,
        data_docs=Path("/srv/data_docs/index.html"),
        pages={"marts.ar_open_items": Path("/srv/data_docs/page.html")},
    )


def test_the_mail_says_what_failed_how_often_with_what_consequence_and_where_to_look() -> None:
    content = render([incident()])
    for part in (content.text, content.html):
        for said in (
            "No instalment is open with less than nothing.",
            "12",
            "erp:INV-1:1",
            "-12.30",
            "not published; readers see the version of 2024-03-28",
            "A payment was counted twice.",
            "receivables accounting",
            "file:///srv/data_docs/index.html",
            "publish_receivables.md",
            "run 2024-03-29 again",
            "Examples (1 of 12)",
        ):
            assert said in part
    assert content.subject.startswith("[Receivables] critical: Checks on the marts")


def test_a_customers_name_is_text_and_never_markup_or_a_header() -> None:
    mail = Mail("a@example.com", ("b@example.com",), HOSTILE, "text", render([incident(title=HOSTILE)]).html)
    assert "<script" not in mail.html
    assert "&lt;script&gt;" in mail.html
    parsed = email.message_from_bytes(mail.message().as_bytes(), policy=email.policy.default)
    assert parsed["Bcc"] is None
    assert "\n" not in parsed["Subject"]
    assert parsed["Subject"].startswith("<script>alert('ACME')</script> Bcc: thief@example.com")


def test_a_line_break_in_a_value_stays_on_its_line_in_the_text() -> None:
    text = render([incident(failed_checks=(failed_check(),))]).text
    line = next(line for line in text.splitlines() if "thief@example.com" in line)
    assert "erp:INV-1:1" in line


def test_every_value_of_an_incident_is_escaped() -> None:
    nasty = '"><img src=x onerror=alert(1)>'
    check = failed_check(
        sentence=nasty, observed=nasty, expected=nasty, note=nasty, owner=nasty, page=f"https://x/{nasty}",
        examples=({nasty: nasty},), check=nasty,
    )  # fmt: skip
    one = incident(
        title=nasty, consequence=nasty, next_step=nasty, error=nasty, failed_checks=(check,), run=nasty,
        dag=nasty, task=nasty, log=f"https://x/{nasty}", data_docs=nasty, runbook=nasty,
    )  # fmt: skip
    assert "<img" not in render([one]).html


def test_several_urgent_incidents_are_one_mail_per_recipient_with_the_worst_first(settings: Settings) -> None:
    record_incident(settings, incident(kind="rolled_back", by="Wang Li", failed_checks=(), run="r2"))
    record_incident(settings, incident(kind="run_failed", task="load", failed_checks=(), error="it broke"))
    recorder = Recorder()
    assert send_alerts(settings, recorder) == 2
    assert [mail.recipients for mail in recorder.mails] == [
        ("Wang Li <wang@example.com>",),
        ("ap@example.com",),
    ]
    for mail in recorder.mails:
        assert mail.subject == (
            "[Receivables] critical: publish_receivables broke at load on 2024-03-29 (and 1 more)"
        )


def test_nothing_open_sends_nothing(settings: Settings) -> None:
    recorder = Recorder()
    assert send_alerts(settings, recorder) == 0
    assert recorder.mails == []


def test_an_incident_is_mailed_once(settings: Settings) -> None:
    recorder = Recorder()
    for _ in range(2):
        record_incident(settings, incident())
        send_alerts(settings, recorder)
    assert len(recorder.mails) == 2, "one to each recipient"
    assert open_incidents(settings) == []


def test_another_failure_of_the_same_run_is_mailed_too(settings: Settings) -> None:
    recorder = Recorder()
    for name in ("one", "another"):
        record_incident(settings, incident(failed_checks=(failed_check(check=name),)))
        send_alerts(settings, recorder)
    assert len(recorder.mails) == 4


def test_without_recipients_the_alert_stays_open(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECEIVABLES_ALERT_TO")
    record_incident(settings, incident())
    with pytest.raises(ConfigError, match="RECEIVABLES_ALERT_TO"):
        send_alerts(settings, Recorder())
    assert len(open_incidents(settings)) == 1


def test_an_address_that_is_none_names_the_setting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECEIVABLES_ALERT_TO", "nobody at all")
    record_incident(settings, incident())
    with pytest.raises(ConfigError, match=r"RECEIVABLES_ALERT_TO.*nobody at all"):
        send_alerts(settings, Outbox(settings.outbox))
    assert len(open_incidents(settings)) == 1


def test_without_a_mail_server_the_mail_is_a_file_and_the_log_says_so_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("RECEIVABLES_ALERT_TO")
    monkeypatch.setattr(Outbox, "_announced", False)
    with caplog.at_level(logging.WARNING):
        for check in ("one", "two"):
            record_incident(settings, incident(failed_checks=(failed_check(check=check),)))
            send_alerts(settings, Outbox(settings.outbox))
    said = [record.getMessage() for record in caplog.records if "No mail server" in record.getMessage()]
    assert len(said) == 1
    assert "AIRFLOW_CONN_SMTP_DEFAULT" in said[0]
    assert "RECEIVABLES_ALERT_TO" in said[0]
    assert len(list(settings.outbox.glob("*.html"))) == 2
    (first, _) = sorted(settings.outbox.glob("*.eml"))
    parsed = email.message_from_bytes(first.read_bytes(), policy=email.policy.default)
    assert parsed["To"] == "undisclosed-recipients:;"
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]
    assert "华东" in parsed.get_body(("plain",)).get_content()


def test_a_damaged_incident_is_still_an_alert(settings: Settings) -> None:
    settings.incidents.mkdir(parents=True)
    (settings.incidents / "broken.json").write_text('{"kind": "check_')
    recorder = Recorder()
    assert send_alerts(settings, recorder) == 2
    assert "broken.json" in recorder.mails[0].subject


def test_a_half_written_incident_is_not_read(settings: Settings) -> None:
    settings.incidents.mkdir(parents=True)
    (settings.incidents / ".x.json.123").write_text("{")
    assert open_incidents(settings) == []


def test_warnings_alone_make_an_incident_that_stops_nothing(settings: Settings) -> None:
    found = alerts.incident_of_report(settings, report(result("warning")), dag="d", task="t")
    assert found is not None
    assert found.severity == "warning"
    assert "can be published" in found.consequence


def test_what_is_only_recorded_alerts_nobody(settings: Settings) -> None:
    clean = report(result("info"), result("critical", success=True))
    assert alerts.incident_of_report(settings, clean, dag="d", task="t") is None


def test_a_critical_failure_names_the_version_that_readers_see(settings: Settings) -> None:
    version = settings.published / "versions" / "2024-03-28-r0"
    version.mkdir(parents=True)
    facts = {"as_of_date": "2024-03-28", "run": "r0", "published_at": "2024-03-28T22:00:00+00:00"}
    (version / "manifest.json").write_text(json.dumps(facts))
    (settings.published / "current").symlink_to(version)
    found = alerts.incident_of_report(settings, report(result()), dag="publish_receivables", task="t")
    assert found is not None
    assert found.consequence == (
        "The marts of 2024-03-29 are not published; readers see the version of 2024-03-28."
        " Not updated: the open items. What is shown is of 2024-03-28."
    )
    assert found.failed_checks[0].page == "file:///srv/data_docs/page.html"
    assert "treasury" in found.next_step


def test_before_the_first_version_readers_see_nothing(settings: Settings) -> None:
    found = alerts.incident_of_report(settings, report(result()), dag="d", task="t")
    assert found is not None
    assert "nothing is published yet" in found.consequence


def test_an_error_keeps_its_next_step_and_loses_its_password(settings: Settings) -> None:
    error = PermanentError(
        "source erp",
        cause="cannot connect to postgresql://reader:s3cret@db.example.com/erp (password=s3cret)",
        next_step="correct the password",
    )
    found = alerts.incident_of_error(settings, error, dag="ingest_erp", task="load", run="r", day=DAY)
    stored = record_incident(settings, found).read_text()
    assert "s3cret" not in stored
    assert "postgresql://reader:***@db.example.com/erp" in found.error
    assert found.next_step == "correct the password"
    assert found.runbook.endswith("ingest.md")


def test_a_mail_stays_readable_when_everything_fails() -> None:
    many = incident(failed_checks=tuple(failed_check(check=f"rule_{number}") for number in range(30)))
    content = render([many])
    for part in (content.text, content.html):
        assert "rule_11" in part
        assert "rule_12" not in part
        assert "18 more checks failed" in part


def test_an_unknown_language_is_written_in_english() -> None:
    assert "What it means" in render([incident()], "xx").html


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ("The third day in a row: since 27 March 2024.", "of company HD-EU", "Let pass by: Wang Li")),
        ("zh", ("连续第 3 天：自2024年3月27日起。", "公司 HD-EU 的", "放行人: Wang Li", "未清项")),
    ],
)
def test_both_languages_say_since_when_for_whom_and_who_let_it_pass(
    language: str, said: tuple[str, ...]
) -> None:
    checks = (
        failed_check(days_failing=3, failing_since=date(2024, 3, 27), companies=("HD-EU",)),
        failed_check(check="other", companies=("HD-EU",), accepted_by="Wang Li", accepted_reason="known"),
    )
    content = render([incident(failed_checks=checks)], language)
    for sentence in said:
        assert sentence in content.text
    for part in said[:2]:
        assert part in content.html


def test_the_chinese_mail_has_no_english_frame() -> None:
    kinds = (
        incident(failed_checks=(failed_check(severity="warning"),), is_published=True),
        incident(kind="run_failed", failed_checks=(), error="x"),
        incident(kind="late_published", failed_checks=(), due="06:30"),
        incident(kind="rolled_back", failed_checks=(), by="Wang Li", reason="x"),
        incident(kind="accepted", by="Wang Li"),
    )
    text = render(kinds, "zh").text
    for english in ("Next step", "Consequence", "Observed", "Where to look", "not published", "warning"):
        assert english not in text
    assert "数据未能在 06:30 前发布" in text


def test_a_translated_check_is_said_in_the_readers_language() -> None:
    name = "marts.ar_open_items.no_instalment_is_below_zero"
    translations = {name: {"says": "没有任何分期为负数。", "note": "一笔付款被重复计算。"}}
    content = render([incident()], "zh", translations=translations)
    for part in (content.text, content.html):
        assert "没有任何分期为负数。" in part
        assert "一笔付款被重复计算。" in part
        assert "A payment was counted twice." not in part


def test_the_companies_of_a_failure_are_those_of_all_its_rows() -> None:
    counted = replace(result(), companies={"HD-EU": 7, "HD-CN": 2})
    assert FailedCheck.of(counted).companies == ("HD-CN", "HD-EU")
    assert FailedCheck.of(result()).companies == ()


def test_data_docs_are_linked_in_airflow_where_its_address_is_known(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = settings.data_docs / "validations" / "x.html"
    monkeypatch.delenv("AIRFLOW__API__BASE_URL", raising=False)
    assert alerts.docs_link(settings, page) == page.resolve().as_uri()
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:8080")
    assert alerts.docs_link(settings, page) == page.resolve().as_uri()
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/")
    assert (
        alerts.docs_link(settings, page)
        == "https://airflow.example.com/receivables/checks/validations/x.html"
    )


def test_an_accepted_check_stops_nothing_and_says_who_let_it_pass(settings: Settings) -> None:
    name = "marts.ar_open_items.a_critical_rule"
    acceptance = Acceptance(
        "r1",
        DAY,
        "marts.ar_open_items",
        "a_critical_rule",
        "Wang Li",
        "known",
        datetime(2024, 3, 30, tzinfo=UTC),
    )
    found = alerts.incident_of_report(
        settings, report(result()), dag="d", task="t", accepted={name: acceptance}
    )
    assert found is not None
    assert found.severity == "warning"
    assert found.failed_checks[0].accepted_by == "Wang Li"
    assert "can be published" in found.consequence


def test_the_first_translation_that_fits_counts() -> None:
    translations = {
        "raw.*.invoices.amount_is_not_negative": {"says": "发票金额不为负。"},
        "raw.*_is_not_negative": {"says": "金额不为负。"},
    }

    def said(suite: str) -> str:
        failed = incident(failed_checks=(failed_check(suite=suite, check="amount_is_not_negative"),))
        return render([failed], "zh", translations=translations).text

    assert "发票金额不为负。" in said("raw.erp.invoices")
    assert "] 金额不为负。" in said("raw.erp.receipts")
    assert "No instalment is open with less than nothing." in said("marts.x")


def test_a_chinese_mail_about_a_rule_of_the_book_is_chinese(settings: Settings) -> None:
    settings.config_file.write_text(
        f"{(PACKAGE_DIR.parent.parent / 'receivables.yml').read_text(encoding='utf-8')}\n"
        "alerts: {recipients: [{address: wang@example.com, language: zh}]}\n",
        encoding="utf-8",
    )
    record_incident(settings, incident())
    recorder = Recorder()
    send_alerts(settings, recorder)
    [mail] = recorder.mails
    assert "没有分期的未清金额低于零。" in mail.text
    assert "付款被计算了两次" in mail.html
    assert "A payment was counted twice." not in mail.html


def test_the_consequence_is_that_of_what_stops_the_day() -> None:
    beside = failed_check(suite="marts.ar_dso", severity="warning", companies=("HD-CN",))
    let_pass = failed_check(suite="marts.ar_turnover", accepted_by="Wang Li", accepted_reason="known")
    stops = failed_check(companies=("HD-EU",))
    text = render([incident(failed_checks=(beside, let_pass, stops))]).text
    assert "Not updated: the open items of company HD-EU." in " ".join(text.split())


def test_many_companies_are_not_named_one_by_one() -> None:
    companies = tuple(f"C{number}" for number in range(6))
    text = render([incident(failed_checks=(failed_check(companies=companies),))]).text
    assert "Not updated: the open items. What is shown" in " ".join(text.split())


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ("usually 10.00 to 20.50, learnt from 12 days like it (month end)", "通常为 10.00 至 20.50"),
        ("usually 10.00 to 20.50, learnt from 12 days like it (month end)", "12 个同类日，月末"),
        ("usually 10.00 to 20.50, learnt from the last 20 days", "最近 20 天"),
        ("0 to 5", "0 至 5"),
        ("at least 1", "不少于 1"),
        ("at most 0.5", "不超过 0.5"),
        ("as the rule says", "as the rule says"),
    ],
)
def test_what_was_expected_is_said_in_chinese(expected: str, said: str) -> None:
    checks = (failed_check(expected=expected, owner="internal audit"),)
    text = render([incident(failed_checks=checks)], "zh").text
    assert said in text
    assert "负责人: 内部审计" in text
