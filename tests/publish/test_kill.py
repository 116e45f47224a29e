"""kill -9 at every step of a publication, while a reader never stops asking."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest

from receivables.publish import current_version, stored_versions
from receivables.settings import Settings
from tests.conftest import PROJECT
from tests.environment import environment
from tests.publish.installation import build_marts, make_installation

FIRST = date(2026, 3, 1)
POINTS = (
    "publish.copied.0",
    "publish.copied.1",
    "publish.refreshed",
    "publish.audited",
    "publish.sealed",
    "publish.renamed",
    "publish.linked",
    "publish.flipped",
    "publish.pruned",
)

PUBLISHER = """
import sys
from datetime import date, timedelta
from receivables.publish import publish
from receivables.settings import Settings
from tests.publish.installation import build_checked

day, run, age = date.fromisoformat(sys.argv[1]), sys.argv[2], timedelta(seconds=int(sys.argv[3]))
settings = Settings.load()
build_checked(settings, day, run)
publish(settings, day, run, minimum_age=age)
"""

# Opens the file anew for each question, as a dashboard without a pool does, and asks both tables at once.
READER = """
import json, sys, time
from pathlib import Path
import duckdb

link, stop = Path(sys.argv[1]), Path(sys.argv[2])
reads, errors, torn, seen = 0, [], [], []
while not stop.exists():
    try:
        with duckdb.connect(str(link), read_only=True) as connection:
            found = connection.execute(
                "select min(edition), max(edition), count(*) from"
                " (select edition from marts.items union all select edition from marts.totals)"
            ).fetchone()
    except Exception as error:
        errors.append(repr(error))
        continue
    reads += 1
    time.sleep(0.002)  # most of the machine is for the publications
    if found[0] != found[1] or found[2] != 1001:
        torn.append(found)
    if not seen or seen[-1] != found[0]:
        seen.append(found[0])
Path(sys.argv[3]).write_text(json.dumps({"reads": reads, "errors": errors, "torn": torn, "seen": seen}))
"""


@pytest.fixture
def installation(tmp_path: Path) -> Settings:
    return make_installation(tmp_path)


def run_publisher(
    settings: Settings, day: date, run: str, *, crash_at: str = "", minimum_age: int = 86_400
) -> int:
    variables = {**os.environ, **environment(settings), "RECEIVABLES_CRASH_AT": crash_at}
    command = [sys.executable, "-c", PUBLISHER, day.isoformat(), run, str(minimum_age)]
    return subprocess.run(command, env=variables, cwd=PROJECT, check=False).returncode


@pytest.mark.slow
def test_a_reader_sees_whole_versions_only_whatever_is_killed(installation: Settings, tmp_path: Path) -> None:
    build_marts(installation, FIRST, edition=0)
    assert run_publisher(installation, FIRST, "r0") == 0
    stop, result = tmp_path / "stop", tmp_path / "result.json"
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(installation.published_database), str(stop), str(result)]
    )
    try:
        for edition, point in enumerate(POINTS, start=1):
            day, run = FIRST + timedelta(days=edition), f"r{edition}"
            build_marts(installation, day, edition=edition)

            assert run_publisher(installation, day, run, crash_at=point) == -signal.SIGKILL, point
            current = current_version(installation)
            assert current is not None
            was_flipped = point in {"publish.flipped", "publish.pruned"}
            assert current.run == (run if was_flipped else f"r{edition - 1}"), point

            assert run_publisher(installation, day, run) == 0, point
            current = current_version(installation)
            assert current is not None
            assert current.run == run, point
    finally:
        time.sleep(0.2)
        stop.touch()
        reader.wait(timeout=30)

    saw = json.loads(result.read_text())
    assert saw["errors"] == []
    assert saw["torn"] == []
    assert saw["seen"] == list(range(len(POINTS) + 1)), "every version in turn, none twice"
    assert saw["reads"] > 100
    assert len(stored_versions(installation)) == len(POINTS) + 1
    assert not list((installation.published / ".candidates").iterdir()), "nothing half-made is left"


@pytest.mark.slow
def test_a_kill_while_old_versions_are_removed_leaves_only_whole_ones(installation: Settings) -> None:
    for edition in range(4):
        build_marts(installation, FIRST + timedelta(days=edition), edition=edition)
        assert run_publisher(installation, FIRST + timedelta(days=edition), f"r{edition}") == 0
    day = FIRST + timedelta(days=4)
    build_marts(installation, day, edition=4)

    killed = run_publisher(installation, day, "r4", crash_at="publish.pruned", minimum_age=0)

    assert killed == -signal.SIGKILL
    assert {version.run for version in stored_versions(installation)} == {"r3", "r4"}
    assert run_publisher(installation, day, "r4", minimum_age=0) == 0
    assert not list((installation.published / ".candidates").iterdir())
