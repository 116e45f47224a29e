"""A look at the whole installation: what is fine, what is odd, what is broken, and what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from receivables.errors import ReceivablesError, TransientError
from receivables.settings import Settings

State = Literal["ok", "warning", "broken"]

PACKAGES = ("apache-airflow", "astronomer-cosmos", "dbt-core", "dbt-duckdb", "duckdb", "great-expectations")
FREE_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    found: str
    next_step: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; one broken thing does not hide the next."""
    findings: list[Finding] = []
    for what, look in _LOOKS.items():
        try:
            findings += look(settings)
        except TransientError as error:
            findings.append(Finding(what, "warning", error.cause, error.next_step))
        except ReceivablesError as error:
            findings.append(Finding(what, "broken", f"{error.what}: {error.cause}", error.next_step))
        except OSError as error:
            findings.append(Finding(what, "broken", str(error), "give this user rights on that path"))
    return findings


def _python(_: Settings) -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] <= (3, 12)
    yield Finding("Python", "ok" if fits else "broken", found, "" if fits else "use Python 3.11 or 3.12")


def _packages(_: Settings) -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "broken", "not installed", "make setup")


def _home(settings: Settings) -> Iterator[Finding]:
    settings.home.mkdir(parents=True, exist_ok=True)
    if not os.access(settings.home, os.W_OK):
        yield Finding(
            "home",
            "broken",
            f"{settings.home} cannot be written",
            "set RECEIVABLES_HOME to a folder of this user",
        )
        return
    free = shutil.disk_usage(settings.home).free
    enough = free > FREE_BYTES
    yield Finding(
        "home",
        "ok" if enough else "warning",
        f"{settings.home}, {free / 1e9:.1f} GB free",
        "" if enough else "free some space: each version is a copy of the marts",
    )


def _config(settings: Settings) -> Iterator[Finding]:
    from receivables.company import load_company_config

    companies = load_company_config(settings).companies
    yield Finding("settings", "ok", f"{settings.config_file}, {len(companies)} companies")


def _sources(settings: Settings) -> Iterator[Finding]:
    from receivables.sources import get_source

    if not settings.source_names:
        yield Finding("sources", "warning", f"none in {settings.sources_dir}", "write one: docs/sources.md")
    for name in settings.source_names:
        try:
            source = get_source(settings, name)
        except ReceivablesError as error:
            yield Finding(f"source {name}", "broken", f"{error.what}: {error.cause}", error.next_step)
        else:
            delivered = len(source.entity_configs)
            yield Finding(
                f"source {name}",
                "ok",
                f"{source.kind}, {delivered} entities; receivables sources check {name}",
            )


def _models(settings: Settings) -> Iterator[Finding]:
    from receivables.transform import ensure_manifest

    yield Finding("dbt project", "ok", f"parses; {ensure_manifest(settings)}")


def _rule_book(settings: Settings) -> Iterator[Finding]:
    from receivables.checks import count_rules

    own = len(list((settings.root / "expectations" / "custom").glob("*.y*ml")))
    rules = count_rules(settings)
    yield Finding("rule book", "ok", f"{rules} rules, {own} files of your own in expectations/custom")


def _warehouse(settings: Settings) -> Iterator[Finding]:
    from receivables.warehouse import reading

    if not settings.warehouse.exists():
        yield Finding(
            "warehouse", "warning", "nothing was loaded yet", "receivables demo, or receivables run"
        )
        return
    with reading(settings.warehouse, wait_seconds=2) as connection:
        row = connection.execute("select max(finished_at) from quality.loads").fetchone()
    size = settings.warehouse.stat().st_size / 1e6
    last = row[0].isoformat(sep=" ", timespec="minutes") + " UTC" if row and row[0] else "never"
    yield Finding("warehouse", "ok", f"{size:,.0f} MB, last load {last}")


def _published(settings: Settings) -> Iterator[Finding]:
    from receivables.publish import current_version, stored_versions, verify

    version_now = current_version(settings)
    if version_now is None:
        yield Finding(
            "published version", "warning", "none yet", "receivables demo, or receivables run --as-of DAY"
        )
        return
    verify(settings, version_now.name)
    stored = len(stored_versions(settings))
    yield Finding("published version", "ok", f"{version_now.name}, {stored} stored")


def _alerts(settings: Settings) -> Iterator[Finding]:
    from receivables.alert_spool import unsent
    from receivables.company import check_recipients, load_company_config

    check_recipients(settings)
    recipients = [recipient.address for recipient in load_company_config(settings).alerts.recipients]
    named = ", ".join(recipients) or os.environ.get("RECEIVABLES_ALERT_TO", "")
    waiting = unsent(settings)
    if waiting:
        yield Finding(
            "alert mail",
            "warning",
            f"{len(waiting)} mails wait; the last error: {waiting[0]['last_error'] or 'none yet'}",
            "docs/runbooks/alert_receivables.md",
        )
    if os.environ.get("AIRFLOW_CONN_SMTP_DEFAULT") and named:
        yield Finding("alert mail", "ok", f"to {named}")
    else:
        yield Finding(
            "alert mail",
            "warning",
            f"no mail server in the environment: alerts are written to {settings.outbox}",
            "set AIRFLOW_CONN_SMTP_DEFAULT, and name recipients in receivables.yml"
            " (docs/runbooks/alert_receivables.md)",
        )


def _link(settings: Settings) -> Iterator[Finding]:
    dags = settings.root / "dags"
    missing = [
        path for path in (dags, settings.dbt_project, settings.root / "expectations") if not _has_files(path)
    ]
    if missing:
        yield Finding(
            "checkout",
            "broken",
            f"{', '.join(map(str, missing))} missing",
            "set RECEIVABLES_ROOT to the checkout of this project",
        )
    else:
        yield Finding("checkout", "ok", str(settings.root))


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


_LOOKS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "Python": _python,
    "packages": _packages,
    "checkout": _link,
    "home": _home,
    "settings": _config,
    "sources": _sources,
    "dbt project": _models,
    "rule book": _rule_book,
    "warehouse": _warehouse,
    "published version": _published,
    "alert mail": _alerts,
}
