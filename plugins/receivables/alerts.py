"""Incidents and the mails about them.

A failed check or a broken task writes one JSON file into `settings.incidents`. `send_alerts` puts all open
ones into one mail, hands it to a transport, and only then moves the files to `incidents/sent/`: a mail server
that is down delays an alert and never loses it.

Transports: `mail_airflow.AirflowSmtp` sends through Airflow's SMTP connection `smtp_default`; `Outbox`
writes the mail into a folder. Environment: RECEIVABLES_ALERT_TO (addresses, separated by commas),
RECEIVABLES_ALERT_FROM. Passwords live in the Airflow connection only and never reach an incident or a mail.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from receivables.alert_mail import render
from receivables.checks.report import CheckReport, CheckResult
from receivables.errors import ConfigError, ReceivablesError
from receivables.publish import current_version
from receivables.settings import Settings

logger = logging.getLogger(__name__)

Kind = Literal["check_failed", "run_failed", "recovered"]


class FailedCheck(BaseModel):
    """One failed check of an incident: what `quality.check_results` says about it."""

    model_config = ConfigDict(frozen=True)

    suite: str
    check: str
    severity: Literal["critical", "warning", "info"]
    sentence: str
    observed: str
    expected: str
    rows_failed: int | None = None
    examples: tuple[dict[str, str | None], ...] = ()
    note: str = ""
    owner: str = ""
    page: str = ""

    @classmethod
    def of(cls, result: CheckResult, page: str = "") -> FailedCheck:
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
        )


class Incident(BaseModel):
    """Something that a person has to know about, with everything needed to act on it.

    `consequence` says what readers see now; `error` is the message of a broken task; `log`, `data_docs` and
    `runbook` say where to look.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    dag: str
    task: str
    run: str
    day: date
    title: str
    source: str | None = None
    failed_checks: tuple[FailedCheck, ...] = ()
    error: str = ""
    consequence: str = ""
    next_step: str = ""
    log: str = ""
    data_docs: str = ""
    runbook: str = ""
    occurred_at: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    @property
    def severity(self) -> Literal["critical", "warning", "info"]:
        """Critical when nothing is published because of it."""
        if self.kind == "recovered":
            return "info"
        if self.kind == "run_failed" or any(check.severity == "critical" for check in self.failed_checks):
            return "critical"
        return "warning"

    @property
    def file_name(self) -> str:
        """The same failure of the same run has the same name, so that a retry does not alert twice."""
        what = "|".join([*(f"{check.suite}.{check.check}" for check in self.failed_checks), self.error])
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

    def message(self) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["Subject"] = one_line(self.subject)
        message["From"] = _address(self.sender)
        message["To"] = [_address(recipient) for recipient in self.recipients] or "undisclosed-recipients:;"
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = make_msgid(domain="receivables.invalid")
        # No out-of-office replies to a robot.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self.text, cte="quoted-printable")
        message.add_alternative(self.html, subtype="html", cte="quoted-printable")
        if "".join((self.subject, self.sender, *self.recipients)).isascii():
            # Folded at 78, a long subject starts on a line of its own; some programs show it as empty.
            message.policy = SMTP.clone(max_line_length=500)
        return message


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
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{digest}"
        _write(self.folder / f"{name}.eml", message.as_bytes())
        _write(self.folder / f"{name}.html", mail.html.encode())
        if not Outbox._announced:
            Outbox._announced = True
            logger.warning(
                "No mail server is configured: alerts are written to %s (open the .html files). To send"
                " them, set AIRFLOW_CONN_SMTP_DEFAULT (or add the Airflow connection smtp_default),"
                " RECEIVABLES_ALERT_TO and RECEIVABLES_ALERT_FROM.",
                self.folder,
            )
        logger.info("alert written to %s", self.folder / f"{name}.html")


