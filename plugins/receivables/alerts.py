"""Incidents: what a person has to know, written down where it happens.

A failed check or a broken task writes one JSON file into `settings.incidents`; `alert_spool.send_alerts`
makes mails of them. No password ever reaches an incident: connection strings lose theirs on the way.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from receivables.acceptance import Acceptance
from receivables.alert_mail import Phrases
from receivables.checks.report import CheckReport, CheckResult
from receivables.errors import ConfigError, ReceivablesError
from receivables.publish import Rollback, current_version
from receivables.settings import Settings

logger = logging.getLogger(__name__)

Kind = Literal[
    "check_failed", "run_failed", "recovered", "accepted", "rolled_back", "late_landed", "late_published"
]
Severity = Literal["critical", "warning", "info"]


class FailedCheck(BaseModel):
    """One failed check of an incident: what `quality.check_results` says about it.

    `companies` are those whose rows failed; empty where that is not known, which is as good as all.
    `days_failing` counts the business days in a row, since `failing_since`; the spool knows them.
    """

    model_config = ConfigDict(frozen=True)

    suite: str
    check: str
    severity: Severity
    sentence: str
    observed: str
    expected: str
    rows_failed: int | None = None
    examples: tuple[dict[str, str | None], ...] = ()
    note: str = ""
    owner: str = ""
    page: str = ""
    companies: tuple[str, ...] = ()
    accepted_by: str = ""
    accepted_reason: str = ""
    failing_since: date | None = None
    days_failing: int = 1

    @property
    def name(self) -> str:
        return f"{self.suite}.{self.check}"

    @property
    def columns(self) -> list[str]:
        """The columns of the examples."""
        return list(dict.fromkeys(column for row in self.examples for column in row))

    @property
    def counts_rows(self) -> bool:
        """Whether the number of rows has to be said apart from what was observed."""
        return self.rows_failed is not None and not self.observed.startswith(f"{self.rows_failed} ")

    @classmethod
    def of(cls, result: CheckResult, page: str = "", accepted: Acceptance | None = None) -> FailedCheck:
        return cls(
            suite=result.suite,
            check=result.check,
            severity=result.severity,
            sentence=result.sentence,
            observed=result.observed,
            expected=result.expected,
            rows_failed=result.rows_failed,
            examples=tuple(dict(example) for example in result.examples),
            note=result.note,
            owner=result.owner,
            page=page,
            companies=tuple(sorted(result.companies)),
            accepted_by=accepted.accepted_by if accepted else "",
            accepted_reason=accepted.reason if accepted else "",
        )


class MendedCheck(BaseModel):
    """A check that had failed and succeeds again."""

    model_config = ConfigDict(frozen=True)

    suite: str
    check: str
    severity: Severity
    sentence: str
    failing_since: date
    days_failing: int = 1
    companies: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.suite}.{self.check}"


class Incident(BaseModel):
    """Something that a person has to know about, with everything needed to act on it.

    `is_published` and `shown_day` say what readers see now; `title` and `consequence` are the English of it.
    `error` is the message of a broken task; `log`, `data_docs` and `runbook` say where to look.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    dag: str
    task: str
    run: str
    day: date
    title: str = ""
    source: str | None = None
    failed_checks: tuple[FailedCheck, ...] = ()
    mended: tuple[MendedCheck, ...] = ()
    error: str = ""
    by: str = ""
    reason: str = ""
    due: str = ""
    versions: tuple[str, str] = ("", "")
    failing_since: date | None = None
    days_failing: int = 1
    is_published: bool | None = None
    shown_day: date | None = None
    consequence: str = ""
    next_step: str = ""
    log: str = ""
    data_docs: str = ""
    runbook: str = ""
    was_critical: bool = False
    occurred_at: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    @property
    def severity(self) -> Severity:
        """Critical when nothing is published because of it."""
        if self.kind == "recovered":
            return "info"
        if self.kind in {"run_failed", "late_landed", "late_published"}:
            return "critical"
        if any(check.severity == "critical" and not check.accepted_by for check in self.failed_checks):
            return "critical"
        return "warning"

    @property
    def level(self) -> str:
        """The word above its title."""
        named = {
            "recovered": "recovered",
            "accepted": "accepted_level",
            "rolled_back": "rolled_back",
            "late_landed": "late",
            "late_published": "late",
        }
        return named.get(self.kind, self.severity)

    @property
    def is_urgent(self) -> bool:
        """Whether it is mailed at once: critical, or news for whoever heard of something critical."""
        return self.severity == "critical" or self.kind in {"accepted", "rolled_back"} or self.was_critical

    @property
    def companies(self) -> tuple[str, ...]:
        """The companies it is about; empty when that is not known, or it is about all."""
        checks = (*self.failed_checks, *self.mended)
        if not checks or any(not check.companies for check in checks):
            return ()
        return tuple(sorted({company for check in checks for company in check.companies}))

    @property
    def places(self) -> list[tuple[str, str]]:
        """Where to look: what it is, and the link or path."""
        named = (("data_docs", self.data_docs), ("log", self.log), ("runbook", self.runbook))
        return [(key, value) for key, value in named if value]

    @property
    def file_name(self) -> str:
        """The same failure of the same run has the same name, so that a retry does not alert twice."""
        checks = (*self.failed_checks, *self.mended)
        what = "|".join([*(check.name for check in checks), self.error, self.by, self.next_step])
        digest = hashlib.sha256(what.encode()).hexdigest()[:8]
        parts = (self.day.isoformat(), self.kind, self.dag, self.task, self.run)
        return "-".join(re.sub(r"[^A-Za-z0-9_.-]+", "_", part)[:60] for part in parts) + f"-{digest}.json"


