"""A day killed at every step and run again is the day that nobody disturbed, and readers notice nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from receivables import demo
from receivables.publish import current_version, stored_versions
from receivables.settings import Settings
from tests.close.chain import (
    RECEIVABLES,
    Hashes,
    differences,
    digest,
    environment,
    hashes_in,
    install_demo,
    killed,
    receivables,
)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("close-kill")]

START, YESTERDAY, TODAY = date(2026, 1, 1), date(2026, 3, 30), date(2026, 3, 31)
COMPANY = {"seed": 23, "invoices": 300, "pace_days": 90, "start": START}

# In the order of a run. Each attempt gets past the point at which the one before it was killed.
WHILE_LOADING = (
    "extract.part",
    "extract.manifest",
    "load.invoices",
    "load.before_commit",
    "load.after_commit",
)
AROUND_DBT = ("transform.start", "transform.end", "publish.copied.0")
# While the checked candidate becomes the version that people read.
WHILE_PUBLISHING = (
    "publish.refreshed",
    "publish.sealed",
    "publish.renamed",
    "publish.linked",
    "publish.flipped",
)

# Publishes the checked candidate of a run: the last step of `receivables run`, as the DAGs call it.
PUBLISHER = """
import sys
from datetime import date
from receivables.pipeline import publish_version
from receivables.settings import Settings
publish_version(Settings.load(), date.fromisoformat(sys.argv[1]), sys.argv[2])
"""

READER = """
import json, sys
from pathlib import Path
import duckdb
from tests.close.chain import digest, row_hashes

CHECKED = '''
    select count(*) from quality.runs
    where step = 'check_marts' and status = 'done'
        and as_of_date = (select as_of_date from marts.dim_reporting)
'''
database, stop, result = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
reads, seen, errors, unchecked = 0, [], [], []
Path(sys.argv[4]).touch()
while not stop.exists():
    try:
        with duckdb.connect(database, read_only=True, config={"threads": "1"}) as connection:
            found = digest(row_hashes(connection))
            checked = connection.execute(CHECKED).fetchone()[0]
    except Exception as error:
        errors.append(repr(error))
        continue
    reads += 1
    if found not in seen[-1:]:
        seen.append(found)
    if not checked and found not in unchecked:
        unchecked.append(found)
result.write_text(json.dumps({"reads": reads, "errors": errors, "seen": seen, "unchecked": unchecked}))
"""


@dataclass(frozen=True)
class Morning:
    """An installation that published yesterday, its ERP at today, and today's marts if nothing happens."""

    folder: Path
    yesterday: Hashes
    today: Hashes

    def copy(self, folder: Path) -> Settings:
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        home, sources = folder / "home", folder / "sources"
        described = sources / "demo_erp.yml"
        described.write_text(described.read_text().replace(str(self.folder), str(folder)), encoding="utf-8")
        installed = _installed(self.folder)
        return Settings(
            root=installed.root, home=home, sources_dir=sources, config_file=installed.config_file
        )


def _installed(folder: Path) -> Settings:
    from tests.close.harness import ROOT

    return Settings(
        root=ROOT,
        home=folder / "home",
        sources_dir=folder / "sources",
        config_file=ROOT / "receivables.yml",
    )


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Morning:
    folder = tmp_path_factory.mktemp("morning")
    settings = install_demo(folder)
    demo.create(settings.demo_erp, days=(YESTERDAY - START).days + 1, **COMPANY)
    run(settings, YESTERDAY)
    yesterday = hashes_in(settings.published_database)
    demo.advance(settings.demo_erp, TODAY)
    undisturbed = Morning(folder, yesterday, {}).copy(tmp_path_factory.mktemp("undisturbed"))
    run(undisturbed, TODAY)
    today = hashes_in(undisturbed.published_database)
    assert differences(yesterday, today), "a day brings something"
    return Morning(folder, yesterday, today)


def run(settings: Settings, day: date) -> None:
    """A day that nobody disturbs."""
    answer = receivables(settings, "run", "--as-of", day.isoformat(), "--json")
    assert answer.code == 0, answer.out + answer.err


@dataclass
class Reader:
    """A process that reads the published version over and over, and what it saw."""

    reads: int = 0
    seen: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


@contextmanager
def reading_all_the_time(settings: Settings, folder: Path) -> Iterator[Reader]:
    folder.mkdir(exist_ok=True)
    stop, result, ready = folder / "stop", folder / "result.json", folder / "ready"
    process = subprocess.Popen(
        [sys.executable, "-c", READER, settings.published_database, stop, result, ready],
        env=environment(settings),
    )
    reader = Reader()
    try:
        _wait_for(ready.exists, "the reader has not started")
        yield reader
        time.sleep(0.5)
    finally:
        stop.touch()
        process.wait(timeout=60)
    for name, value in json.loads(result.read_text()).items():
        setattr(reader, name, tuple(value) if isinstance(value, list) else value)


