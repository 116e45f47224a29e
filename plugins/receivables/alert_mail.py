"""What an alert mail says, as text and as HTML, in the language of its reader.

Every value that comes from data, a driver or a file name is hostile input here: the HTML template escapes all
of them, the text template keeps each on its line, and so does the subject.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from receivables.alert_texts import AREAS, MONTHS, ORDINALS, TEXTS, WORDS
from receivables.settings import PACKAGE_DIR

if TYPE_CHECKING:
    from receivables.alerts import FailedCheck, Incident, MendedCheck

Kind = Literal["immediate", "digest"]
Translations = Mapping[str, Mapping[str, str]]

# One cause often breaks many rules; past this number a mail is no longer read.
SHOWN_CHECKS = 12

_COLORS = {
    "critical": "#b42318",
    "late": "#b42318",
    "warning": "#93580b",
    "accepted_level": "#93580b",
    "rolled_back": "#93580b",
    "info": "#187a4a",
    "recovered": "#187a4a",
}
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
# How checks say what they observed and expected, and the text by which other languages say it.
_VALUES = {
    r"no row": "no_row",
    r"(?P<failed>\d+) of (?P<count>\d+) rows": "rows_of",
    r"(?P<count>\d+) rows?": "rows",
    r"usually (?P<low>\S+) to (?P<high>\S+), learnt from (?P<learnt>.+)": "usual",
    r"(?P<count>\d+) days like it \((?P<kind>.+)\)": "days_alike",
    r"the last (?P<count>\d+) days": "last_days",
    r"(?P<low>\S+) to (?P<high>\S+)": "between",
    r"at least (?P<low>\S+)": "at_least",
    r"at most (?P<high>\S+)": "at_most",
}
# More companies than these are not named one by one.
SHOWN_COMPANIES = 5
_ORDER = ("critical", "late", "rolled_back", "accepted_level", "warning", "info", "recovered")


@dataclass(frozen=True)
class Content:
    """The parts of a mail that depend on what happened."""

    subject: str
    text: str
    html: str


def render(
    incidents: Sequence[Incident],
    language: str = "en",
    *,
    kind: Kind = "immediate",
    translations: Translations | None = None,
) -> Content:
    """One mail about all `incidents`, the worst first.

    Args:
        translations: sentence and note of a check in `language`, by `suite.check`, in which `*` stands for
            any text, or by `check`, in which `*` stands for a column that the sentence has as `{1}`:
            `{"says": …, "note": …}`.
    """
    ordered = sorted(incidents, key=lambda incident: _ORDER.index(incident.level))
    say = Phrases(language, translations or {})
    subject = _subject(ordered, say, kind)
    values: dict[str, Any] = {
        "say": say,
        "incidents": ordered,
        "subject": subject,
        "intro": _intro(ordered, say, kind),
        "footer": say("footer"),
        "shown_checks": SHOWN_CHECKS,
        "colors": _COLORS,
        "is_number": lambda text: bool(_NUMBER.fullmatch(text)),
    }
    html, text = (
        _environment(form).get_template(f"alert.{form}.j2").render(values) for form in ("html", "txt")
    )
    return Content(subject, text, html)


@cache
def _environment(form: str) -> Environment:
    is_html = form == "html"
    return Environment(
        loader=FileSystemLoader(PACKAGE_DIR / "mails"),
        autoescape=is_html,
        finalize=_shown if is_html else _flat,
        undefined=StrictUndefined,
        trim_blocks=False,
    )


def _shown(value: object) -> object:
    return "null" if value is None else value


def _flat(value: object) -> str:
    """A value on one line of the text: a name with a line break must not look like a line of its own."""
    return "null" if value is None else "".join(char if char.isprintable() else " " for char in str(value))


class Phrases:
    """What a template says, in one language."""

    def __init__(self, language: str, translations: Translations) -> None:
        self.language = language if language in TEXTS else "en"
        self._translations = translations

    def __call__(self, key: str, **values: object) -> str:
        text = TEXTS[self.language].get(key, TEXTS["en"][key])
        return text.format(**values) if values else text

    def day(self, day: date) -> str:
        """A day as it is written in running text."""
        if self.language == "zh":
            return f"{day.year}年{day.month}月{day.day}日"
        return f"{day.day} {MONTHS[day.month]} {day.year}"

    def title(self, incident: Incident) -> str:
        """What happened, in one line."""
        if incident.kind == "check_failed" and incident.failed_checks:
            return self(
                "title_checks", what=self._what(incident), day=incident.day, counts=self.counts(incident)
            )
        if incident.kind == "run_failed" and incident.task:
            return self("title_run_failed", dag=incident.dag, task=incident.task, day=incident.day)
        if incident.kind == "recovered":
            what = "checks" if incident.mended else "late" if incident.dag.startswith("watch_") else "run"
            key = f"title_recovered_{what}"
            return self(key, what=self._what(incident), dag=incident.dag, day=incident.day)
        if incident.kind in {"accepted", "rolled_back"}:
            return self(f"title_{incident.kind}", by=incident.by, day=incident.day, shown=incident.shown_day)
        if incident.kind in {"late_landed", "late_published"}:
            return self(f"title_{incident.kind}", day=incident.day, due=incident.due)
        return incident.title

    def counts(self, incident: Incident) -> str:
        """How many checks failed, by severity."""
        failed = [check.severity for check in incident.failed_checks if not check.accepted_by]
        said = []
        for severity in ("critical", "warning"):
            count = failed.count(severity)
            if count:
                said.append(self(f"count_{severity}_{'one' if count == 1 else 'many'}", count=count))
        accepted = len(incident.failed_checks) - len(failed)
        return self("and").join([*said, *([f"{accepted} {self('accepted_level')}"] if accepted else [])])

    def consequence(self, incident: Incident) -> str:
        """What readers see now."""
        shown = incident.shown_day
        if incident.kind == "rolled_back":
            left, now = incident.versions
            return self("sent_back", shown=now, left=left)
        if incident.kind == "accepted":
            return self("accepted_now", day=incident.day)
        if incident.kind == "recovered" or incident.is_published is None:
            return incident.consequence
        if incident.is_published:
            return self("published", day=incident.day)
        if shown is None:
            return self("nothing_published", day=incident.day)
        parts = [self("not_published", day=incident.day, shown=shown)]
        stopping = [
            check
            for check in incident.failed_checks
            if check.severity == "critical" and not check.accepted_by
        ]
        areas = self._areas(stopping)
        if areas:
            parts.append(
                self("not_updated", areas=areas, companies=self._of_companies(stopping), shown=shown)
            )
        return ("" if self.language == "zh" else " ").join(parts)

    def next_step(self, incident: Incident) -> str:
        """What to do."""
        if incident.kind == "rolled_back":
            return self("next_rolled_back")
        if incident.kind in {"late_landed", "late_published"}:
            return self("next_late")
        if incident.kind != "check_failed" or not incident.failed_checks:
            return incident.next_step
        named = dict.fromkeys(self.word(check.owner) for check in incident.failed_checks if check.owner)
        owners = ("、" if self.language == "zh" else ", ").join(named) or "–"
        key = "next_critical" if incident.severity == "critical" else "next_warning"
        return self(key, owners=owners, day=incident.day, run=incident.run)

    def command(self, incident: Incident) -> str:
        """How a person lets the failed checks pass, where that is a way on."""
        if incident.kind != "check_failed" or incident.severity != "critical":
            return ""
        first = next(check for check in incident.failed_checks if check.severity == "critical")
        return f"receivables publish --run {incident.run} --accept {first.name} --by NAME --reason TEXT"

    def value(self, text: str) -> str:
        """What a check observed or expected, as far as it is said in words."""
        if self.language == "en":
            return text
        for pattern, key in _VALUES.items():
            said = re.fullmatch(pattern, text)
            if said:
                values = {name: self.word(self.value(value)) for name, value in said.groupdict().items()}
                return self(key, **values)
        return text

    def word(self, text: str) -> str:
        """An owner or another word of a rule, in the language of the reader where it is known."""
        return WORDS.get(self.language, {}).get(text, text)

    def context(self, incident: Incident) -> str:
        """Where and when it happened."""
        return self(
            "context",
            day=incident.day,
            dag=incident.dag,
            task=incident.task or "–",
            run=incident.run or "–",
            at=incident.occurred_at.strftime("%Y-%m-%d %H:%M"),
        )

    def sentence(self, check: FailedCheck | MendedCheck) -> str:
        """The rule, in the language of the reader where somebody has translated it."""
        return self._translated(check, "says") or check.sentence

    def note(self, check: FailedCheck) -> str:
        """What it means when the rule is broken."""
        return self._translated(check, "note") or check.note

    def streak(self, check: FailedCheck | Incident) -> str:
        """On how many days in a row it has failed."""
        days = check.days_failing
        ordinal = ORDINALS[days] if days < len(ORDINALS) else f"{days}."
        return self("streak", days=days, ordinal=ordinal, since=self.day(check.failing_since or date.min))

    def mended(self, check: MendedCheck) -> str:
        """What is in order again, and how long it was not."""
        key = "mended_many" if check.days_failing > 1 else "mended_one"
        return self(
            key, sentence=self.sentence(check), days=check.days_failing, since=self.day(check.failing_since)
        )

    def examples(self, check: FailedCheck) -> str:
        """The heading of the example rows."""
        shown = len(check.examples)
        if check.rows_failed is None or check.rows_failed <= shown:
            return self("examples")
        return self("examples_of", shown=shown, count=check.rows_failed)

    def more_checks(self, incident: Incident) -> str:
        """That there are more than are shown."""
        return self("more_checks", count=len(incident.failed_checks) - SHOWN_CHECKS)

    def _translated(self, check: FailedCheck | MendedCheck, part: str) -> str:
        """The first line that fits counts."""
        fitting = (texts for key, texts in self._translations.items() if fnmatchcase(check.name, key))
        return next(fitting, {}).get(part, "")

    def _what(self, incident: Incident) -> str:
        return self("what_source", source=incident.source) if incident.source else self("what_marts")

    def _areas(self, checks: Sequence[FailedCheck]) -> str:
        names = AREAS[self.language]
        tables = (check.suite.split(".")[1] for check in checks if check.suite.startswith("marts."))
        return ("、" if self.language == "zh" else ", ").join(
            dict.fromkeys(names[table] for table in tables if table in names)
        )

    def _of_companies(self, checks: Sequence[FailedCheck]) -> str:
        """Whose figures these are; nothing where that is not known of every check, or where they are many."""
        named = sorted({company for check in checks for company in check.companies})
        if not all(check.companies for check in checks) or len(named) > SHOWN_COMPANIES:
            return ""
        return self("of_companies", companies=", ".join(named))


def _subject(incidents: Sequence[Incident], say: Phrases, kind: Kind) -> str:
    if kind == "digest":
        mended = sum(len(incident.mended) or 1 for incident in incidents if incident.kind == "recovered")
        open_ = sum(
            len(incident.failed_checks) or 1 for incident in incidents if incident.kind != "recovered"
        )
        counts = [("digest_warnings", open_), ("digest_mended", mended)]
        said = say("and").join(say(key, count=count) for key, count in counts if count)
        return say("subject_digest", product=say("product"), counts=said)
    first = incidents[0]
    title = say.title(first)
    if len(incidents) > 1:
        title = say("subject_more", title=title, count=len(incidents) - 1)
    return say("subject", product=say("product"), level=say(first.level), title=title)


def _intro(incidents: Sequence[Incident], say: Phrases, kind: Kind) -> str:
    if kind == "digest":
        return say("intro_digest")
    open_ = sum(incident.kind != "recovered" for incident in incidents)
    if open_ == 0:
        return ""
    return say("intro_one") if open_ == 1 else say("intro_many", count=open_)