def incident_of_report(
    settings: Settings, report: CheckReport, *, dag: str, task: str, log: str = ""
) -> Incident | None:
    """The incident of a check report; None when nothing worse than `info` failed."""
    failures = [result for result in report.failed() if result.severity != "info"]
    if not failures:
        return None
    what = f"the data of {report.source}" if report.source else "the marts"
    critical = sum(result.severity == "critical" for result in failures)
    warnings = len(failures) - critical
    counts = " and ".join(
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((critical, "critical failure"), (warnings, "warning"))
        if count
    )
    owners = ", ".join(dict.fromkeys(result.owner for result in failures))
    return Incident(
        kind="check_failed",
        dag=dag,
        task=task,
        run=report.run,
        day=report.day,
        source=report.source,
        title=f"Checks on {what} of {report.day}: {counts}",
        failed_checks=tuple(
            FailedCheck.of(result, _link(report.pages.get(result.suite))) for result in failures
        ),
        consequence=consequence(settings, report.day, published=not critical),
        next_step=f"Read the examples, mend the source or the rule ({owners}), and run {report.day} again.",
        log=log,
        data_docs=_link(report.data_docs),
        runbook=runbook(settings, dag),
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
    return Incident(
        kind="run_failed",
        dag=dag,
        task=task,
        run=run,
        day=day,
        source=source,
        title=f"{dag} broke at {task} on {day}",
        error=without_secrets(message)[:4000],
        consequence=consequence(settings, day, published=False),
        next_step=without_secrets(next_step),
        log=log,
        runbook=runbook(settings, dag),
    )


def consequence(settings: Settings, day: date, *, published: bool) -> str:
    """What readers see now, as one sentence."""
    if published:
        return f"The marts of {day} can be published; the figures named below need a look before they are"
        " relied on."
    version = current_version(settings)
    if version is None:
        return f"The marts of {day} are not published; nothing is published yet, so readers see nothing."
    return f"The marts of {day} are not published; readers see the version of {version.as_of_date}."


def runbook(settings: Settings, dag: str) -> str:
    """The runbook of a DAG; the ingest DAGs, one per source, share one."""
    name = "ingest" if dag.startswith("ingest_") else dag
    folder = settings.root / "docs" / "runbooks"
    own = folder / f"{dag}.md"
    return str(own if own.exists() else folder / f"{name}.md")


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


def record_recovery(settings: Settings, *, dag: str, day: date, run: str) -> Path | None:
    """After `dag` succeeded for `day`: one line of good news for whoever got the alert about that day.

    Returns None when nobody was alerted.
    """
    sent = settings.incidents / "sent"
    alerted = [
        (path, incident)
        for path in sorted(sent.glob(f"{day.isoformat()}-*.json"))
        if (incident := _read(path)).dag == dag
        and incident.kind != "recovered"
        and incident.severity == "critical"
    ]
    if not alerted:
        return None
    path = record_incident(
        settings,
        Incident(
            kind="recovered",
            dag=dag,
            task="",
            run=run,
            day=day,
            title=f"{dag} of {day} succeeded after an alert",
            consequence="; ".join(dict.fromkeys(incident.title for _, incident in alerted)),
        ),
    )
    (sent / "recovered").mkdir(exist_ok=True)
    for old, _ in alerted:
        old.replace(sent / "recovered" / old.name)
    return path


def open_incidents(settings: Settings) -> list[Incident]:
    """The incidents nobody was told about yet, oldest first."""
    return sorted(
        (_read(path) for path in settings.incidents.glob("*.json")), key=lambda incident: incident.occurred_at
    )


def send_alerts(settings: Settings, transport: SmtpTransport, language: str = "en") -> int:
    """One mail about all open incidents; returns how many it told of (0: nothing open, nothing sent).

    Raises:
        ConfigError: the transport needs recipients and none are configured.
        TransientError, PermanentError: the mail was not sent; the incidents stay open.
    """
    with _locked(settings.incidents):
        paths = sorted(settings.incidents.glob("*.json"))
        incidents = sorted((_read(path) for path in paths), key=lambda incident: incident.occurred_at)
        if not incidents:
            return 0
        content = render(incidents, language)
        transport.send(
            Mail(
                sender=os.environ.get("RECEIVABLES_ALERT_FROM", "receivables@localhost"),
                recipients=_recipients(required=not isinstance(transport, Outbox)),
                subject=content.subject,
                text=content.text,
                html=content.html,
            )
        )
        sent = settings.incidents / "sent"
        sent.mkdir(exist_ok=True)
        for path in paths:
            path.replace(sent / path.name)
    logger.info("alert sent: %s", one_line(content.subject))
    return len(incidents)


def _recipients(*, required: bool) -> tuple[str, ...]:
    recipients = tuple(
        part.strip() for part in re.split(r"[,;]", os.environ.get("RECEIVABLES_ALERT_TO", "")) if part.strip()
    )
    if required and not recipients:
        raise ConfigError(
            "alert mail",
            cause="RECEIVABLES_ALERT_TO is not set, so nobody would get it",
            next_step="set it to the addresses to alert, separated by commas; the incident stays open until"
            " then",
        )
    return recipients


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
            " Name <name@example.com>)",
        ) from error


def _read(path: Path) -> Incident:
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


def _link(path: Path | None) -> str:
    return path.resolve().as_uri() if path is not None else ""


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two alert tasks at the same moment must not mail the same incident twice."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


__all__: Sequence[str] = (
    "FailedCheck",
    "Incident",
    "Mail",
    "Outbox",
    "SmtpTransport",
    "incident_of_error",
    "incident_of_report",
    "open_incidents",
    "record_incident",
    "record_recovery",
    "send_alerts",
)
