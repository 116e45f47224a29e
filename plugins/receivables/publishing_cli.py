"""`receivables publish`, `rollback` and `quarantine`: what people decide about versions and refused rows."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from receivables import console
from receivables.errors import PermanentError
from receivables.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides; it is recorded and published.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded and published.")]


def _day(text: str) -> date:
    from receivables.cli import parse_day

    return parse_day(text)


def publish(
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept", metavar="CHECK", help="Let this failed critical check pass; may be repeated."
        ),
    ] = None,
    by: By = "",
    reason: Reason = "",
    as_of: Annotated[
        date | None,
        typer.Option(
            "--as-of", parser=_day, metavar="DAY", help="The business day of the held-back version."
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="The run whose version it is; see `receivables status`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Publish a version that was held back, letting named checks pass for this one run.

    Every other critical check still decides. Who accepted what and why is published in
    `quality.acceptances`. Without --run: the version that was checked last (of that day).

    Examples:

        receivables publish --accept marts.ar_dso.dso_is_believable --by "Wang Li" --reason "Q1 credit run"

        receivables publish --as-of 2026-03-31
    """
    from receivables import deciding

    _expect_json(as_json)
    decision = deciding.publish_held_back(
        Settings.load(), accept or [], by=by, reason=reason, day=as_of, run=run
    )
    if as_json:
        console.print_json(decision)
        return
    for name in decision.accepted:
        console.out.print(f"  accepted for run {decision.run}: {name}", soft_wrap=True, markup=False)
    if decision.version is None:
        console.out.print(f"  {decision.next_step}", soft_wrap=True, markup=False)
    else:
        where = "is what readers see" if decision.is_current else "is stored; readers see another version"
        console.out.print(
            f"[green]✓[/] [bold]{decision.as_of_date}[/] {where}: {decision.version}", soft_wrap=True
        )


