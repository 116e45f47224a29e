"""From incidents to mails: who is told what, when, in which language, and exactly once.

`incidents/spool.sqlite` holds what was told and what waits. An incident is posted into it in one transaction:
problems get their streak of days, urgent news becomes one mail per recipient, the rest waits for the
recipient's digest, at most one a day. A mail stays in the spool until the server has taken it; it is handed
over again with the same Message-ID, so that a kill between the server's answer and our note of it shows once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from receivables.acceptance import accepted_checks
from receivables.alert_mail import Kind, Translations, render
from receivables.alerts import (
    FailedCheck,
    Incident,
    Mail,
    MendedCheck,
    Outbox,
    SmtpTransport,
    docs_link,
    incident_of_report,
    new_message_id,
    one_line,
    open_incidents,
    read_incident,
    record_incident,
)
from receivables.checks.report import CheckReport
from receivables.company import Alerts, Recipient, load_company_config
from receivables.crash import crash_point
from receivables.errors import ConfigError, ReceivablesError, TransientError
from receivables.settings import Settings
from receivables.yamlfile import read_yaml

logger = logging.getLogger(__name__)

# Mails hold rows of the company's books: they are not kept longer than somebody may ask about them.
KEEP = timedelta(days=90)

# Errors of one task that are quoted in a mail.
SHOWN_ERRORS = 8

_RANK = {"critical": 0, "warning": 1, "info": 2}

_TABLES = """
create table if not exists incidents (name text primary key, posted_at text not null);
create table if not exists problems (
    key text primary key, severity text not null, first_day text not null, last_day text not null,
    days integer not null, is_open integer not null, body text not null);
create table if not exists told (
    recipient text not null, problem text not null, day text not null,
    primary key (recipient, problem, day));
create table if not exists waiting (
    recipient text not null, incident text not null, body text not null, primary key (recipient, incident));
create table if not exists mails (
    id integer primary key, recipient text not null, kind text not null, subject text not null,
    text text not null, html text not null, message_id text not null unique, made_on text not null,
    made_at text not null, sent_at text, attempts integer not null default 0, last_error text);
