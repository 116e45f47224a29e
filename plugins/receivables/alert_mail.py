"""What an alert mail says, as text and as HTML, in the language of its reader.

Every value that comes from data, a driver or a file name is hostile input here: it is escaped in HTML, and
kept to one line in the subject and in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from receivables.alerts import FailedCheck, Incident

# One entry per language; a language that lacks a text falls back to English.
TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "product": "Receivables",
        "critical": "critical",
        "warning": "warning",
        "info": "info",
        "recovered": "recovered",
        "subject_more": "{title} (and {count} more)",
        "intro_one": "One thing needs attention.",
        "intro_many": "{count} things need attention.",
        "consequence": "Consequence",
        "what_failed": "What failed",
        "error": "Error",
        "rows_failed": "Rows that failed",
        "observed": "Observed",
        "expected": "Expected",
        "meaning": "What it means",
        "owner": "Owner",
        "examples": "Examples",
        "examples_of": "Examples ({shown} of {count})",
        "next_step": "Next step",
        "where": "Where to look",
        "log": "Log",
        "data_docs": "Check results",
        "page": "Result page",
        "more_checks": "{count} more checks failed; the check results show them.",
        "runbook": "Runbook",
        "context": "Business day {day} · {dag} · {task} · run {run} · {at} UTC",
        "was": "Was",
        "footer": "Sent by the receivables warehouse. Each failure of a run is mailed once.",
    }
}


# One cause often breaks many rules; past this number a mail is no longer read.
SHOWN_CHECKS = 12


@dataclass(frozen=True)
class Content:
    """The parts of a mail that depend on what happened."""

    subject: str
    text: str
    html: str


def render(incidents: Sequence[Incident], language: str = "en") -> Content:
    """One mail about all `incidents`, the worst first."""
    order = {"critical": 0, "warning": 1, "info": 2}
    ordered = sorted(incidents, key=lambda incident: order[incident.severity])
    say = _Phrases(language)
    return Content(_subject(ordered, say), _text(ordered, say), _html(ordered, say))


class _Phrases:
    def __init__(self, language: str) -> None:
        self.language = language if language in TEXTS else "en"

    def __call__(self, key: str, **values: object) -> str:
        text = TEXTS[self.language].get(key, TEXTS["en"][key])
        return text.format(**values) if values else text


def _level(incident: Incident) -> str:
    return "recovered" if incident.kind == "recovered" else incident.severity


def _subject(incidents: Sequence[Incident], say: _Phrases) -> str:
    first = incidents[0]
    title = first.title
    if len(incidents) > 1:
        title = say("subject_more", title=title, count=len(incidents) - 1)
    return f"[{say('product')}] {say(_level(first))}: {title}"


def _intro(incidents: Sequence[Incident], say: _Phrases) -> str:
    return say("intro_one") if len(incidents) == 1 else say("intro_many", count=len(incidents))


def _context(incident: Incident, say: _Phrases) -> str:
    return say(
        "context",
        day=incident.day,
        dag=incident.dag,
        task=incident.task or "–",
        run=incident.run or "–",
        at=incident.occurred_at.strftime("%Y-%m-%d %H:%M"),
    )


def _places(incident: Incident) -> list[tuple[str, str]]:
    return [
        (key, value)
        for key, value in (
            ("data_docs", incident.data_docs),
            ("log", incident.log),
            ("runbook", incident.runbook),
        )
        if value
    ]


def _more_checks(incident: Incident, say: _Phrases) -> str:
    return say("more_checks", count=len(incident.failed_checks) - SHOWN_CHECKS)


def _counts_rows(check: FailedCheck) -> bool:
    """Whether the number of rows has to be said apart from what was observed."""
    return check.rows_failed is not None and not check.observed.startswith(f"{check.rows_failed} ")


def _examples_title(check: FailedCheck, say: _Phrases) -> str:
    shown = len(check.examples)
    if check.rows_failed is None or check.rows_failed <= shown:
        return say("examples")
    return say("examples_of", shown=shown, count=check.rows_failed)


def _columns(rows: Iterable[Mapping[str, str | None]]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))


# Text


def _flat(value: object) -> str:
    text = str(value)
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _text(incidents: Sequence[Incident], say: _Phrases) -> str:
    lines: list[str] = []
    if any(incident.kind != "recovered" for incident in incidents):
        lines += [_intro(incidents, say), ""]
    for incident in incidents:
        title = f"{say(_level(incident)).upper()}: {_flat(incident.title)}"
        lines += [title, "=" * min(len(title), 100), _flat(_context(incident, say)), ""]
        if incident.consequence:
            label = say("was") if incident.kind == "recovered" else say("consequence")
            lines += [f"{label}: {_flat(incident.consequence)}", ""]
        if incident.error:
            lines += [f"{say('error')}: {_flat(incident.error)}", ""]
        for check in incident.failed_checks[:SHOWN_CHECKS]:
            lines += _text_check(check, say)
        if len(incident.failed_checks) > SHOWN_CHECKS:
            lines += [_more_checks(incident, say), ""]
        if incident.next_step:
            lines += [f"{say('next_step')}: {_flat(incident.next_step)}", ""]
        places = _places(incident)
        if places:
            lines += [f"{say('where')}:", *(f"  {say(key)}: {_flat(value)}" for key, value in places), ""]
    return "\n".join([*lines, "-- ", say("footer"), ""])


def _text_check(check: FailedCheck, say: _Phrases) -> list[str]:
    lines = [
        f"* [{say(check.severity)}] {_flat(check.sentence)} ({check.suite}.{check.check})",
        f"  {say('observed')}: {_flat(check.observed)}; {say('expected')}: {_flat(check.expected)}",
    ]
    if _counts_rows(check):
        lines.append(f"  {say('rows_failed')}: {check.rows_failed}")
    if check.note:
        lines.append(f"  {say('meaning')}: {_flat(check.note)}")
    if check.owner:
        lines.append(f"  {say('owner')}: {_flat(check.owner)}")
    if check.examples:
        lines.append(f"  {_examples_title(check, say)}:")
        for row in check.examples:
            values = (
                f"{_flat(key)}={_flat(value) if value is not None else 'null'}" for key, value in row.items()
            )
            lines.append(f"    {', '.join(values)}")
    if check.page:
        lines.append(f"  {say('page')}: {check.page}")
    return [*lines, ""]


# HTML: tables and inline styles, because mail programs know little else.

_COLORS = {"critical": "#b42318", "warning": "#93580b", "info": "#187a4a", "recovered": "#187a4a"}
_FONT = (
    "font-family:-apple-system,'Segoe UI','Noto Sans','Noto Sans CJK SC','PingFang SC',"
    "'Microsoft YaHei',sans-serif"
)
_CELL = (
    "border:1px solid #dbe2ea;padding:4px 7px;text-align:left;vertical-align:top;font-size:12px;"
    "overflow-wrap:break-word"
)


def _html(incidents: Sequence[Incident], say: _Phrases) -> str:
    intro = ""
    if any(incident.kind != "recovered" for incident in incidents):
        intro = f'<p style="margin:0 0 14px">{escape(_intro(incidents, say))}</p>'
    blocks = "\n".join(_html_incident(incident, say) for incident in incidents)
    return f"""<!DOCTYPE html>
