"""Fifty runs, half of which fail critically or are killed, and a reader that never stops asking."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from receivables.publish import current_version
from tests.conftest import PROJECT
from tests.environment import environment
from tests.publish.installation import make_installation
from tests.publish.test_kill import POINTS

FIRST = date(2026, 3, 1)
RUNS = 50
GOOD, CRITICAL = "good", "critical"
# Where a kill comes after the version was sealed and the link flipped, readers rightly have it.
AFTER_THE_FLIP = {"publish.flipped", "publish.pruned"}

# Goes on from run number argv[1]; ends by itself, or is killed where a run says so. What is checked is one
# critical rule, asked of the candidate: a mart row without an amount.
WORKER = """
import json, os, sys
from datetime import date, timedelta
import duckdb
from receivables.checks.report import CheckReport, CheckResult, write_results
from receivables.errors import CheckFailedError
from receivables.publish import build_candidate, publish, record_verdict
from receivables.settings import Settings
from receivables.warehouse import writing
from tests.publish.installation import build_marts
from datetime import UTC, datetime
from pathlib import Path

settings = Settings.load()
plan = json.loads(Path(sys.argv[2]).read_text())
for number in range(int(sys.argv[1]), len(plan)):
    day, run, fate = date.fromisoformat("2026-03-01") + timedelta(days=number), f"r{number}", plan[number]
    Path(sys.argv[3]).write_text(str(number))
    os.environ["RECEIVABLES_CRASH_AT"] = fate
    build_marts(settings, day, edition=number, rows=1_000)
    if fate == "critical":
        with writing(settings.warehouse) as connection:
            connection.execute("update marts.items set amount = null where id = 500")
    candidate = build_candidate(settings, day, run)
    with duckdb.connect(str(candidate), read_only=True) as connection:
        bad = len(connection.execute("from marts.items where amount is null").fetchall())
    result = CheckResult(
        "marts.items", "amounts_are_known", "critical", bad == 0, "Every item has an amount.", f"{bad} rows",
        "no row", bad, (), "", "", datetime.now(UTC).replace(tzinfo=None))
    report = CheckReport(run, day, "marts", None, (result,), Path("index.html"))
    write_results(settings.warehouse, report)
    critical = [f"{each.suite}.{each.check}" for each in report.failed("critical")]
    record_verdict(settings, day, run, checks=1, critical=critical)
    try:
        publish(settings, day, run)
        assert fate != "critical", "a refused candidate was published"
    except CheckFailedError:
        assert fate == "critical", "a good candidate was refused"
"""

# Opens the file anew for each question; a number counts as checked when the same file says that every check
# of its run succeeded.
READER = """
import json, sys, time
from pathlib import Path
import duckdb

link, stop = Path(sys.argv[1]), Path(sys.argv[2])
reads, errors, torn, unchecked, seen = 0, [], [], [], []
while not stop.exists():
    if not link.exists():
        continue  # before the first publication there is nothing to read
    try:
        with duckdb.connect(str(link), read_only=True) as connection:
            low, high, rows, amounts = connection.execute(
                "select min(edition), max(edition), count(*), count(amount) from (select edition, amount"
                " from marts.items union all select edition, amount from marts.totals)"
            ).fetchone()
            checks = connection.execute(
                "select count(*), count(*) filter (where not success) from quality.check_results"
                " where run = ?",
                [f"r{low}"],
            ).fetchone()
    except Exception as error:
        errors.append(repr(error))
        continue
    reads += 1
    time.sleep(0.005)  # as often as a hundred impatient people; the rest of the machine is for the runs
    if low != high or rows != 1001:
        torn.append([low, high, rows])
    if checks != (1, 0) or amounts != rows:
        unchecked.append([low, *checks, amounts])
    if not seen or seen[-1] != low:
        seen.append(low)
Path(sys.argv[3]).write_text(json.dumps(
    {"reads": reads, "errors": errors, "torn": torn, "unchecked": unchecked, "seen": seen}))
"""


def fate(number: int) -> str:
    """Every other run is good; the rest fail their check or are killed, at each point in turn."""
    if number % 2 == 0:
        return GOOD
    return CRITICAL if number % 4 == 1 else POINTS[number // 4 % len(POINTS)]


@pytest.mark.slow
def test_a_reader_never_sees_a_half_state_an_unchecked_number_or_an_error(tmp_path: Path) -> None:
    """A run here is the part that can hurt a reader: fill two small marts, copy them into a candidate, ask
    one critical rule of it, publish; with the functions and crash points of the real run, in a process that
    is really killed. Extraction, dbt and the rule book of `expectations/` are left out: they write only to
    the working database, which no reader opens. The runs are of 50 days; a killed run is not repeated.
    """
    settings = make_installation(tmp_path)
    plan, at = tmp_path / "plan.json", tmp_path / "at"
    stop, result = tmp_path / "stop", tmp_path / "result.json"
    fates = [fate(number) for number in range(RUNS)]
    plan.write_text(json.dumps(fates))
    variables = {**os.environ, **environment(settings)}
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(settings.published_database), str(stop), str(result)]
    )
    killed = []
    try:
        number = 0
        while number < RUNS:
            command = [sys.executable, "-c", WORKER, str(number), str(plan), str(at)]
            ended = subprocess.run(command, env=variables, cwd=PROJECT, check=False).returncode
            number = int(at.read_text()) + 1
            if ended == -signal.SIGKILL:
                killed.append(fates[number - 1])
            else:
                assert ended == 0, f"run {number - 1} ({fates[number - 1]}) broke"
    finally:
        time.sleep(0.2)
        stop.touch()
        reader.wait(timeout=60)

    saw = json.loads(result.read_text())
    visible = [number for number in range(RUNS) if fates[number] in {GOOD, *AFTER_THE_FLIP}]
    assert killed == [each for each in fates if each not in {GOOD, CRITICAL}]
    assert len(killed) + fates.count(CRITICAL) == RUNS // 2
    assert saw["errors"] == []
    assert saw["torn"] == []
    assert saw["unchecked"] == []
    assert saw["reads"] > RUNS
    assert saw["seen"] == sorted(set(saw["seen"])), "readers never go back"
    assert set(saw["seen"]) <= set(visible), "what failed or was killed before the flip is never seen"
    current = current_version(settings)
    assert current is not None
    assert current.run == f"r{visible[-1]}"
