"""`receivables demo`: the demo company through Airflow, two business days, and what came out."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from receivables import console, demo, local_airflow
from receivables.asking import ask
from receivables.errors import PermanentError, TransientError
from receivables.local_airflow import FINISHED, RunningAirflow
from receivables.publish import current_version
from receivables.settings import Settings
from receivables.transform import ensure_docs, ensure_manifest
from receivables.warehouse import reading

SOURCE = "demo_erp"
FLOW = (f"ingest_{SOURCE}", "transform_receivables", "publish_receivables", "alert_receivables")
# When these have ended, readers see the day; the tasks that show its models may still be catching up.
PUBLISHED = (FLOW[0], *FLOW[2:])
PATIENCE_SECONDS = 900

_MARKS = {
    "success": "[green]✓[/]",
    "failed": "[bold red]✗[/]",
    "running": "[cyan]▶[/]",
    "queued": "[dim]…[/]",
}


def run_demo(
    settings: Settings, *, invoices: int, days: int, seed: int, keep: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Create the demo company, run its last day and the next business day through Airflow, show the result.

    Returns what was shown, for programs.

    Raises:
        PermanentError: the home folder holds other data than a demo's, or a DAG failed.
    """
    _refuse_other_data(settings)
    started = time.monotonic()
    say = _Say(quiet, started)
    with local_airflow.alone(settings), ThreadPoolExecutor(max_workers=2) as pool:
        _clear(settings)
        say(f"creating the demo company: {invoices:,} invoices in {days} days")
        created = pool.submit(demo.create, settings.demo_erp, seed=seed, invoices=invoices, days=days)
        pool.submit(ensure_manifest, settings)
        with local_airflow.running(_only_demo(settings), schedule="none", say=say) as airflow:
            created.result()
            first = demo.current_day(settings.demo_erp)
            second = _next_business_day(first)
            say(f"Airflow runs at {airflow.url} (user {local_airflow.USER})")
            documented = pool.submit(ensure_docs, settings)
            _follow(airflow, first, until=PUBLISHED, quiet=quiet)
            demo.advance(settings.demo_erp, second)
            _follow(airflow, second, until=FLOW, quiet=quiet)
            documented.result()
            facts = _facts(settings, second, seconds=time.monotonic() - started)
            if not quiet:
                _show(settings, facts)
            if keep:
                _keep(airflow)
    return facts


class _Say:
    """One line per stage, with the seconds since the start."""

    def __init__(self, quiet: bool, started: float) -> None:
        self.quiet, self.started = quiet, started

    def __call__(self, text: str) -> None:
        if not self.quiet:
            console.err.print(f"[dim]{time.monotonic() - self.started:5.0f} s[/]  {text}")


def _refuse_other_data(settings: Settings) -> None:
    if not settings.warehouse.exists():
        return
    with reading(settings.warehouse, wait_seconds=5) as connection:
        rows = connection.execute("select distinct source from quality.loads").fetchall()
    others = sorted({name for (name,) in rows} - {SOURCE})
    if others:
        raise PermanentError(
            f"home folder {settings.home}",
            cause=f"it holds data of {', '.join(others)}, which a demo would delete",
            next_step="give the demo a folder of its own: set RECEIVABLES_HOME, then receivables demo",
        )


def _clear(settings: Settings) -> None:
    """Remove what an earlier demo has left; what only depends on the project's files stays."""
    for folder in (
        settings.landing,
        settings.warehouse.parent,
        settings.published,
        settings.outbox,
        settings.incidents,
        settings.data_docs,
        settings.demo_erp.parent,
        settings.dbt_target,
        settings.airflow_home,
    ):
        if folder.exists():
            shutil.rmtree(folder)


def _only_demo(settings: Settings) -> Settings:
    """The same installation with the demo's source file only: nobody else's system is read by a demo."""
    file = settings.root / "sources" / f"{SOURCE}.yml"
    folder = settings.demo_erp.parent / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, folder / file.name)
    return Settings(
        root=settings.root, home=settings.home, sources_dir=folder, config_file=settings.config_file
    )


def _next_business_day(day: date) -> date:
    following = day + timedelta(days=1)
    while following.weekday() >= 5:
        following += timedelta(days=1)
    return following


@dataclass
class _Watched:
    """A DAG run of the day, as last seen."""

    dag_id: str
    run_id: str
    state: str
    tasks: list[dict[str, Any]]

    @property
    def done(self) -> int:
        return sum(
            task["state"] in {"success", "skipped", "failed", "upstream_failed"} for task in self.tasks
        )

    @property
    def now(self) -> str:
        names = [_short(task) for task in self.tasks if task["state"] == "running"]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")