@dataclass(frozen=True)
class Mail:
    """A finished mail. Every header is one line; `html` and `text` say the same."""

    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    html: str
    message_id: str = ""

    def message(self) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["Subject"] = one_line(self.subject)
        message["From"] = _address(self.sender)
        message["To"] = [_address(recipient) for recipient in self.recipients] or "undisclosed-recipients:;"
        message["Date"] = format_datetime(datetime.now(UTC))
        # A mail that is handed over twice has one id, by which mail programs show it once.
        message["Message-ID"] = self.message_id or new_message_id()
        # No out-of-office replies to a robot.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self.text, cte="quoted-printable")
        message.add_alternative(self.html, subtype="html", cte="quoted-printable")
        if "".join((self.subject, self.sender, *self.recipients)).isascii():
            # Folded at 78, a long subject starts on a line of its own; some programs show it as empty.
            message.policy = SMTP.clone(max_line_length=500)
        return message


def new_message_id() -> str:
    """An id for a mail, unique in the world."""
    return make_msgid(domain="receivables.invalid")


class SmtpTransport(Protocol):
    """What `send_alerts` needs: hand over the mail, or raise and have it tried again."""

    def send(self, mail: Mail) -> None:
        """Deliver to every recipient.

        Raises:
            TransientError: the server is down or busy.
            PermanentError: it refuses the login, the sender or all recipients.
        """


class Outbox:
    """The transport of a machine without a mail server: the mail becomes files in a folder."""

    _announced = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def send(self, mail: Mail) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        message = mail.message()
        digest = hashlib.sha256(message["Message-ID"].encode()).hexdigest()[:6]
        # To the microsecond: a mail that is repeated after a kill must not replace its first copy.
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{digest}"
        _write(self.folder / f"{name}.eml", message.as_bytes())
        _write(self.folder / f"{name}.html", mail.html.encode())
        if not Outbox._announced:
            Outbox._announced = True
            logging.getLogger("receivables.outbox").warning(
                "No mail server is configured: alerts are written to %s (open the .html files). To send"
                " them, set AIRFLOW_CONN_SMTP_DEFAULT (or add the Airflow connection smtp_default) and"
                " RECEIVABLES_ALERT_FROM, and name the recipients in receivables.yml (alerts:) or in"
                " RECEIVABLES_ALERT_TO.",
                self.folder,
            )
        logger.info("alert written to %s", self.folder / f"{name}.html")