def _wait_for(condition: object, otherwise: str, *, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)


def kill_while_dbt_builds(settings: Settings, day: date, *, model: str, whole_group: bool) -> None:
    """Kill a run when dbt starts on a model; without `whole_group` dbt itself is not killed by us."""
    log = settings.dbt_logs / "dbt.log"
    said_before = log.stat().st_size if log.exists() else 0
    process = subprocess.Popen(
        [sys.executable, "-c", RECEIVABLES, "run", "--as-of", day.isoformat(), "--json"],
        env=environment(settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def is_building() -> bool:
        assert process.poll() is None, "the run ended before dbt came to the model"
        if not log.exists():
            return False
        with log.open("rb") as said:
            said.seek(said_before)
            return f"START sql table model {model}".encode() in said.read()

    try:
        _wait_for(is_building, f"dbt never built {model}")
    finally:
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def assert_readers_saw(reader: Reader, *versions: Hashes) -> None:
    assert reader.errors == ()
    assert reader.unchecked == ()
    assert reader.seen == tuple(map(digest, versions)), "whole versions, each once"
    assert reader.reads > 5


def test_a_day_killed_at_every_step_and_run_again_is_the_undisturbed_day(
    morning: Morning, tmp_path: Path
) -> None:
    settings = morning.copy(tmp_path / "home")
    published = current_version(settings)
    with reading_all_the_time(settings, tmp_path / "reader") as reader:
        for point in WHILE_LOADING:
            killed(settings, TODAY, point)
        killed(settings, TODAY, AROUND_DBT[0])
        kill_while_dbt_builds(settings, TODAY, model="intermediate.int_documents", whole_group=True)
        kill_while_dbt_builds(settings, TODAY, model="marts.fct_ledger_entries", whole_group=False)
        for point in AROUND_DBT[1:]:
            killed(settings, TODAY, point)
        assert current_version(settings) == published
        run(settings, TODAY)
    assert differences(hashes_in(settings.published_database), morning.today) == {}
    assert_readers_saw(reader, morning.yesterday, morning.today)
    assert len(stored_versions(settings)) == 2, "no attempt that was killed left a version behind"


def test_a_publication_killed_anywhere_is_yesterday_or_today_never_between(
    morning: Morning, tmp_path: Path
) -> None:
    first = morning.copy(tmp_path / "home")
    named = ("run", "--as-of", TODAY.isoformat(), "--run", "the-run", "--json")
    answer = receivables(first, *named, variables={"RECEIVABLES_CRASH_AT": "publish.refreshed"})
    assert answer.code == -signal.SIGKILL
    for point in WHILE_PUBLISHING:
        settings = Morning(tmp_path / "home", {}, {}).copy(tmp_path / point)
        with reading_all_the_time(settings, tmp_path / f"{point}.reader") as reader:
            assert _publish(settings, crash_at=point) == -signal.SIGKILL, point
            shown = hashes_in(settings.published_database)
            expected = morning.today if point == "publish.flipped" else morning.yesterday
            assert differences(shown, expected) == {}, point
            assert _publish(settings) == 0, point
        assert differences(hashes_in(settings.published_database), morning.today) == {}, point
        assert_readers_saw(reader, morning.yesterday, morning.today)


def test_a_run_killed_while_publishing_is_continued_by_its_name(morning: Morning, tmp_path: Path) -> None:
    settings = morning.copy(tmp_path / "home")
    named = ("run", "--as-of", TODAY.isoformat(), "--run", "the-run", "--json")
    with reading_all_the_time(settings, tmp_path / "reader") as reader:
        answer = receivables(settings, *named, variables={"RECEIVABLES_CRASH_AT": "publish.linked"})
        assert answer.code == -signal.SIGKILL
        answer = receivables(settings, *named)
        assert answer.code == 0, answer.out + answer.err
    assert differences(hashes_in(settings.published_database), morning.today) == {}
    assert_readers_saw(reader, morning.yesterday, morning.today)


def _publish(settings: Settings, *, crash_at: str = "") -> int:
    done = subprocess.run(
        [sys.executable, "-c", PUBLISHER, TODAY.isoformat(), "the-run"],
        env=environment(settings, RECEIVABLES_CRASH_AT=crash_at),
        check=False,
        timeout=120,
    )
    return done.returncode
