"""The command line, `receivables …`: the same functions that the DAGs call, for people and for programs."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from receivables import console, publishing_cli
from receivables.errors import PermanentError, ReceivablesError
from receivables.settings import Settings

EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a critical check stopped the publication,"
    " 75 try again later, 78 a configuration file is wrong."
)

app = typer.Typer(
    name="receivables",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)
sources_app = typer.Typer(no_args_is_help=True, help="Look at the source systems: `sources/<name>.yml`.")
app.add_typer(sources_app, name="sources")
publishing_cli.add_to(app)

_state = {"debug": False, "json": False}

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")]


def parse_day(text: str) -> date:
    """A business day as people type it."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a day; write it as 2026-03-31") from error


Day = Annotated[
    date, typer.Argument(parser=parse_day, metavar="DAY", help="A business day, e.g. 2026-03-31.")
]


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show log lines, and the traceback of an error.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
) -> None:
    """Invoices, payments and customers in; checked accounts-receivable marts out.

    `receivables demo` shows all of it on a demo company.
    """
    _state["debug"] = debug or bool(os.environ.get("RECEIVABLES_DEBUG"))
    logging.basicConfig(
        level=logging.INFO if _state["debug"] else logging.CRITICAL,  # what matters is raised, and shown
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for name in ("receivables.outbox", "receivables.mail_airflow"):  # alerts that nobody got would be silent
        logging.getLogger(name).setLevel(logging.WARNING)
    if version:
        from importlib.metadata import version as installed

        console.out.print(installed("receivables-warehouse"))
        raise typer.Exit


@app.command()
def demo(
    invoices: Annotated[int, typer.Option(min=100, help="How many invoices the demo company has.")] = 6000,
    days: Annotated[int, typer.Option(min=120, help="How many days of history it has.")] = 730,
    seed: Annotated[int, typer.Option(help="Another seed, another company.")] = 7,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave Airflow running at the end, until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a demo company and run two business days of it through Airflow.

    Takes a few minutes and writes only below RECEIVABLES_HOME (default: `var/` in the checkout). Airflow
    listens on this machine only and is stopped at the end. A demo that is there already is replaced.

    Examples:

        receivables demo

        receivables demo --invoices 60000 --keep
    """
    from receivables import demo_run

    _state["json"] = as_json
    shown = demo_run.run_demo(
        Settings.load(), invoices=invoices, days=days, seed=seed, keep=keep, quiet=as_json
    )
    if as_json:
        console.print_json(shown)


@app.command("demo-data")
def demo_data(
    path: Annotated[Path, typer.Argument(help="The SQLite file to write.")],
    invoices: Annotated[int, typer.Option(min=100)] = 6000,
    days: Annotated[int, typer.Option(min=30)] = 730,
    seed: Annotated[int, typer.Option()] = 7,
    to: Annotated[
        date | None,
        typer.Option(
            parser=parse_day, metavar="DAY", help="Move an existing file forward to this day instead."
        ),
    ] = None,
) -> None:
    """Write the demo company's ERP as a SQLite file, or move one forward day by day.

    Examples:

        receivables demo-data /tmp/erp.sqlite --invoices 20000

        receivables demo-data /tmp/erp.sqlite --to 2026-01-31
    """
    from receivables import demo as generator

    if to:
        generator.advance(path, to)
    else:
        generator.create(path, seed=seed, invoices=invoices, days=days)
    console.out.print(f"{path} is ready.")


@app.command()
def run(
    as_of: Annotated[
        date,
        typer.Option("--as-of", parser=parse_day, metavar="DAY", help="The business day, e.g. 2026-03-31."),
    ],
    source: Annotated[
        list[str] | None, typer.Option(help="Read only this source; may be repeated. Default: all.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--run", help="Continue a broken attempt by its name; see `receivables status`."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run one business day from the sources to the published version, without Airflow.

    Safe to repeat: what is loaded already is not loaded twice, and a failed check publishes nothing.

    Examples:

        receivables run --as-of 2026-03-31

        receivables run --as-of 2026-03-31 --source erp --json
    """
    from receivables import pipeline

    _state["json"] = as_json
    with console.step_progress(as_of.isoformat(), quiet=as_json) as progress:
        report = pipeline.run_day(Settings.load(), as_of, run=name, sources=source or None, progress=progress)
    if as_json:
        console.print_json(_day_facts(report))
    else:
        _print_day(report)


@app.command()
def backfill(
    first: Annotated[date, typer.Argument(parser=parse_day, metavar="FROM", help="The first business day.")],
    last: Annotated[date, typer.Argument(parser=parse_day, metavar="TO", help="The last business day.")],
    as_json: AsJson = False,
) -> None:
    """Run every day from FROM to TO, the oldest first. Stops at the first day that fails.

    A day that is older than the published one is stored as a version and does not become current.

    Example:

        receivables backfill 2026-03-01 2026-03-31
    """
    from receivables import pipeline

    _state["json"] = as_json
    facts: list[dict[str, Any]] = []
    reports = pipeline.backfill(
        Settings.load(),
        first,
        last,
        progress=lambda day: console.step_progress(day.isoformat(), quiet=as_json),
    )
    for report in reports:
        if as_json:
            facts.append(_day_facts(report))
        else:
            _print_day(report)
    if as_json:
        console.print_json(facts)


@sources_app.command("check")
def sources_check(
    name: Annotated[str | None, typer.Argument(help="One source; default: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look at a source before its first load: does it answer, are the columns there, do the first rows fit?

    Nothing is stored.

    Examples:

        receivables sources check

        receivables sources check erp
    """
    from receivables.sources.check import check_source

    _state["json"] = as_json
    settings = Settings.load()
    names = [name] if name else settings.source_names
    if not names:
        raise PermanentError(
            f"sources in {settings.sources_dir}",
            cause="there is no source file",
            next_step="write one; docs/sources.md shows how",
        )
    reports = [check_source(settings, each) for each in names]
    if as_json:
        console.print_json(reports)
    else:
        for report in reports:
            _print_source(report)
    if not all(report.is_ok for report in reports):
        raise typer.Exit(1)


@sources_app.command("schema")
def sources_schema(
    write: Annotated[
        bool, typer.Option("--write", help="Write docs/schema/*.json of the checkout instead.")
    ] = False,
) -> None:
    """Print the JSON schema of a source file, which lets an editor complete and check it.

    Example:

        receivables sources schema > source.schema.json
    """
    from receivables import schemas

    if write:
        for path in schemas.write_schemas(Settings.load().root / "docs" / "schema"):
            console.out.print(str(path))
    else:
        sys.stdout.write(schemas.schema_text(schemas.schemas()["source.schema.json"]))


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SQL statement; `-` reads it from standard input.")],
    restricted: Annotated[
        bool, typer.Option("--restricted", help="Read the file that holds personal data, if you may.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 100,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all rows as CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the published version. It is opened read-only and can touch nothing else on this machine.

    The tables are in the schemas `marts` and `quality`; `show all tables` lists them.

    Examples:

        receivables query "from marts.ar_open_items limit 10"

        receivables query "from marts.aging_as_of(date '2026-03-31')"

        receivables query - --csv < report.sql > report.csv
    """
    from receivables import asking

    _state["json"] = as_json
    answer = asking.ask(Settings.load(), sys.stdin.read() if sql == "-" else sql, restricted=restricted)
    if as_json:
        console.print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    elif as_csv:
        asking.write_csv(answer, sys.stdout)
    else:
        console.print_rows(answer.columns, answer.rows[:limit])
        if len(answer.rows) > limit:
            console.err.print(f"[dim]{len(answer.rows):,} rows; --limit or --csv shows more[/]")


@app.command()
def status(as_json: AsJson = False) -> None:
    """What is published, how the last runs ended, which checks fail, what is in quarantine."""
    from receivables import runs

    _state["json"] = as_json
    facts = runs.status(Settings.load())
    if as_json:
        console.print_json(facts)
        return
    published = facts["published"]
    if published:
        console.out.print(f"[bold]Published:[/] {published['as_of_date']}  [dim]{published['version']}[/]")
        console.out.print(f"  [dim]{published['database']}[/]")
    else:
        console.out.print("[bold]Published:[/] nothing yet; try: receivables demo")
    for title, key, columns in _STATUS_TABLES:
        if facts[key]:
            rows = [[row.get(column) for column in columns] for row in facts[key]]
            console.out.print()
            console.out.print(console.table(title, [name.replace("_", " ") for name in columns], rows))


_STATUS_TABLES = (
    ("Held back by critical checks", "held_back", ("as_of_date", "run", "critical", "checked_at")),
    ("Readers were sent back", "rollbacks", ("at", "from_version", "to_version", "by", "reason")),
    ("Accepted checks", "acceptances", ("as_of_date", "suite", "check", "accepted_by", "reason", "run")),
    ("Runs", "runs", ("run", "status", "finished_at", "failed_step", "message")),
    (
        "Failing checks",
        "failing_checks",
        ("severity", "suite", "check", "observed", "expected", "rows_failed"),
    ),
    ("Quarantine", "quarantine", ("source", "entity", "reason", "rows", "first_seen_on", "last_seen_on")),
    ("Read up to", "watermarks", ("source", "entity", "watermark", "as_of_date")),
    ("Open alerts", "incidents", ("as_of_date", "dag", "title")),
    ("Mails that wait", "unsent_mails", ("recipient", "subject", "attempts", "last_error")),
)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this installation: versions, files, rights, sources, the published version. Says what to do.

    Ends with 1 when something is broken.
    """
    from receivables import doctoring

    _state["json"] = as_json
    findings = doctoring.examine(Settings.load())
    if as_json:
        console.print_json(findings)
    else:
        marks = {"ok": "[green]ok     [/]", "warning": "[yellow]warning[/]", "broken": "[bold red]broken [/]"}
        for finding in findings:
            console.out.print(
                f"{marks[finding.state]} [bold]{finding.what}[/]: {finding.found}", soft_wrap=True
            )
            if finding.next_step:
                console.out.print(f"        [green]Next:[/] {finding.next_step}", soft_wrap=True)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


@app.command()
def airflow(
    port: Annotated[int, typer.Option(help="Port of the user interface; 0 = any free one.")] = 8080,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Cron line of the nightly run, or `none`. Default: RECEIVABLES_SCHEDULE, else 30 1 * * *."
        ),
    ] = None,
) -> None:
    """Start Airflow on this machine (scheduler and user interface) with the DAGs; Ctrl-C stops it.

    Example:

        receivables airflow --port 8081
    """
    from receivables import local_airflow

    settings = Settings.load()
    with (
        local_airflow.alone(settings),
        local_airflow.running(
            settings,
            port=port or None,
            schedule=schedule,
            say=lambda text: console.err.print(f"[dim]{text}[/]"),
        ) as started,
    ):
        console.out.print(f"[bold]Airflow:[/] {started.url}")
        console.out.print(f"  user {local_airflow.USER}, password in {local_airflow.password_file(settings)}")
        console.out.print(f"  logs in {settings.airflow_home / 'logs'}")
        console.out.print("  Ctrl-C stops it.")
        while (dead := started.dead_component()) is None:
            time.sleep(0.5)
        raise PermanentError(
            f"Airflow's {dead}", cause="ended by itself", next_step=f"read {started.log_file(dead)}"
        )


def _day_facts(report: Any) -> dict[str, Any]:
    return {
        "as_of_date": report.day,
        "run": report.run,
        "version": report.publication.version.name,
        "is_current": report.publication.is_current,
        "database": report.publication.version.database,
        "rows": {
            name: {entity.entity: entity.rows for entity in load.entities}
            for name, load in report.loads.items()
        },
        "refused": {name: load.refused for name, load in report.loads.items()},
        "models": report.transform.models,
        "tests": report.transform.tests,
        "checks": {
            **{name: checks.summary() for name, checks in report.raw_checks.items()},
            "marts": report.mart_checks.summary(),
        },
    }


def _print_day(report: Any) -> None:
    for name, load in report.loads.items():
        new, changed = (sum(getattr(entity, kind) for entity in load.entities) for kind in ("new", "changed"))
        refused = f", [yellow]{load.refused:,} refused[/]" if load.refused else ""
        console.out.print(f"  {name}: {new:,} new rows, {changed:,} changed{refused}")
    console.out.print(f"  models: {report.transform.models} built, {report.transform.tests} tests passed")
    for name, checks in (*report.raw_checks.items(), ("marts", report.mart_checks)):
        console.out.print(f"  {name}: {checks.summary()}")
    where = "is what readers see" if report.publication.is_current else "is stored; a newer day is current"
    console.out.print(
        f"[green]✓[/] [bold]{report.day}[/] {where}: {report.publication.version.database}", soft_wrap=True
    )


def _print_source(report: Any) -> None:
    mark = "[green]✓[/]" if report.is_ok else "[bold red]✗[/]"
    console.out.print(f"{mark} [bold]{report.source}[/] ({report.kind})")
    if report.error:
        console.print_error(report.error)
    rows = [
        [
            entity.entity,
            entity.mode,
            f"{entity.rows:,}{'+' if entity.is_partial else ''}",
            entity.refused,
            len(entity.columns),
            ", ".join(entity.unused),
        ]
        for entity in report.entities
    ]
    if rows:
        columns = ["entity", "mode", "rows read", "refused", "columns", "not used"]
        console.out.print(console.table(None, columns, rows, right={"rows read"}))
    for entity in report.entities:
        if entity.error:
            console.print_error(entity.error)
        for location, reason in entity.problems:
            console.out.print(f"  [yellow]{entity.entity}[/] {location}: {reason}")
        for note in entity.notes:
            console.out.print(f"  [dim]{entity.entity}:[/] {note}", soft_wrap=True)


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; an error that this project raises becomes a message and an exit code."""
    signal.signal(signal.SIGTERM, _stop)  # so that `finally` runs and nothing is left behind
    try:
        app()
    except ReceivablesError as error:
        if _state["debug"]:
            raise
        if _state["json"]:
            sys.stdout.write(json.dumps({"error": console.error_facts(error)}, ensure_ascii=False) + "\n")
        else:
            console.print_error(error)
        sys.exit(error.exit_code)
