"""What the rule book costs beside the build that it checks: CPU seconds of each, in one run.

    uv run python -m bench.rule_book --invoices 1000000

Each step is a process of its own, as in Airflow, so that its imports count.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from bench import company

ROOT = Path(__file__).resolve().parents[1]
DAY = date(2026, 3, 31)
CONFIG = """
reporting_currency: EUR
companies:
  - {company_id: ACME, company_name: Acme, currency_code: EUR}
"""
STEPS = {
    "extract": "pipeline._extract_all(settings, ['bench'], day, run, None)",
    "load": "pipeline.load_source(settings, 'bench', day, run)",
    "check_raw": "report = pipeline.check_source(settings, 'bench', day, run)",
    "transform": "pipeline.transform_day(settings, day, run)",
    "candidate": "pipeline.candidate(settings, day, run)",
    "check_marts": "report = pipeline.check_candidate(settings, day, run)",
    "publish": "pipeline.publish_version(settings, day, run)",
}
CHECKS = ("check_raw", "check_marts")


@dataclass(frozen=True)
class Cost:
    """One step: CPU and wall seconds, the largest memory so far, and what a check said."""

    step: str
    cpu: float
    wall: float
    megabytes: int
    said: str


def install(folder: Path) -> dict[str, str]:
    """An installation with the company as its only source; the environment of its steps."""
    entities = "".join(f"  {name}: {{path: {name}.parquet}}\n" for name in company.ENTITIES)
    (folder / "sources").mkdir(parents=True, exist_ok=True)
    (folder / "sources" / "bench.yml").write_text(
        f"kind: files\nbase: {folder / 'files'}\ndefault_company_id: ACME\ndefault_currency_code: EUR\n"
        f"entities:\n{entities}"
    )
    (folder / "receivables.yml").write_text(CONFIG)
    return {
        **os.environ,
        "RECEIVABLES_ROOT": str(ROOT),
        "RECEIVABLES_HOME": str(folder / "home"),
        "RECEIVABLES_SOURCES": str(folder / "sources"),
        "RECEIVABLES_CONFIG": str(folder / "receivables.yml"),
    }


def run_step(step: str, day: date, environment: dict[str, str]) -> Cost:
    """Run one step in a process of its own.

    Raises:
        subprocess.CalledProcessError: the step failed; its error is on the terminal.
    """
    code = (
        "from datetime import date\n"
        "from receivables import pipeline\n"
        "from receivables.settings import Settings\n"
        f"settings, day, run, report = Settings.load(), date.fromisoformat('{day}'), '{day}-bench', None\n"
        f"{STEPS[step]}\n"
        "print('said:', report.summary() + ''.join("
        "f'; {r.severity} {r.suite}.{r.check}' for r in report.failed()) if report else 'done')\n"
    )
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said = next(line for line in reversed(done.stdout.splitlines()) if line.startswith("said: "))
    return Cost(step, cpu, time.monotonic() - started, after.ru_maxrss // 1024, said.removeprefix("said: "))


def run_day(folder: Path, day: date, steps: Sequence[str], environment: dict[str, str]) -> None:
    """Run the steps of a day, print what each cost, and the ratio when all were run."""
    costs = {}
    for step in steps:
        costs[step] = cost = run_step(step, day, environment)
        print(
            f"{day} {step:12} {cost.cpu:8.1f} CPU s {cost.wall:8.1f} s {cost.megabytes:6} MB  {cost.said}",
            flush=True,
        )
    if len(costs) < len(STEPS):
        return
    checks = sum(costs[step].cpu for step in CHECKS)
    build = sum(cost.cpu for step, cost in costs.items() if step not in CHECKS)
    print(
        json.dumps(
            {
                "day": str(day),
                "rule_book_cpu_s": round(checks, 1),
                "dbt_cpu_s": round(costs["transform"].cpu, 1),
                "build_cpu_s": round(build, 1),
                "rule_book_to_dbt": round(checks / costs["transform"].cpu, 3),
                "rule_book_to_build": round(checks / build, 3),
            }
        ),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--invoices", type=int, default=100_000)
    parser.add_argument("--nights", type=int, default=1, help="days after the first load; default 1")
    parser.add_argument("--folder", type=Path, help="kept afterwards; default: a temporary one")
    parser.add_argument(
        "--again", nargs="+", choices=STEPS, help="only these steps of the first day, in a kept folder"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="receivables-bench-") as temporary:
        folder = arguments.folder or Path(temporary)
        environment = install(folder)
        if arguments.again:
            run_day(folder, DAY, arguments.again, environment)
            return
        for night in range(arguments.nights + 1):
            company.write(folder / "files", invoices=arguments.invoices, day=DAY, nights=night)
            run_day(folder, DAY + timedelta(days=night), list(STEPS), environment)


if __name__ == "__main__":
    main()
