"""Great Expectations' Data Docs, fit for a finance machine.

Its own pages load styles and scripts from seven hosts on the internet, are blank or unstyled without them,
and put values from the data into the page unescaped. Here the same pages are rendered with every value
escaped, no script, one style sheet inside, and a policy that forbids the browser to load anything else. They
open from the file system, keep their history, and start at one `index.html`.
"""

from __future__ import annotations

import fcntl
import html
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import great_expectations as gx
from great_expectations.data_context import EphemeralDataContext
from great_expectations.data_context.types.base import DataContextConfig, ProgressBarsConfig
from great_expectations.render.renderer import ValidationResultsPageRenderer
from great_expectations.render.view import DefaultJinjaPageView

from receivables.checks.report import SEVERITIES, CheckResult

KEPT_RUNS = 200
_HISTORY = "history.json"


class EscapedResultsPage(ValidationResultsPageRenderer):
    """A result page on which a customer's name is text, whatever is in it."""

    def render(self, validation_results: Any) -> Any:
        escaped = deepcopy(validation_results)
        for outcome in escaped.results:
            outcome.result = _escaped(outcome.result)
            outcome.exception_info = _escaped(outcome.exception_info)
        return super().render(escaped)

    def _determine_page_title(
        self, run_name: str, run_time: str, data_asset_name: str, expectation_suite_name: str
    ) -> str:
        # The inherited one reads the name of the run as a time, and breaks on one that ends like a time zone
        # no clock has: 2026-06-30T110742-2944.
        return html.escape(f"{expectation_suite_name} / run {run_name}")


class OfflinePage(DefaultJinjaPageView):
    """A page that loads nothing: no script, no font, no picture, no style from elsewhere."""

    def render(self, document: Any, template: str | None = None, **parameters: Any) -> str:
        return offline(super().render(document, template, **parameters))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, Mapping):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    return value


def context(folder: Path) -> EphemeralDataContext:
    """A context that lives in memory; `build` puts its Data Docs into `folder`."""
    page = {"module_name": __name__, "class_name": "OfflinePage"}
    project = DataContextConfig(
        stores={
            "expectations_store": {"class_name": "ExpectationsStore"},
            "validation_results_store": {"class_name": "ValidationResultsStore"},
            "checkpoint_store": {"class_name": "CheckpointStore"},
            "validation_definition_store": {"class_name": "ValidationDefinitionStore"},
        },
        expectations_store_name="expectations_store",
        validation_results_store_name="validation_results_store",
        checkpoint_store_name="checkpoint_store",
        data_docs_sites={
            "local": {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": str(_workshop(folder)),
                },
                "site_section_builders": {
                    "expectations": {
                        "class_name": "DefaultSiteSectionBuilder",
                        "source_store_name": "expectations_store",
                        "renderer": {"class_name": "ExpectationSuitePageRenderer"},
                        "view": page,
                    },
                    "validations": {
                        "class_name": "DefaultSiteSectionBuilder",
                        "source_store_name": "validation_results_store",
                        "renderer": {"module_name": __name__, "class_name": "EscapedResultsPage"},
                        "view": page,
                    },
                    "profiling": "None",
                },
            }
        },
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return gx.get_context(project_config=project, mode="ephemeral")


