"""Airflow on this machine, for the demo and for a person: its settings, its processes, and its REST API.

Nothing listens beyond the loopback interface, nothing is reported to anybody, and every process that was
started is stopped again, also when this one is killed.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from receivables.errors import PermanentError, TransientError
from receivables.settings import PACKAGE_DIR, Settings

log = logging.getLogger(__name__)

USER = "admin"
COMPONENTS = ("api-server", "scheduler", "dag-processor")
# Each task is a fork of the scheduler: what that has imported costs the task nothing, instead of seconds.
PRELOADED = (
    "airflow.sdk.execution_time.task_runner",
    "dbt.cli.main",
    "dbt.adapters.duckdb.impl",
    "receivables.checks.runner",
    "receivables.dbt_airflow",
    "receivables.pipeline",
)
FINISHED = {"success", "failed"}
UNFINISHED_TASKS = {"running", "queued", "scheduled", "restarting", "up_for_retry", "deferred"}


def environment(settings: Settings, *, port: int, schedule: str | None = None) -> dict[str, str]:
    """The settings of a small Airflow on one machine. What the environment says already is kept."""
    home = settings.airflow_home
    url = f"http://127.0.0.1:{port}"
    ours = {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": settings.root / "dags",
        "AIRFLOW__CORE__PLUGINS_FOLDER": settings.root / "plugins",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": max(6, (os.cpu_count() or 2) * 3),  # more than the slots of dbt_models
        "AIRFLOW__CORE__MP_START_METHOD": "fork",  # tasks inherit what the scheduler has imported
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": password_file(settings),
        "AIRFLOW__CORE__FERNET_KEY": _secret(home / "fernet.key"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": 1,
        "AIRFLOW__API__SECRET_KEY": _secret(home / "api.key"),
        "AIRFLOW__API_AUTH__JWT_SECRET": _secret(home / "jwt.key"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__SCHEDULER__USE_ROW_LEVEL_LOCKING": "False",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 300,
        "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": 600,
        # Importing dbt takes half a minute on a machine that does other things too.
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": 120,
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": 180,
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
        # A task that ends between two looks at it keeps its worker until the next: 5 seconds by default.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": 1,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": home / "logs",
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
        "AIRFLOW__COSMOS__CACHE_DIR": home / "cosmos",
        "AIRFLOW__COSMOS__ENABLE_MEMORY_OPTIMISED_IMPORTS": "True",
        "AIRFLOW__LINEAGE__BACKEND": "",
        "DO_NOT_TRACK": "1",
        "SCARF_NO_ANALYTICS": "true",
        "RECEIVABLES_ROOT": settings.root,
        "RECEIVABLES_HOME": settings.home,
        "RECEIVABLES_SOURCES": settings.sources_dir,
        "RECEIVABLES_CONFIG": settings.config_file,
        "PYTHONUNBUFFERED": "1",
    }
    if schedule is not None:
        ours["RECEIVABLES_SCHEDULE"] = schedule
    # Tasks start `dbt` by its name: that of this environment, also when it was not activated.
    found = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**{name: str(value) for name, value in ours.items()}, **os.environ, "PATH": found}


def password_file(settings: Settings) -> Path:
    """Where the password of the local user `admin` is; only this user may read it."""
    return settings.airflow_home / "password.json"


def password(settings: Settings) -> str:
    """The password of the local user `admin`, made up on the first call."""
    path = password_file(settings)
    if not path.exists():
        _write_private(path, json.dumps({USER: secrets.token_urlsafe(12)}) + "\n")
    return str(json.loads(path.read_text(encoding="utf-8"))[USER])


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RunningAirflow:
    """A started Airflow: its address, its processes, and how to ask it."""

    settings: Settings
    port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _token: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log_file(self, component: str) -> Path:
        return self.settings.airflow_home / "logs" / f"{component}.log"

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the REST API; `path` starts after /api/v2.

        Raises:
            TransientError: Airflow does not answer.
            PermanentError: it refuses the request.
        """
        if not self._token:
            answer = self._call(
                "POST", "/auth/token", {"username": USER, "password": password(self.settings)}, {}
            )
            self._token = answer["access_token"]
        return self._call(method, f"/api/v2{path}", body, {"Authorization": f"Bearer {self._token}"})

    def trigger(self, dag_id: str, day: str) -> str:
        """Start a DAG for a business day; returns the id of the run."""
        body = {"logical_date": None, "partition_key": day}
        return str(self.request("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def dag_runs(self) -> list[dict[str, Any]]:
        """All runs of all DAGs, the oldest first."""
        return list(self.request("GET", "/dags/~/dagRuns?limit=100&order_by=run_after")["dag_runs"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        path = f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id, safe='')}/taskInstances"
        found: list[dict[str, Any]] = []
        while True:
            page = self.request("GET", f"{path}?limit=100&offset={len(found)}")
            found += page["task_instances"]
            if len(found) >= (page.get("total_entries") or 0) or not page["task_instances"]:
                return found

    def dead_component(self) -> str | None:
        """The name of a process that has ended by itself; None while all run."""
        return next((name for name, process in self.processes.items() if process.poll() is not None), None)

    def _call(self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]) -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:500]
            raise PermanentError(
                f"Airflow: {method} {path}",
                cause=f"answered {error.code}: {said}",
                next_step=f"read {self.log_file('api-server')}",
            ) from error
        except (OSError, ValueError) as error:
            raise TransientError(
                f"Airflow at {self.url}",
                cause=f"does not answer ({error})",
                next_step=f"read {self.log_file('api-server')}",
            ) from error


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Keep a second Airflow out of the same home folder. The lock ends with its process.

    Raises:
        TransientError: one is running already.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "airflow.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TransientError(
                f"home folder {settings.home}",
                cause="an Airflow is running in it already",
                next_step="stop that one (Ctrl-C), or use another folder: RECEIVABLES_HOME",
            ) from error
        yield