def rollback(
    by: By,
    reason: Reason,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="VERSION", help="A stored version, or its day; default: the one before."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send readers back to an earlier stored version, in one step. The next run publishes on top as usual.

    Example:

        receivables rollback --by "Wang Li" --reason "invoices of HD-EU were loaded from the test system"
    """
    from receivables import deciding

    _expect_json(as_json)
    done = deciding.roll_back(Settings.load(), by=by, reason=reason, to=to)
    if as_json:
        console.print_json(done)
    else:
        console.out.print(
            f"[green]✓[/] readers see [bold]{done.to_version}[/] instead of {done.from_version}",
            soft_wrap=True,
        )


quarantine_app = typer.Typer(
    no_args_is_help=True,
    help="Rows that were refused, with their reasons. They come back when the source mends them.",
)

Source = Annotated[str | None, typer.Option("--source", help="Only rows of this source.")]
Entity = Annotated[str | None, typer.Option("--entity", help="Only rows of this entity.")]
Saying = Annotated[str | None, typer.Option("--reason", help="Only rows whose reason contains this text.")]
Since = Annotated[
    date | None, typer.Option("--since", parser=_day, metavar="DAY", help="Only rows seen on or after DAY.")
]
All = Annotated[bool, typer.Option("--all", help="Also rows that have come back since.")]
Restricted = Annotated[
    bool,
    typer.Option(
        "--restricted", help="With the row as it arrived, which may hold personal data, if you may."
    ),
]


@quarantine_app.command("list")
def quarantine_list(
    source: Source = None,
    entity: Entity = None,
    reason: Saying = None,
    since: Since = None,
    everything: All = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows to show; --json and --csv give all.")] = 50,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all rows as CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """List refused rows: source, entity, key, reason, first and last seen.

    Examples:

        receivables quarantine list --source erp --entity invoices

        receivables quarantine list --reason "unknown currency" --csv
    """
    from receivables import asking, quarantine

    _expect_json(as_json)
    rows = quarantine.refused_rows(
        Settings.load(),
        quarantine.Wanted(source=source, entity=entity, reason=reason, since=since, everything=everything),
    )
    if as_json:
        console.print_json(rows)
        return
    answer = quarantine.as_answer(rows)
    if as_csv:
        asking.write_csv(answer, sys.stdout)
        return
    shown = [column for column in answer.columns if column not in {"payload", "run"}]
    places = [answer.columns.index(column) for column in shown]
    console.print_rows(shown, [[row[place] for place in places] for row in answer.rows[:limit]])
    hidden = len(rows) - limit
    console.err.print(
        f"[dim]{len(rows):,} rows{f'; {hidden:,} more: --limit or --csv' if hidden > 0 else ''}[/]"
    )


@quarantine_app.command("show")
def quarantine_show(
    key: Annotated[str, typer.Argument(help="The key of the row, as `list` shows it.")],
    source: Source = None,
    entity: Entity = None,
    restricted: Restricted = False,
    as_json: AsJson = False,
) -> None:
    """Show every refusal of one row, also those that are mended; with --restricted the row as it arrived.

    Example:

        receivables quarantine show INV-10023 --source erp --restricted
    """
    from receivables import quarantine

    _expect_json(as_json)
    wanted = quarantine.Wanted(source=source, entity=entity, key=key, everything=True)
    rows = quarantine.refused_rows(Settings.load(), wanted, restricted=restricted)
    if not rows:
        raise PermanentError(
            f"key {key}",
            cause="no row of that key was ever refused",
            next_step="receivables quarantine list --all shows every key",
        )
    if as_json:
        console.print_json(rows)
        return
    for row in rows:
        for name, value in row.facts().items():
            if value is not None:
                console.out.print(f"[bold]{name:<14}[/] {console.cell(value)}", soft_wrap=True)
        console.out.print()


@quarantine_app.command("export")
def quarantine_export(
    path: Annotated[Path, typer.Argument(help="The CSV file to write.")],
    source: Source = None,
    entity: Entity = None,
    reason: Saying = None,
    since: Since = None,
    everything: All = False,
    restricted: Restricted = False,
    as_json: AsJson = False,
) -> None:
    """Write refused rows to a CSV file, for whoever mends the source. With --restricted only you may read it.

    Example:

        receivables quarantine export /tmp/refused.csv --source erp --restricted
    """
    from receivables import quarantine

    _expect_json(as_json)
    rows = quarantine.refused_rows(
        Settings.load(),
        quarantine.Wanted(source=source, entity=entity, reason=reason, since=since, everything=everything),
        restricted=restricted,
    )
    quarantine.export(rows, path, private=restricted)
    if as_json:
        console.print_json({"file": path, "rows": len(rows)})
    else:
        console.out.print(f"[green]✓[/] {len(rows):,} rows in {path}", soft_wrap=True)


def watch(
    level: Annotated[str, typer.Argument(metavar="LEVEL", help="landed or published.")],
    as_of: Annotated[
        date, typer.Option("--as-of", parser=_day, metavar="DAY", help="The business day that is due.")
    ],
    as_json: AsJson = False,
) -> None:
    """Ask whether a day has reached a service level of `receivables.yml`; tell people when it has not.

    For installations without Airflow: run it from cron at the promised time. Ends with 1 when the day is
    late.

    Example:

        receivables watch published --as-of 2026-03-31
    """
    from receivables import mail_airflow, service_levels

    _expect_json(as_json)
    if level not in service_levels.LEVELS:
        raise typer.BadParameter("say landed or published")
    settings = Settings.load()
    try:
        standing = service_levels.watch(settings, "landed" if level == "landed" else "published", as_of)
    finally:
        mail_airflow.send_by_hand(settings)
    if as_json:
        console.print_json(standing)
    elif standing is None:
        console.out.print(f"receivables.yml promises nothing: service_levels.{level}_by is not set")
    else:
        reached = standing.reached_at or "not yet, and not due yet"
        console.out.print(f"{as_of} {level}: {reached} (due {standing.due_at})")


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(publish)
    app.command()(rollback)
    app.add_typer(quarantine_app, name="quarantine")
    app.command()(watch)


def _expect_json(as_json: bool) -> None:
    from receivables.cli import _state

    _state["json"] = as_json