def incident_of_report(
    settings: Settings,
    report: CheckReport,
    *,
    dag: str,
    task: str,
    log: str = "",
    accepted: Mapping[str, Acceptance] | None = None,
) -> Incident | None:
    """The incident of a check report; None when nothing worse than `info` failed.

    Args:
        accepted: what somebody has let pass for this run, by `suite.check`; it stops nothing.
    """
    failures = [result for result in report.failed() if result.severity != "info"]
    if not failures:
        return None
    let_pass = accepted or {}
    checks = tuple(
        FailedCheck.of(
            result,
            docs_link(settings, report.pages.get(result.suite)),
            let_pass.get(f"{result.suite}.{result.check}"),
        )
        for result in failures
    )
    stops = any(check.severity == "critical" and not check.accepted_by for check in checks)
    return _in_english(
        Incident(
            kind="check_failed",
            dag=dag,
            task=task,
            run=report.run,
            day=report.day,
            source=report.source,
            failed_checks=checks,
            is_published=not stops,
            shown_day=_shown_day(settings),
            log=log,
            data_docs=docs_link(settings, report.data_docs),
            runbook=runbook(settings, dag),
        )
    )


def incident_of_error(
    settings: Settings,
    error: BaseException,
    *,
    dag: str,
    task: str,
    run: str,
    day: date,
    source: str | None = None,
    log: str = "",
) -> Incident:
    """The incident of a task that broke. Connection strings lose their passwords before they are stored."""
    if isinstance(error, ReceivablesError):
        message, next_step = f"{error.what}: {error.cause}", error.next_step
    else:
        message = f"{type(error).__name__}: {error}"
        next_step = f"Read the log of the task; mend the cause and run {day} again."
    return _in_english(
        Incident(
            kind="run_failed",
            dag=dag,
            task=task,
            run=run,
            day=day,
            source=source,
            error=without_secrets(message)[:4000],
            is_published=False,
            shown_day=_shown_day(settings),
            next_step=without_secrets(next_step),
            log=log,
            runbook=runbook(settings, dag),
        )
    )


def incident_of_acceptance(
    settings: Settings, day: date, run: str, accepted: Sequence[Acceptance]
) -> Incident:
    """The news that somebody let failed checks of a day pass."""
    checks = tuple(
        FailedCheck(
            suite=each.suite,
            check=each.check,
            severity="critical",
            sentence=each.check.replace("_", " "),
            observed=each.observed or "–",
            expected="–",
            accepted_by=each.accepted_by,
            accepted_reason=each.reason,
        )
        for each in accepted
    )
    return _in_english(
        Incident(
            kind="accepted",
            dag="receivables publish",
            task="",
            run=run,
            day=day,
            by=", ".join(dict.fromkeys(each.accepted_by for each in accepted)),
            failed_checks=checks,
            runbook=runbook(settings, "publish_receivables"),
        )
    )


def incident_of_rollback(settings: Settings, entry: Rollback) -> Incident:
    """The news that readers were sent back to an earlier version."""
    left, shown = (date.fromisoformat(name[:10]) for name in (entry.from_version, entry.to_version))
    return _in_english(
        Incident(
            kind="rolled_back",
            dag="receivables rollback",
            task="",
            run=entry.from_version[11:],
            day=left,
            by=entry.by,
            shown_day=shown,
            reason=entry.reason,
            versions=(entry.from_version, entry.to_version),
            runbook=runbook(settings, "publish_receivables"),
        )
    )


def incident_of_delay(
    settings: Settings, day: date, *, what: Literal["landed", "published"], due: str
) -> Incident:
    """A day whose data was not there, or not published, when it had been promised."""
    return _in_english(
        Incident(
            kind="late_landed" if what == "landed" else "late_published",
            dag=f"watch_{what}",
            task=what,
            run="",
            day=day,
            due=due,
            is_published=False,
            shown_day=_shown_day(settings),
            runbook=runbook(settings, f"watch_{what}"),
        )
    )


def _in_english(incident: Incident) -> Incident:
    say = Phrases("en", {})
    return incident.model_copy(
        update={
            "title": say.title(incident),
            "consequence": say.consequence(incident),
            "next_step": say.next_step(incident),
        }
    )


def _shown_day(settings: Settings) -> date | None:
    version = current_version(settings)
    return version.as_of_date if version else None