"""


@dataclass(frozen=True)
class Problem:
    """Something that has failed on one or more business days in a row."""

    key: str
    severity: str
    first_day: date
    last_day: date
    days: int
    body: str


def record_report(settings: Settings, report: CheckReport, *, dag: str, task: str, log: str = "") -> None:
    """Write down what a report means for people: what failed, and what had failed and succeeds again."""
    accepted = accepted_checks(settings, report.run) if not report.passed else {}
    incident = incident_of_report(settings, report, dag=dag, task=task, log=log, accepted=accepted)
    if incident:
        record_incident(settings, incident)
    succeeded = {
        f"{report.source or 'marts'}|{result.suite}.{result.check}"
        for result in report.results
        if result.success
    }
    mended = [
        problem
        for problem in open_problems(settings)
        if problem.key in succeeded and problem.last_day <= report.day
    ]
    if mended:
        record_incident(
            settings,
            Incident(
                kind="recovered",
                dag=dag,
                task=task,
                run=report.run,
                day=report.day,
                source=report.source,
                title=f"{len(mended)} checks on {report.source or 'the marts'} succeed again",
                mended=tuple(_mended(problem) for problem in mended),
                was_critical=any(problem.severity == "critical" for problem in mended),
                data_docs=docs_link(settings, report.data_docs),
            ),
        )


def record_recovery(settings: Settings, *, dags: Collection[str], day: date, run: str) -> None:
    """After `day` was published: good news for whoever heard that one of `dags` broke on it or before."""
    for problem in open_problems(settings):
        kind, _, dag = problem.key.partition("|")
        if kind == "run" and dag in dags and problem.last_day <= day:
            record_incident(
                settings,
                Incident(
                    kind="recovered",
                    dag=dag,
                    task="",
                    run=run,
                    day=day,
                    title=f"{dag} of {day} succeeded after an alert",
                    was_critical=True,
                ),
            )


def open_problems(settings: Settings) -> list[Problem]:
    """What has failed and not succeeded since, as far as it is written down; also what is not yet mailed."""
    found: dict[str, Problem] = {}
    if _spool_file(settings).exists():
        with _spool(settings) as spool:
            rows = spool.execute(
                "select key, severity, first_day, last_day, days, body from problems where is_open"
            ).fetchall()
        for key, severity, first, last, days, body in rows:
            found[key] = Problem(
                key, severity, date.fromisoformat(first), date.fromisoformat(last), days, body
            )
    for incident in open_incidents(settings):
        if incident.kind == "recovered":
            for key in _keys(incident):
                found.pop(key, None)
            continue
        for key, severity, body in _problems(incident):
            old = found.get(key)
            found[key] = Problem(
                key,
                severity,
                old.first_day if old else incident.day,
                max(old.last_day, incident.day) if old else incident.day,
                old.days + (incident.day > old.last_day) if old else 1,
                body,
            )
    return list(found.values())


def send_alerts(settings: Settings, transport: SmtpTransport, *, now: datetime | None = None) -> int:
    """Make mails of the open incidents and hand over what waits; return how many mails were taken.

    Args:
        now: the moment, aware; a digest is made when this day in the zone of `alerts` has none yet.

    Raises:
        ConfigError: the transport needs recipients and none are configured; the incidents stay open.
        TransientError, PermanentError: a mail was not taken; it waits for the next call, the others went.
    """
    with _locked(settings.incidents):
        alerts = _alerts(settings)
        paths = sorted(settings.incidents.glob("*.json"))
        if paths and not alerts.recipients and not isinstance(transport, Outbox):
            raise ConfigError(
                "alert mail",
                cause="neither alerts: in receivables.yml nor RECEIVABLES_ALERT_TO names a recipient",
                next_step="name them; the incidents stay open until then",
            )
        with _spool(settings) as spool:
            moment = now or datetime.now(UTC)
            _post(settings, spool, paths, alerts, moment)
            crash_point("alerts.posted")
            sent = settings.incidents / "sent"
            sent.mkdir(exist_ok=True)
            for path in paths:
                path.replace(sent / path.name)
            _forget(spool, sent, moment)
            return _deliver(spool, transport, moment)


def unsent(settings: Settings) -> list[dict[str, str | int | None]]:
    """The mails that no server has taken yet, the oldest first."""
    if not _spool_file(settings).exists():
        return []
    with _spool(settings) as spool:
        rows = spool.execute(
            "select recipient, subject, made_at, attempts, last_error from mails"
            " where sent_at is null order by id"
        ).fetchall()
    names = ("recipient", "subject", "made_at", "attempts", "last_error")
    return [dict(zip(names, row, strict=True)) for row in rows]


# --- who is told what ---


def _alerts(settings: Settings) -> Alerts:
    """Who is told: `receivables.yml`, else RECEIVABLES_ALERT_TO, who hear everything.

    A `receivables.yml` that cannot be read is itself worth an alert: then the environment has to do.
    """
    try:
        configured = load_company_config(settings).alerts
    except ConfigError:
        configured = Alerts()
    if configured.recipients:
        return configured
    addresses = re.split(r"[,;]", os.environ.get("RECEIVABLES_ALERT_TO", ""))
    try:
        found = tuple(Recipient(address=part.strip()) for part in addresses if part.strip())
    except ValidationError as error:
        raise ConfigError(
            "RECEIVABLES_ALERT_TO",
            cause=error.errors()[0]["msg"].removeprefix("Value error, "),
            next_step="write addresses separated by commas; the incidents stay open until then",
        ) from error
    return configured.model_copy(update={"recipients": found})


def _part_for(recipient: Recipient, incident: Incident) -> Incident | None:
    """What of an incident a recipient wants to hear; None when nothing."""
    if recipient.sources and incident.source and incident.source not in recipient.sources:
        return None
    checks = tuple(
        check for check in incident.failed_checks if _wants(recipient, check.severity, check.companies)
    )
    mended = tuple(check for check in incident.mended if _wants(recipient, check.severity, check.companies))
    if (incident.failed_checks and not checks) or (incident.mended and not mended):
        return None
    part = incident.model_copy(update={"failed_checks": checks, "mended": mended})
    if not incident.failed_checks and not incident.mended:
        return (
            part
            if _RANK["critical" if incident.is_urgent else incident.severity] <= _rank(recipient)
            else None
        )
    return part


def _wants(recipient: Recipient, severity: str, companies: Sequence[str]) -> bool:
    mine = not recipient.companies or not companies or bool(set(recipient.companies) & set(companies))
    return mine and _RANK[severity] <= _rank(recipient)


def _rank(recipient: Recipient) -> int:
    return _RANK[recipient.severity]


# --- problems and their days ---


def _problems(incident: Incident) -> list[tuple[str, str, str]]:
    """Key, severity and description of what an incident says has failed."""
    if incident.kind == "check_failed":
        return [
            (
                f"{incident.source or 'marts'}|{check.name}",
                "warning" if check.accepted_by else check.severity,
                check.model_dump_json(include={"suite", "check", "sentence", "companies"}),
            )
            for check in incident.failed_checks
        ]
    if incident.kind in {"run_failed", "late_landed", "late_published"}:
        return [(f"run|{incident.dag}", "critical", "{}")]
    return []


def _keys(incident: Incident) -> list[str]:
    """The problems that a recovery ends."""
    if incident.mended:
        return [f"{incident.source or 'marts'}|{check.name}" for check in incident.mended]
    return [f"run|{incident.dag}"]


def _news(incident: Incident) -> list[str]:
    """What an incident tells, finer than a problem: another error of the same task is news, too."""
    keys = [key for key, _, _ in _problems(incident)]
    if incident.kind == "run_failed":
        error = hashlib.sha256(re.sub(r"\d+", "0", incident.error or incident.title).encode()).hexdigest()[
            :12
        ]
        return [f"{key}|{incident.task}|{error}" for key in keys]
    if incident.kind == "recovered":
        return [f"mended|{key}" for key in _keys(incident)]
    return keys or [f"{incident.kind}|{incident.run}|{incident.by}|{incident.due}|{incident.occurred_at}"]


def _mended(problem: Problem) -> MendedCheck:
    facts = json.loads(problem.body)
    return MendedCheck(
        **facts, severity=problem.severity, failing_since=problem.first_day, days_failing=problem.days
    )


def _note_problems(spool: sqlite3.Connection, incident: Incident) -> Incident:
    """Bring the problems up to date; return the incident with the days that each has failed in a row."""
    if incident.kind == "recovered":
        for key in _keys(incident):
            spool.execute("update problems set is_open = 0 where key = ?", [key])
        return incident
    days: dict[str, tuple[date, int]] = {}
    for key, severity, body in _problems(incident):
        spool.execute(
            """
            insert into problems (key, severity, first_day, last_day, days, is_open, body)
            values (:key, :severity, :day, :day, 1, 1, :body)
            on conflict (key) do update set
                first_day = case when is_open then min(first_day, :day) else :day end,
                days = case when not is_open then 1 when :day > last_day then days + 1 else days end,
                last_day = case when is_open then max(last_day, :day) else :day end,
                severity = :severity, body = :body, is_open = 1
            """,
            {"key": key, "severity": severity, "day": incident.day.isoformat(), "body": body},
        )
        row = spool.execute("select first_day, days from problems where key = ?", [key]).fetchone()
        days[key] = (date.fromisoformat(row[0]), row[1])
    if incident.kind != "check_failed" and days:
        ((since, count),) = days.values()
        return incident.model_copy(update={"failing_since": since, "days_failing": count})
    if not days:
        return incident
    checks = tuple(
        _with_days(check, *days[key]) for check, key in zip(incident.failed_checks, days, strict=True)
    )
    return incident.model_copy(update={"failed_checks": checks})


def _with_days(check: FailedCheck, since: date, count: int) -> FailedCheck:
    return check.model_copy(update={"failing_since": since, "days_failing": count})


# --- the spool ---


def _post(
    settings: Settings, spool: sqlite3.Connection, paths: Sequence[Path], alerts: Alerts, moment: datetime
) -> None:
    """Everything that follows from the open incidents, in one transaction."""
    recipients = alerts.recipients or (Recipient.model_construct(address="", severity="info"),)
    read = sorted(((read_incident(path), path.name) for path in paths), key=lambda each: each[0].occurred_at)
    urgent: dict[str, list[Incident]] = {}
    spool.execute("begin immediate")
    for raw, name in read:
        if spool.execute("select 1 from incidents where name = ?", [name]).fetchone():
            continue  # posted by a call that was killed before it moved the file
        spool.execute("insert into incidents values (?, ?)", [name, moment.isoformat()])
        incident = _note_problems(spool, raw)
        for recipient in recipients:
            part = _part_for(recipient, incident)
            if part is None:
                continue
            if not part.is_urgent:
                spool.execute(
                    "insert or replace into waiting values (?, ?, ?)",
                    [recipient.address, name, part.model_dump_json()],
                )
            elif _is_new(spool, recipient, part):
                urgent.setdefault(recipient.address, []).append(part)
    today = moment.astimezone(ZoneInfo(alerts.timezone)).date()
    for recipient in recipients:
        if recipient.address in urgent:
            letter = grouped(urgent[recipient.address])
            _make_mail(settings, spool, recipient, letter, "immediate", today, moment)
        digest = _due_digest(spool, recipient, today)
        if digest:
            _make_mail(settings, spool, recipient, digest, "digest", today, moment)
    spool.execute("commit")


def _is_new(spool: sqlite3.Connection, recipient: Recipient, incident: Incident) -> bool:
    """Whether a recipient has not yet heard all of it about this business day; from now on they have."""
    before = spool.total_changes
    for problem in _news(incident):
        spool.execute(
            "insert or ignore into told values (?, ?, ?)",
            [recipient.address, problem, incident.day.isoformat()],
        )
    if spool.total_changes == before:
        logger.info("already told: %s", one_line(incident.title))
    return spool.total_changes > before


def _due_digest(spool: sqlite3.Connection, recipient: Recipient, today: date) -> list[Incident]:
    """What has waited, merged; nothing when this recipient has had the digest of today."""
    had = spool.execute(
        "select 1 from mails where recipient = ? and kind = 'digest' and made_on = ?",
        [recipient.address, today.isoformat()],
    ).fetchone()
    if had:
        return []
    rows = spool.execute("select body from waiting where recipient = ?", [recipient.address]).fetchall()
    spool.execute("delete from waiting where recipient = ?", [recipient.address])
    return merged([Incident.model_validate_json(body) for (body,) in rows])


def grouped(incidents: Sequence[Incident]) -> list[Incident]:
    """Tasks of one name that broke together are one entry: one cause often stops them all."""
    found: dict[tuple[str, ...], Incident] = {}
    for number, incident in enumerate(incidents):
        is_run = incident.kind == "run_failed"
        key = (incident.dag, incident.task, incident.day.isoformat(), incident.run if is_run else str(number))
        old = found.get(key)
        errors = dict.fromkeys([*(old.error.split("\n") if old else []), incident.error])
        found[key] = (old or incident).model_copy(update={"error": "\n".join(list(errors)[:SHOWN_ERRORS])})
    return list(found.values())


def merged(incidents: Sequence[Incident]) -> list[Incident]:
    """One entry per source: each check once, as it was last seen; one that is mended is no longer open."""
    ordered = sorted(incidents, key=lambda incident: (incident.day, incident.occurred_at))
    groups: dict[tuple[str, str | None], Incident] = {}
    failed: dict[str, tuple[Incident, FailedCheck]] = {}
    mended: dict[str, tuple[Incident, MendedCheck]] = {}
    others: list[Incident] = []
    for incident in ordered:
        source = incident.source or "marts"
        for check in incident.failed_checks:
            failed[f"{source}|{check.name}"] = (incident, check)
            mended.pop(f"{source}|{check.name}", None)
        for good in incident.mended:
            mended[f"{source}|{good.name}"] = (incident, good)
            failed.pop(f"{source}|{good.name}", None)
        if not incident.failed_checks and not incident.mended:
            others.append(incident)
    for incident, check in failed.values():
        old = groups.get(("failed", incident.source), incident.model_copy(update={"failed_checks": ()}))
        newest = incident if incident.day >= old.day else old
        checks = (*old.failed_checks, check)
        groups["failed", incident.source] = newest.model_copy(update={"failed_checks": checks})
    for incident, good in mended.values():
        old = groups.get(("mended", incident.source), incident.model_copy(update={"mended": ()}))
        groups["mended", incident.source] = old.model_copy(update={"mended": (*old.mended, good)})
    return [*groups.values(), *others]


def _make_mail(
    settings: Settings,
    spool: sqlite3.Connection,
    recipient: Recipient,
    incidents: Sequence[Incident],
    kind: Kind,
    today: date,
    moment: datetime,
) -> None:
    content = render(
        incidents, recipient.language, kind=kind, translations=_translations(settings, recipient.language)
    )
    spool.execute(
        "insert into mails (recipient, kind, subject, text, html, message_id, made_on, made_at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            recipient.address,
            kind,
            one_line(content.subject),
            content.text,
            content.html,
            new_message_id(),
            today.isoformat(),
            moment.isoformat(timespec="seconds"),
        ],
    )


def _translations(settings: Settings, language: str) -> Translations:
    """`expectations/<language>.yml`: sentence and note of checks, by name. A fault in it costs no alert."""
    path = settings.root / "expectations" / f"{language}.yml"
    if not path.exists():
        return {}
    try:
        return {str(name): texts for name, texts in read_yaml(path).data.items() if isinstance(texts, dict)}
    except ConfigError as error:
        logger.error("%s", error)
        return {}


def _deliver(spool: sqlite3.Connection, transport: SmtpTransport, moment: datetime) -> int:
    """Hand over every unsent mail. One that is refused does not stop the others; a dead server does."""
    waiting = spool.execute(
        "select id, recipient, subject, text, html, message_id from mails where sent_at is null order by id"
    ).fetchall()
    taken, failures = 0, []
    for number, recipient, subject, text, html, message_id in waiting:
        mail = Mail(
            sender=os.environ.get("RECEIVABLES_ALERT_FROM", "receivables@localhost"),
            recipients=(recipient,) if recipient else (),
            subject=subject,
            text=text,
            html=html,
            message_id=message_id,
        )
        try:
            transport.send(mail)
        except ReceivablesError as error:
            failures.append(error)
            spool.execute(
                "update mails set attempts = attempts + 1, last_error = ? where id = ?", [error.cause, number]
            )
            if isinstance(error, TransientError):
                break
            continue
        crash_point("alerts.taken")
        spool.execute(
            "update mails set attempts = attempts + 1, last_error = null, sent_at = ? where id = ?",
            [moment.isoformat(timespec="seconds"), number],
        )
        taken += 1
        logger.info("alert sent: %s", subject)
    if failures:
        raise next((error for error in failures if isinstance(error, TransientError)), failures[0])
    return taken


def _forget(spool: sqlite3.Connection, sent: Path, moment: datetime) -> None:
    """Remove what was told long ago; never what still waits."""
    oldest = moment - KEEP
    spool.execute("delete from mails where sent_at < ?", [oldest.isoformat()])
    spool.execute("delete from incidents where posted_at < ?", [oldest.isoformat()])
    spool.execute("delete from told where day < ?", [(oldest.date() - KEEP).isoformat()])
    for path in sent.rglob("*.json"):
        if path.stat().st_mtime < oldest.timestamp():
            path.unlink()


def _spool_file(settings: Settings) -> Path:
    return settings.incidents / "spool.sqlite"


@contextmanager
def _spool(settings: Settings) -> Iterator[sqlite3.Connection]:
    path = _spool_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)  # the mails in it quote rows of the company's books
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        connection.executescript(_TABLES)
        yield connection
    finally:
        connection.close()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two alert tasks at the same moment must not mail the same incident twice."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