<html lang="{say.language}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(_subject(incidents, say))}</title></head>
<body style="margin:0;background:#f6f8fa;{_FONT};font-size:14px;line-height:1.5;color:#1d2733">
<div style="max-width:820px;margin:0 auto;padding:20px">
{intro}
{blocks}
<p style="color:#5d6b7a;font-size:12px;margin:14px 0 0">{escape(say("footer"))}</p>
</div></body></html>
"""


def _html_incident(incident: Incident, say: _Phrases) -> str:
    color = _COLORS[_level(incident)]
    parts = [
        f'<div style="color:{color};font-weight:600;font-size:12px;text-transform:uppercase">'
        f"{escape(say(_level(incident)))}</div>",
        f'<h1 style="font-size:18px;margin:2px 0 4px">{escape(incident.title)}</h1>',
        f'<div style="color:#5d6b7a;font-size:12px;margin:0 0 12px">{escape(_context(incident, say))}</div>',
    ]
    if incident.consequence:
        label = say("was") if incident.kind == "recovered" else say("consequence")
        parts.append(f'<p style="margin:0 0 12px"><b>{escape(label)}:</b> {escape(incident.consequence)}</p>')
    if incident.error:
        parts.append(
            f'<p style="margin:0 0 4px"><b>{escape(say("error"))}</b></p>'
            '<pre style="white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f8fa;'
            f"border:1px solid #dbe2ea;padding:8px 10px;margin:0 0"
            f' 12px;font-size:12px">{escape(incident.error)}</pre>'
        )
    parts += [_html_check(check, say) for check in incident.failed_checks[:SHOWN_CHECKS]]
    if len(incident.failed_checks) > SHOWN_CHECKS:
        parts.append(f'<p style="margin:0 0 12px">{escape(_more_checks(incident, say))}</p>')
    if incident.next_step:
        parts.append(
            f'<p style="margin:12px 0"><b>{escape(say("next_step"))}:</b> {escape(incident.next_step)}</p>'
        )
    places = _places(incident)
    if places:
        rows = "".join(
            f'<div style="font-size:13px;overflow-wrap:anywhere">{escape(say(key))}: {_link(value)}</div>'
            for key, value in places
        )
        parts.append(f'<p style="margin:12px 0 2px"><b>{escape(say("where"))}</b></p>{rows}')
    return (
        '<div style="background:#fff;border:1px solid #dbe2ea;'
        f"border-left:5px solid {color};border-radius:4px;padding:16px 18px;margin:0 0"
        f' 16px">{"".join(parts)}</div>'
    )


def _link(value: str) -> str:
    if value.startswith(("https://", "http://", "file://")):
        return f'<a href="{escape(value)}" style="color:#1a5fb4">{escape(value)}</a>'
    return f"<code>{escape(value)}</code>"


def _html_check(check: FailedCheck, say: _Phrases) -> str:
    facts = [
        f"{say('observed')}: <b>{escape(check.observed)}</b>",
        f"{say('expected')}: {escape(check.expected)}",
    ]
    if _counts_rows(check):
        facts.append(f"{say('rows_failed')}: <b>{check.rows_failed}</b>")
    name = f"{check.suite}.{check.check}"
    details = "".join(
        f'<div style="margin:2px 0"><b>{escape(say(key))}:</b> {escape(value)}</div>'
        for key, value in (("meaning", check.note), ("owner", check.owner))
        if value
    )
    page = (
        '<div style="margin:4px 0;font-size:13px;overflow-wrap:anywhere">'
        f"{escape(say('page'))}: {_link(check.page)}</div>"
        if check.page
        else ""
    )
    return (
        '<div style="border-top:1px solid #dbe2ea;padding:10px 0">'
        f'<div><span style="color:{_COLORS[check.severity]};font-weight:600">'
        f"{escape(say(check.severity))}</span>"
        f" · <b>{escape(check.sentence)}</b>"
        f' <code style="color:#5d6b7a;font-size:12px">{escape(name)}</code></div>'
        f'<div style="margin:2px 0">{" · ".join(facts)}</div>'
        f"{details}{_html_examples(check, say)}{page}</div>"
    )


def _html_examples(check: FailedCheck, say: _Phrases) -> str:
    if not check.examples:
        return ""
    columns = _columns(check.examples)
    head = "".join(f'<th style="{_CELL};background:#eef2f6">{escape(column)}</th>' for column in columns)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{_CELL}">{_value(row.get(column))}</td>' for column in columns)
        + "</tr>"
        for row in check.examples
    )
    return (
        '<div style="margin:8px 0 4px;color:#5d6b7a;font-size:12px">'
        f"{escape(_examples_title(check, say))}</div>"
        f'<table style="border-collapse:collapse;max-width:100%"><tr>{head}</tr>{body}</table>'
    )


def _value(value: str | None) -> str:
    return '<i style="color:#5d6b7a">null</i>' if value is None else escape(value)