def _short(task: dict[str, Any]) -> str:
    name = str(task["task_id"]).removeprefix("models.").removesuffix("_run")
    if name == "dbt_producer_watcher":
        return "dbt"
    return str(task.get("rendered_map_index") or name) if (task.get("map_index") or -1) >= 0 else name


def _follow(airflow: RunningAirflow, day: date, *, until: tuple[str, ...], quiet: bool) -> None:
    """Trigger the first DAG of a day and watch until the DAGs in `until` have succeeded."""
    airflow.trigger(FLOW[0], day.isoformat())
    watched: dict[str, _Watched] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    with _display(quiet) as show:
        while True:
            _look(airflow, day, watched)
            show(day, watched)
            broken = [run for run in watched.values() if run.state == "failed"]
            if broken:
                raise _as_error(airflow, broken[0])
            if all(dag in watched and watched[dag].state == "success" for dag in until):
                return
            if (dead := airflow.dead_component()) or time.monotonic() > deadline:
                raise TransientError(
                    f"the demo's {day}",
                    cause=f"Airflow's {dead} ended" if dead else f"it took longer than {PATIENCE_SECONDS} s",
                    next_step=f"read {airflow.log_file(dead or 'scheduler')}",
                )
            time.sleep(2)


def _look(airflow: RunningAirflow, day: date, watched: dict[str, _Watched]) -> None:
    for run in airflow.dag_runs():
        dag = run["dag_id"]
        if run["partition_key"] != day.isoformat() or (dag in watched and watched[dag].state in FINISHED):
            continue
        tasks = airflow.tasks(dag, run["dag_run_id"])
        watched[dag] = _Watched(dag, run["dag_run_id"], run["state"], tasks)


class _display:  # noqa: N801  (used as a function)
    """Shows the runs of a day: a live table on a terminal, one line per change elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.live = Live(console=console.err, refresh_per_second=4, transient=False)
        self.told: dict[str, str] = {}

    def __enter__(self) -> Any:
        if not self.quiet and console.err.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def __call__(self, day: date, watched: dict[str, _Watched]) -> None:
        if self.quiet:
            return
        if console.err.is_terminal:
            self.live.update(Group(Text(f"\nBusiness day {day}", style="bold"), _progress_table(watched)))
            return
        for run in watched.values():
            if self.told.get(run.dag_id) != run.state:
                self.told[run.dag_id] = run.state
                console.err.print(f"  {day}  {run.dag_id}: {run.state}")


def _progress_table(watched: dict[str, _Watched]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for dag in FLOW:
        run = watched.get(dag)
        if run is None:
            table.add_row("[dim]·[/]", f"[dim]{dag}[/]", "", "")
        else:
            table.add_row(
                _MARKS.get(run.state, "?"), dag, f"{run.done}/{len(run.tasks)}", f"[dim]{run.now}[/]"
            )
    return table


def _as_error(airflow: RunningAirflow, run: _Watched) -> PermanentError:
    from receivables.alerts import open_incidents

    failed = [task for task in run.tasks if task["state"] == "failed"]
    said = [incident for incident in open_incidents(airflow.settings) if incident.dag == run.dag_id]
    if said:
        checks = "; ".join(
            f"{check.suite}.{check.check}: {check.observed}" for check in said[-1].failed_checks[:3]
        )
        cause, next_step = said[-1].error or checks or said[-1].title, said[-1].next_step
    else:
        names = ", ".join(_short(task) for task in failed) or "the run timed out"
        cause, next_step = f"failed: {names}", f"read the logs below {airflow.settings.airflow_home / 'logs'}"
    return PermanentError(run.dag_id, cause=cause, next_step=next_step)


def _keep(airflow: RunningAirflow) -> None:
    console.out.print(
        f"\nAirflow is still running at [bold]{airflow.url}[/]: user {local_airflow.USER}, password in"
        f" {local_airflow.password_file(airflow.settings)}. Ctrl-C stops it."
    )
    while airflow.dead_component() is None:
        time.sleep(0.5)


_AGEING = """
select
    companies.company_name, companies.currency_code, ageing.aging_bucket,
    sum(ageing.company_amount)::decimal(18, 2) as amount, sum(ageing.item_count)::bigint as items
from marts.ar_aging_daily as ageing
inner join marts.dim_companies as companies using (company_id)
inner join marts.dim_aging_buckets as buckets using (aging_bucket)
where ageing.as_of_date = (select max(as_of_date) from marts.ar_open_items)
group by companies.company_name, companies.currency_code, ageing.aging_bucket, buckets.position
order by companies.company_name, buckets.position
"""

_KPIS = """
select
    companies.company_name, strftime(dso.month_end_date, '%Y-%m') as month,
    round(dso.dso, 1) as dso_days, round(dso.best_possible_dso, 1) as best_possible_dso_days,
    round(collection.cei, 1) as cei_percent, round(100 * collection.overdue_rate, 1) as overdue_percent,
    round(turnover.turnover_12m, 2) as turnover_12_months