def build(
    folder: Path,
    gx_context: EphemeralDataContext,
    results: Sequence[CheckResult],
    *,
    stage: str,
    source: str | None,
    day: date,
    run: str,
) -> tuple[Path, dict[str, Path]]:
    """Write the pages of this run and the index over all runs.

    Returns:
        The index, and the page of each suite of this run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Great Expectations empties the folder it builds into: it gets one of its own, and the history stays.
    workshop = _workshop(folder)
    gx_context.build_data_docs()
    with _locked(folder):
        # Its index needs scripts from the internet, ours replaces it; its pictures are used by nothing else.
        for section in ("expectations", "validations"):
            if (workshop / section).is_dir():
                shutil.copytree(workshop / section, folder / section, dirs_exist_ok=True)
        shutil.rmtree(workshop)
        pages = {
            suite: page
            for suite in dict.fromkeys(result.suite for result in results)
            if (page := _page(folder, suite, run)) is not None
        }
        history = _remember(
            folder, _entries(folder, results, pages, stage=stage, source=source, day=day, run=run)
        )
        index = folder / "index.html"
        _write(index, _index_page(history))
    return index, pages


def _workshop(folder: Path) -> Path:
    return folder / f".building-{os.getpid()}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Checks of several sources may end at the same moment, in different processes."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _page(folder: Path, suite: str, run: str) -> Path | None:
    pages = sorted((folder / "validations" / suite.replace(".", "/") / run).glob("*/*.html"))
    return pages[-1] if pages else None


def _entries(
    folder: Path,
    results: Sequence[CheckResult],
    pages: Mapping[str, Path],
    *,
    stage: str,
    source: str | None,
    day: date,
    run: str,
) -> list[dict[str, Any]]:
    entries = []
    for suite in dict.fromkeys(result.suite for result in results):
        of_suite = [result for result in results if result.suite == suite]
        failures = [result for result in of_suite if not result.success]
        page = pages.get(suite)
        entries.append(
            {
                "day": day.isoformat(),
                "run": run,
                "stage": stage,
                "source": source,
                "suite": suite,
                "checked_at": max(result.checked_at for result in of_suite).isoformat(" "),
                "checks": len(of_suite),
                "failed": {
                    severity: sum(result.severity == severity for result in failures)
                    for severity in SEVERITIES
                },
                "failures": [
                    {
                        "check": result.check,
                        "severity": result.severity,
                        "sentence": result.sentence,
                        "observed": result.observed,
                        "note": result.note,
                    }
                    for result in failures
                ],
                "page": page.relative_to(folder).as_posix() if page else None,
            }
        )
    return entries


def _remember(folder: Path, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put this run in front of the history; forget the oldest runs and their pages."""
    path = folder / _HISTORY
    history = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    new = {(entry["run"], entry["suite"]) for entry in entries}
    history = entries + [entry for entry in history if (entry["run"], entry["suite"]) not in new]
    runs = list(dict.fromkeys(entry["run"] for entry in history))
    kept = set(runs[:KEPT_RUNS])
    for entry in history:
        if entry["run"] not in kept and entry["page"]:
            shutil.rmtree((folder / entry["page"]).parent.parent, ignore_errors=True)
    history = [entry for entry in history if entry["run"] in kept]
    _write(path, json.dumps(history, ensure_ascii=False, indent=1))
    return history


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


_EXTERNAL = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<footer>.*?</footer>|<img\b[^>]*>", re.DOTALL | re.IGNORECASE
)
_ACTIONS = re.compile(
    r"<div class=\"card mb-3\">\s*<div class=\"card-header p-2\">\s*<strong>Actions"
    r".*?(?=<div class=\"card d-md-block)",
    re.DOTALL,
)
_HANDLER = re.compile(r"\sonclick=\"[^\"]*\"")
_STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)


def offline(page: str) -> str:
    """A page of Great Expectations without scripts, pictures and remote styles, with our own style."""
    page = _ACTIONS.sub("", page)
    page = _HANDLER.sub("", _STYLE.sub("", _EXTERNAL.sub("", page)))
    page = page.replace("</head>", f"{_POLICY}<style>{STYLE}</style></head>", 1)
    return page.replace(
        '<div class="float-left navbar-brand m-0 h-100">',
        '<div class="brand">Receivables: checks',
        1,
    )


STYLE = """
:root { color-scheme: light; --ink: #1d2733; --soft: #5d6b7a; --line: #dbe2ea; --bad: #b42318;
  --good: #187a4a; --warn: #93580b; }
* { box-sizing: border-box; }
body { margin: 0; font: 14px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC",
  "PingFang SC", "Microsoft YaHei", sans-serif; color: var(--ink); background: #f6f8fa; }
a { color: #1a5fb4; } h1 { font-size: 22px; margin: 0 0 4px; } h4 { font-size: 17px; margin: 0; }
h5 { font-size: 15px; margin: 0; } h6, .h6 { font-size: 13px; margin: 0; font-weight: 600; }
.navbar.sticky-top, header { background: #fff; border-bottom: 1px solid var(--line); padding: 14px 28px;
  height: auto !important; }
.brand { font-weight: 600; } .breadcrumb { list-style: none; display: flex; gap: 8px; margin: 4px 0 0;
  padding: 0; color: var(--soft); } .breadcrumb li + li::before { content: "\\203A"; margin-right: 8px; }
.container-fluid, main { padding: 20px 28px; } .ge-section { padding: 0 0 18px; }
.row { display: flex; flex-wrap: wrap; gap: 0 24px; } .col-12 { flex: 0 0 100%; max-width: 100%; }
.col-lg-2 { flex: 0 0 210px; } .col-lg-10 { flex: 1; min-width: 0; } .lead { display: none; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 6px; padding: 10px 14px;
  margin: 8px 0; }
.nav { list-style: none; margin: 0; padding: 0; } .alert { padding: 10px 0 6px; }
table { border-collapse: collapse; background: #fff; width: auto; }
.table:not(.table-sm), table.runs { width: 100%; }
th, td { border: 1px solid var(--line); padding: 6px 10px; text-align: left; vertical-align: top; }
th { background: #eef2f6; font-weight: 600; white-space: nowrap; } thead[hidden] { display: none; }
.badge { background: #eef2f6; border-radius: 4px; padding: 0 5px; }
.text-danger, .bad { color: var(--bad); } .text-success, .good { color: var(--good); }
.warn { color: var(--warn); }
.fa-check-circle::before { content: "\\2714 passed"; } .fa-times::before { content: "\\2718 failed"; }
.fa-exclamation-triangle::before { content: "\\26A0 broken"; }
i.fas { font-style: normal; font-weight: 600; white-space: nowrap; }
.soft { color: var(--soft); }
pre { white-space: pre-wrap; } .cooltip .top, a[data-toggle="collapse"] { display: none; }
.table-responsive { flex: 0 0 100%; max-width: 100%; overflow-x: auto; }
.alert .fa-check-circle::before { content: "\\2714 "; } .alert .fa-times::before { content: "\\2718 "; }
.table-bordered td, .table-bordered th { white-space: normal; overflow-wrap: anywhere; font-size: 12px;
  padding: 3px 6px; }
h2 { font-size: 16px; margin: 22px 0 6px; } h2 small { font-weight: normal; font-size: 13px; }
"""