def runbook(settings: Settings, dag: str) -> str:
    """Where the runbook of a DAG is: a link where RECEIVABLES_RUNBOOKS_URL says so, else the file.

    The DAGs of one kind share one (`ingest_…`, `watch_…`); a run without Airflow has the overview.
    """
    shared = {"ingest": "ingest", "watch": "watch"}.get(dag.partition("_")[0], dag)
    folder = settings.root / "docs" / "runbooks"
    name = next((each for each in (dag, shared) if (folder / f"{each}.md").exists()), "README")
    base = os.environ.get("RECEIVABLES_RUNBOOKS_URL", "").rstrip("/")
    return f"{base}/{name}.md" if base else str(folder / f"{name}.md")


_PASSWORD = re.compile(r"(?P<head>[a-z][a-z0-9+.\-]*://[^\s:/@]*:)[^\s@]+(?=@)", re.IGNORECASE)
_KEYWORD = re.compile(
    r"(?P<head>\b(?:password|passwd|pwd|secret|token|api_?key)\b\s*[=:]\s*)\S+", re.IGNORECASE
)


def without_secrets(text: str) -> str:
    """Mask passwords in connection strings and `password=…` pairs that a driver put into its message."""
    return _KEYWORD.sub(r"\g<head>***", _PASSWORD.sub(r"\g<head>***", text))


def one_line(text: str) -> str:
    """A header value: no line break (a name with one could add a header) or control character, not long."""
    flat = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return flat if len(flat) <= 180 else f"{flat[:179]}…"


def record_incident(settings: Settings, incident: Incident) -> Path:
    """Write the incident, atomically; the same failure of the same run is written, and mailed, once."""
    path = settings.incidents / incident.file_name
    if (settings.incidents / "sent" / path.name).exists():
        logger.info("already alerted: %s", path.name)
        return settings.incidents / "sent" / path.name
    _write(path, incident.model_dump_json(indent=2).encode())
    logger.warning("incident: %s", one_line(incident.title))
    return path


def open_incidents(settings: Settings) -> list[Incident]:
    """The incidents nobody was told about yet, oldest first."""
    return sorted(
        (read_incident(path) for path in settings.incidents.glob("*.json")),
        key=lambda incident: incident.occurred_at,
    )


def docs_link(settings: Settings, path: Path | None) -> str:
    """Where a reader of a mail finds a page of Data Docs: in Airflow if others can reach it, else a file.

    An Airflow that listens on this machine only is one for a demo, and stopped when the mail is read.
    """
    if path is None:
        return ""
    base = os.environ.get("RECEIVABLES_DOCS_URL") or os.environ.get("AIRFLOW__API__BASE_URL", "")
    page, docs = path.resolve(), settings.data_docs.resolve()
    is_reachable = bool(base) and urlsplit(base).hostname not in {"127.0.0.1", "localhost", "::1"}
    if is_reachable and page.is_relative_to(docs):
        return f"{base.rstrip('/')}/receivables/checks/{page.relative_to(docs).as_posix()}"
    return page.as_uri()


def _address(text: str) -> Address:
    flat = one_line(text)
    named = re.fullmatch(r"(?P<name>.*?)\s*<(?P<address>[^<>]+)>", flat)
    name, address = (named["name"].strip('" '), named["address"]) if named else ("", flat)
    try:
        return Address(display_name=name, addr_spec=address.strip())
    except (ValueError, IndexError) as error:
        raise ConfigError(
            "alert mail",
            cause=f"{flat!r} is not a mail address",
            next_step="mend RECEIVABLES_ALERT_TO or RECEIVABLES_ALERT_FROM (name@example.com, or"
            " Name <name@example.com>), or alerts: in receivables.yml",
        ) from error


def read_incident(path: Path) -> Incident:
    try:
        return Incident.model_validate_json(path.read_bytes())
    except (ValidationError, json.JSONDecodeError) as error:
        # An alert that cannot be read is still an alert: say so instead of dropping it.
        logger.error("%s is not a valid incident: %s", path, error)
        return Incident(
            kind="run_failed",
            dag="alert_receivables",
            task="",
            run="",
            day=datetime.fromtimestamp(path.stat().st_mtime, UTC).date(),
            title=f"An alert could not be read: {path.name}",
            error=f"{path} is not a valid incident file",
            next_step="Read the file; it was moved to incidents/sent/ with this mail.",
        )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)  # it quotes rows of the company's books
    temporary.write_bytes(content)
    temporary.replace(path)