from marts.ar_dso as dso
inner join marts.dim_companies as companies using (company_id)
left join marts.ar_collection_effectiveness as collection
    using (month_end_date, company_id, scope_type, scope_id)
left join marts.ar_turnover as turnover
    using (month_end_date, company_id, scope_type, scope_id)
where
    dso.scope_type = 'company'
    and dso.month_end_date <= (select max(as_of_date) from marts.ar_open_items)
qualify row_number() over (partition by company_id order by dso.month_end_date desc) <= 3
order by companies.company_name, month
"""

_LOADED = """
select
    loads.as_of_date, sum(loads.rows)::bigint as rows_read, sum(loads.rows_new)::bigint as rows_new,
    sum(loads.rows_changed)::bigint as rows_changed
from quality.loads as loads
group by loads.as_of_date
order by loads.as_of_date
"""

_CHECKS = """
select
    count(*), count(*) filter (where success), count(*) filter (where not success and severity = 'critical')
from quality.check_results
where as_of_date = (select max(as_of_date) from quality.check_results)
"""


def _facts(settings: Settings, day: date, *, seconds: float) -> dict[str, Any]:
    def rows(sql: str) -> list[dict[str, Any]]:
        answer = ask(settings, sql)
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]

    version = current_version(settings)
    checks = ask(settings, _CHECKS).rows[0]
    return {
        "as_of_date": day,
        "version": version.name if version else None,
        "loads": rows(_LOADED),
        "ageing": rows(_AGEING),
        "kpis": rows(_KPIS),
        "checks": {"run": checks[0], "passed": checks[1], "critical_failed": checks[2]},
        "published_database": settings.published_database,
        "data_docs": settings.data_docs / "index.html",
        "dbt_docs": ensure_docs(settings),
        "outbox": settings.outbox,
        "seconds": round(seconds),
    }


def _show(settings: Settings, facts: dict[str, Any]) -> None:
    out = console.out
    out.print()
    out.print(_ageing_table(facts))
    out.print()
    columns = ["company", "month", "DSO", "best DSO", "CEI %", "overdue %", "turnover 12 m"]
    out.print(console.table("Last months", columns, [list(row.values()) for row in facts["kpis"]]))
    out.print()
    for load in facts["loads"]:
        out.print(
            f"Loaded for {load['as_of_date']}: {load['rows_read']:,} rows read, {load['rows_new']:,} new,"
            f" {load['rows_changed']:,} changed"
        )
    checks = facts["checks"]
    out.print(f"Checks: [green]{checks['passed']} of {checks['run']} passed[/], nothing critical failed")
    out.print()
    for name, what in (
        ("published_database", "Published file"),
        ("data_docs", "Data Docs (checks)"),
        ("dbt_docs", "dbt docs (models)"),
    ):
        out.print(f"{what + ':':<20} {facts[name]}", soft_wrap=True)
    mails = len(list(settings.outbox.glob("*.eml"))) if settings.outbox.exists() else 0
    if mails:
        out.print(f"{'Alert mails:':<20} {settings.outbox} ({mails})", soft_wrap=True)
    day = facts["as_of_date"]
    out.print()
    out.print(f"Done in {facts['seconds']} s. Worth trying next:")
    for command in (
        'uv run receivables query "from marts.ar_open_items order by group_amount desc limit 10"',
        f"uv run receivables query \"from marts.aging_as_of(date '{day - timedelta(days=90)}')\"",
        "uv run receivables airflow     # the same DAGs in the browser",
    ):
        out.print(f"  [cyan]{command}[/]", soft_wrap=True)


def _ageing_table(facts: dict[str, Any]) -> Table:
    """One line per company, one column per bucket, in the company's own currency."""
    buckets = list(dict.fromkeys(row["aging_bucket"] for row in facts["ageing"]))
    companies: dict[str, dict[str, Decimal]] = {}
    for row in facts["ageing"]:
        label = f"{row['company_name']} ({row['currency_code']})"
        companies.setdefault(label, {})[row["aging_bucket"]] = row["amount"] or Decimal(0)
    lines = [
        [
            label,
            *(_whole(amounts.get(bucket, Decimal(0))) for bucket in buckets),
            _whole(sum(amounts.values())),
        ]
        for label, amounts in companies.items()
    ]
    title = f"Open receivables at the end of {facts['as_of_date']}, by days past due"
    return console.table(title, ["company", *buckets, "total"], lines, right={*buckets, "total"})


def _whole(amount: Decimal | int) -> str:
    return f"{Decimal(amount).quantize(Decimal(1)):,}"