@contextmanager
def running(
    settings: Settings,
    *,
    port: int | None = None,
    schedule: str | None = None,
    say: Callable[[str], None] = log.info,
    wait_seconds: float = 120,
) -> Iterator[RunningAirflow]:
    """Start Airflow, wait until it answers and knows the DAGs, and stop it at the end whatever happens."""
    airflow = RunningAirflow(settings, port or free_port())
    env = environment(settings, port=airflow.port, schedule=schedule)
    password(settings)
    airflow.log_file("x").parent.mkdir(parents=True, exist_ok=True)
    try:
        say("preparing Airflow's metadata database")
        _migrate(airflow, env)
        for component in COMPONENTS:
            say(f"starting {component}")
            airflow.processes[component] = _start(airflow, component, env)
        say("waiting for Airflow to answer")
        _wait_until(airflow, lambda: _answers(airflow), wait_seconds)
        _make_pools(airflow)
        say("waiting for the DAGs")
        _wait_until(airflow, lambda: _knows_dags(airflow), wait_seconds)
        yield airflow
    finally:
        stop(airflow)


def stop(airflow: RunningAirflow, *, patience: float = 15) -> None:
    """End every process that was started, and what those have started; kill what does not end by itself."""
    family: list[psutil.Process] = []
    for process in airflow.processes.values():
        try:
            parent = psutil.Process(process.pid)
            family += [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    for process in airflow.processes.values():
        if process.poll() is None:
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=patience)
    for straggler in alive:
        # `children` was taken before: compare by start time, so that a reused id is left alone.
        if straggler.is_running():
            straggler.kill()
    psutil.wait_procs(alive, timeout=5)
    for process in airflow.processes.values():
        process.wait(timeout=5)


def _migrate(airflow: RunningAirflow, env: dict[str, str]) -> None:
    result = subprocess.run(
        [*_airflow_command(), "db", "migrate"], env=env, capture_output=True, text=True, check=False
    )
    airflow.log_file("db-migrate").write_text(result.stdout + result.stderr, encoding="utf-8")
    if result.returncode:
        raise PermanentError(
            "Airflow's metadata database",
            cause=(result.stderr.strip() or result.stdout.strip()).splitlines()[-1],
            next_step=f"read {airflow.log_file('db-migrate')}; a local one can be deleted:"
            f" {airflow.settings.airflow_home / 'airflow.db'}",
        )


def _start(airflow: RunningAirflow, component: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [*_airflow_command(), component]
    if component == "scheduler":
        code = f"import {', '.join(PRELOADED)}; from airflow.__main__ import main; main()"
        # Without --skip-serve-logs it would listen on all interfaces.
        command = [sys.executable, "-c", code, component, "--skip-serve-logs"]
    if component == "api-server":
        command += ["--host", "127.0.0.1", "--port", str(airflow.port)]
    with airflow.log_file(component).open("ab") as output:
        return subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=airflow.settings.airflow_home,
            start_new_session=True,  # Ctrl-C reaches only this process, which then stops them in order
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )


def _end_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _airflow_command() -> list[str]:
    return [sys.executable, "-m", "airflow"]


def _wait_until(airflow: RunningAirflow, ready: Callable[[], bool], wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while not ready():
        dead = airflow.dead_component()
        if dead or time.monotonic() > deadline:
            log_file = airflow.log_file(dead or "api-server")
            raise PermanentError(
                f"Airflow's {dead or 'start'}",
                cause=f"{'ended' if dead else 'took longer than'} {'' if dead else f'{wait_seconds:.0f} s'}: "
                f"{_tail(log_file)}",
                next_step=f"read {log_file}",
            )
        time.sleep(0.25)


def _tail(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "it wrote no log"


def _answers(airflow: RunningAirflow) -> bool:
    try:
        airflow.request("GET", "/pools?limit=1")
    except TransientError:
        return False
    return True


def _knows_dags(airflow: RunningAirflow) -> bool:
    errors = airflow.request("GET", "/importErrors?limit=5")["import_errors"]
    if errors:
        raise PermanentError(
            f"DAG file {errors[0]['filename']}",
            cause=str(errors[0]["stack_trace"]).strip().splitlines()[-1],
            next_step="correct the file, or the source or dbt project that it reads",
        )
    found = {dag["dag_id"] for dag in airflow.request("GET", "/dags?limit=100")["dags"]}
    wanted = {path.stem for path in (airflow.settings.root / "dags").glob("*_receivables.py")}
    wanted |= {f"ingest_{name}" for name in airflow.settings.source_names}
    return wanted <= found


def _make_pools(airflow: RunningAirflow) -> None:
    pools = json.loads((PACKAGE_DIR / "pools.json").read_text(encoding="utf-8"))
    existing = {pool["name"] for pool in airflow.request("GET", "/pools?limit=100")["pools"]}
    for name, pool in pools.items():
        if name not in existing:
            airflow.request("POST", "/pools", {"name": name, **pool})


def _secret(path: Path) -> str:
    """A secret of this installation, made up once. The form is one that Fernet takes too."""
    if not path.exists():
        from cryptography.fernet import Fernet

        _write_private(path, Fernet.generate_key().decode())
    return path.read_text(encoding="utf-8").strip()


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