def _index_page(history: Sequence[Mapping[str, Any]]) -> str:
    checks: dict[tuple[str, str, str | None], list[Mapping[str, Any]]] = {}
    for entry in history:
        checks.setdefault((entry["run"], entry["stage"], entry["source"]), []).append(entry)
    sections = "\n".join(_index_section(entries) for entries in checks.values())
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{_POLICY}<title>Receivables: checks</title><style>{STYLE}</style></head>
<body><header><h1>Receivables: checks</h1>
<div class="soft">Newest first. A failed critical check keeps a version from being published; a warning is
mailed; the rest is recorded. The same results are in <code>quality.check_results</code>.</div></header>
<main>
{sections}
</main></body></html>
"""


def _index_section(entries: Sequence[Mapping[str, Any]]) -> str:
    """One stage of one run: what failed in a table, what passed as a line of links."""
    first = entries[0]
    failed = [entry for entry in entries if entry["failures"]]
    passed = [entry for entry in entries if not entry["failures"]]
    what = f"data of {first['source']}" if first["source"] else "marts"
    checks = sum(entry["checks"] for entry in entries)
    failures = sum(len(entry["failures"]) for entry in entries)
    parts = [
        f"<h2>{_verdict(entries)} {html.escape(first['day'])} · {html.escape(what)}"
        f' <small class="soft">run {html.escape(first["run"])} · {html.escape(first["checked_at"])} UTC ·'
        f" {checks} checks, {failures} failed</small></h2>"
    ]
    if failed:
        rows = "".join(_index_row(entry, failure) for entry in failed for failure in entry["failures"])
        parts.append(
            '<table class="runs"><thead><tr><th>Severity</th><th>Check</th><th>Observed</th>'
            f"<th>What it means</th></tr></thead><tbody>{rows}</tbody></table>"
        )
    if passed:
        links = ", ".join(_suite_link(entry) for entry in passed)
        parts.append(f'<p class="soft">Passed: {links}</p>')
    return "\n".join(parts)


def _verdict(entries: Sequence[Mapping[str, Any]]) -> str:
    if any(entry["failed"]["critical"] for entry in entries):
        return '<span class="bad">&#10008; not publishable</span>'
    if any(entry["failed"]["warning"] for entry in entries):
        return '<span class="warn">&#9888; warnings</span>'
    return '<span class="good">&#10004; passed</span>'


def _index_row(entry: Mapping[str, Any], failure: Mapping[str, Any]) -> str:
    color = {"critical": "bad", "warning": "warn"}.get(failure["severity"], "soft")
    return (
        f'<tr><td class="{color}">{html.escape(failure["severity"])}</td>'
        f"<td>{_suite_link(entry)}.<b>{html.escape(failure['check'])}</b><br>"
        f"{html.escape(failure['sentence'])}</td><td>{html.escape(failure['observed'])}</td>"
        f"<td>{html.escape(failure['note'])}</td></tr>"
    )


def _suite_link(entry: Mapping[str, Any]) -> str:
    suite = html.escape(entry["suite"])
    return f'<a href="{html.escape(entry["page"])}">{suite}</a>' if entry["page"] else suite
