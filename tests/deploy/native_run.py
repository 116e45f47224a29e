"""Runs what docker-compose.yml describes without a container engine: `python -m tests.deploy.native_run`.

The folder of the image is put together as the Dockerfile does (its COPY lines, its `uv sync`), and every
service is started with its own command, its own environment and its own secret files; only addresses and
paths are others. As root, the processes run as `nobody`, to whom the image's folder is read-only. A business
day is triggered through the REST API and watched until it is published; a publication that must fail sends
its mail. At the end everything is stopped, and what was found is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psutil
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from receivables import demo
from receivables.errors import TransientError
from receivables.local_airflow import FINISHED, RunningAirflow, free_port
from receivables.settings import Settings
from tests.conftest import PROJECT
from tests.deploy.compose import dockerfile_copies, example_environment, load_compose
from tests.deploy.databases import make_databases, postgres_installation
from tests.servers import Postgres
from tests.servers import _serve_postgres as serve_postgres

LASTING = ("api-server", "scheduler", "dag-processor", "triggerer")
CHAIN = ("ingest_demo_erp_postgres", "transform_receivables", "publish_receivables", "alert_receivables")
# A day of which nothing was built: publishing it fails at once, and somebody has to be told.
NO_SUCH_DAY = "1999-12-31"
NOBODY = 65534


@dataclass
class Native:
    """The services of the compose file as processes of this machine."""

    folder: Path
    postgres: Postgres
    port: int
    mail_port: int
    size: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        variables = {**example_environment(), **self.size, "AIRFLOW_URL": f"http://127.0.0.1:{self.port}"}
        self.services: dict[str, dict[str, Any]] = load_compose(variables)["services"]

    @property
    def app(self) -> Path:
        return self.folder / "app"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def settings(self) -> Settings:
        return Settings(
            root=self.app,
            home=self.home,
            sources_dir=self.app / "docs" / "examples",
            config_file=self.app / "receivables.yml",
        )

    def here(self, text: str) -> str:
        """A word of the compose file with this machine's addresses and paths."""
        whole = {
            "/app": str(self.app),
            "/var/lib/receivables": str(self.home),
            "0.0.0.0": "127.0.0.1",
            "postgres": self.postgres.host,
            "5432": str(self.postgres.port),
            "8080": str(self.port),
        }
        if text in whole:
            return whole[text]
        for there, here in {
            "/app/": f"{self.app}/",
            "/var/lib/receivables/": f"{self.home}/",
            "/run/secrets/": f"{self.folder}/secrets/",
            "postgres:5432": f"{self.postgres.host}:{self.postgres.port}",
            "api-server:8080": f"127.0.0.1:{self.port}",
            "mail:1025": f"127.0.0.1:{self.mail_port}",
        }.items():
            text = text.replace(there, here)
        return text

    def environment(self, service: str) -> dict[str, str]:
        """What the container would see: the image's own variables and the service's; nothing of ours."""
        image = {
            "HOME": str(self.folder / "tmp"),
            "TMPDIR": str(self.folder / "tmp"),
            "LANG": "C.UTF-8",
            "PATH": f"{self.app}/.venv/bin:/usr/local/bin:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        given = self.services[service].get("environment", {})
        return image | {name: self.here(value) for name, value in given.items()}

    def run(self, service: str, command: list[str] | None = None, *, check: bool = True) -> str:
        """Run a command in the place of a service's container, and give what it says."""
        words = [self.here(word) for word in command or self.services[service]["command"]]
        entrypoint = [] if command else [str(self.app / "docker" / "entrypoint.sh")]
        done = subprocess.run(
            [*entrypoint, *words],
            env=self.environment(service),
            cwd=self.app,
            capture_output=True,
            text=True,
            check=False,
            **as_nobody(),
        )
        if check and done.returncode:
            raise RuntimeError(f"{service} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout.strip() if done.returncode == 0 else ""

    def start(self, service: str) -> None:
        words = [self.here(word) for word in self.services[service]["command"]]
        with self.log(service).open("wb") as output:
            self.processes[service] = subprocess.Popen(
                [self.app / "docker" / "entrypoint.sh", *words],
                env=self.environment(service),
                cwd=self.app,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **as_nobody(),
            )

    def log(self, service: str) -> Path:
        return self.folder / f"{service}.log"

    def is_healthy(self, service: str) -> bool:
        """Ask the health check of the compose file."""
        if (code := self.processes[service].poll()) is not None:
            raise RuntimeError(f"{service} ended with {code}:\n{self.log(service).read_text()[-3000:]}")
        return bool(self.run(service, self.services[service]["healthcheck"]["test"][1:], check=False))

    def listening(self) -> set[str]:
        """The addresses on which the services, and what they have started, take connections."""
        family = {process.pid for process in self.processes.values()}
        family |= {child.pid for pid in set(family) for child in psutil.Process(pid).children(recursive=True)}
        return {
            socket.laddr.ip
            for socket in psutil.net_connections("inet")
            if socket.pid in family and socket.status == psutil.CONN_LISTEN
        }

    def stop(self) -> dict[str, int]:
        """End all as the engine would: SIGTERM, and after a minute SIGKILL; gives the exit codes."""
        family = [
            child
            for process in self.processes.values()
            if process.poll() is None
            for child in psutil.Process(process.pid).children(recursive=True)
        ]
        for service in reversed(self.processes):
            if self.processes[service].poll() is None:
                self.processes[service].send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)
        for straggler in psutil.wait_procs(family, timeout=10)[1]:
            straggler.kill()
        return {service: process.returncode for service, process in self.processes.items()}


class Mailbox(Message):
    """Keeps the subjects of the mails it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.subjects: list[str] = []

    def handle_message(self, message: Any) -> None:
        self.subjects.append(str(message["Subject"]))


def as_nobody() -> dict[str, Any]:
    """Arguments for `subprocess`: root becomes `nobody`, anybody else stays who they are."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def build_app(folder: Path) -> None:
    """Put the image's folder together: the Dockerfile's COPY lines, and its environment."""
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "secrets", "target", "logs", "*.duckdb", ".user.yml")
    for sources, destination in dockerfile_copies():
        for source in sources:
            target = folder / destination / (source if destination.endswith("/") else "")
            if (PROJECT / source).is_dir():
                shutil.copytree(PROJECT / source, target, ignore=ignored)
            else:
                shutil.copyfile(PROJECT / source, target)
    for script in (folder / "docker").glob("*.sh"):
        script.chmod(0o755)
    subprocess.run(
        ["uv", "sync", "--frozen", "--extra", "postgres", "--no-dev", "--quiet"],
        cwd=folder,
        check=True,
        env={**_without_project(os.environ), "UV_COMPILE_BYTECODE": "1", "UV_PYTHON": python_for_all()},
    )


def _without_project(environment: Any) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}


def python_for_all() -> str:
    """A Python that the user of the processes may start: this one, or the system's."""
    for name in (
        Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}",
        Path("/usr/bin/python3"),
    ):
        reachable = all(parent.stat().st_mode & 0o001 for parent in name.resolve().parents)
        if name.exists() and (reachable or os.geteuid() != 0):
            return str(name)
    raise RuntimeError("no Python that `nobody` may start; run this as an ordinary user")


def make_folders(folder: Path) -> None:
    """The secrets, and the folders that are a volume and a tmpfs in the container."""
    subprocess.run([PROJECT / "docker" / "make-secrets.sh", folder / "secrets"], check=True)
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    if os.geteuid() == 0:
        for name in ("home", "tmp", "secrets"):
            shutil.chown(folder / name, NOBODY, NOBODY)
    folder.chmod(0o711)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time, to see whether somebody wrote."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def wait_for(what: str, ready: Callable[[], bool], seconds: float) -> float:
    started = time.monotonic()
    while not ready():
        if time.monotonic() - started > seconds:
            raise RuntimeError(f"{what} took more than {seconds:.0f} s")
        time.sleep(1)
    return time.monotonic() - started


def follow(airflow: RunningAirflow, day: str, dag_ids: tuple[str, ...], seconds: float) -> dict[str, str]:
    """Wait until each of the DAGs has finished a run of the day; gives their states."""
    states: dict[str, str] = {}

    def finished() -> bool:
        for run in airflow.dag_runs():
            if run["partition_key"] == day and run["dag_id"] in dag_ids:
                states[run["dag_id"]] = run["state"]
        broken = [name for name, state in states.items() if state == "failed"]
        return bool(broken) or (set(states) == set(dag_ids) and set(states.values()) <= FINISHED)

    wait_for(f"{', '.join(dag_ids)} of {day}", finished, seconds)
    return states


def published(home: Path) -> dict[str, Any]:
    """What readers find in the published database."""
    database = home / "published" / "current" / "receivables.duckdb"
    with duckdb.connect(str(database), read_only=True) as connection:
        row = connection.execute("select count(*), max(as_of_date) from marts.ar_open_items").fetchone() or (
            0,
            None,
        )
    return {"open items": row[0], "as of": str(row[1])}


def is_up(airflow: RunningAirflow) -> bool:
    try:
        dags = airflow.request("GET", "/dags?limit=100")["dags"]
    except TransientError:
        return False
    errors = airflow.request("GET", "/importErrors?limit=5")["import_errors"]
    if errors:
        raise RuntimeError(errors[0]["stack_trace"])
    return set(CHAIN) <= {dag["dag_id"] for dag in dags}


@contextmanager
def database_server() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="receivables-pg-"))
    try:
        yield from serve_postgres(postgres_installation(), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def native_run(*, invoices: int, days: int, keep: bool) -> dict[str, Any]:
    """Run it all; gives what was found. Raises RuntimeError when something did not come about."""
    found: dict[str, Any] = {"run as": "nobody" if as_nobody() else "the user who started this"}
    folder = Path(tempfile.mkdtemp(prefix="receivables-native-"))
    mailbox = Mailbox()
    with ExitStack() as stack:
        if not keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        say("building the image's folder")
        make_folders(folder)
        build_app(folder / "app")
        before = tree(folder / "app")

        say("starting PostgreSQL and the mail catcher")
        postgres = stack.enter_context(database_server())
        make_databases(postgres, folder / "secrets")
        mail = Controller(mailbox, hostname="127.0.0.1", port=free_port())
        mail.start()
        stack.callback(mail.stop)

        size = {"DEMO_INVOICES": str(invoices), "DEMO_DAYS": str(days)}
        native = Native(folder, postgres, free_port(), mail.port, size)
        stack.callback(native.stop)
        _one_off(native, found)
        _start(native, found)
        airflow = RunningAirflow(native.settings, native.port)
        found["DAGs known after"] = f"{wait_for('the DAGs', lambda: is_up(airflow), 180):.0f} s"
        _run_a_day(native, airflow, found)
        _fail(airflow, mailbox, found)

        found["services listen on"] = sorted(native.listening())
        found["exit codes"] = native.stop()
        written = sorted(name for name, state in tree(folder / "app").items() if before.get(name) != state)
        found["written under /app"] = written
    _judge(found)
    return found


def _one_off(native: Native, found: dict[str, Any]) -> None:
    for service in ("init", "demo-erp"):
        say(f"running {service}")
        started = time.monotonic()
        said = native.run(service)
        found[service] = f"{time.monotonic() - started:.0f} s"
        if service == "demo-erp":
            found["demo ERP"] = said.splitlines()[-1]
    native.run("init")  # a second time, as after an upgrade


def _start(native: Native, found: dict[str, Any]) -> None:
    for service in LASTING:
        say(f"starting {service}")
        native.start(service)
        if service == "api-server":
            wait_for(service, lambda: native.is_healthy("api-server"), 120)
    for service in LASTING:
        wait_for(service, lambda name=service: native.is_healthy(name), 180)
    found["health checks"] = dict.fromkeys(LASTING, "healthy")


def _run_a_day(native: Native, airflow: RunningAirflow, found: dict[str, Any]) -> None:
    day = demo.current_day(native.settings.demo_erp)
    _refuse_wrong_password(native)
    say(f"triggering {CHAIN[0]} for {day}")
    started = time.monotonic()
    airflow.trigger(CHAIN[0], day.isoformat())
    found["states"] = follow(airflow, day.isoformat(), CHAIN, 900)
    found["chain"] = f"{time.monotonic() - started:.0f} s"
    runs = [run for run in airflow.dag_runs() if run["partition_key"] == day.isoformat()]
    tasks = [task for run in runs for task in airflow.tasks(run["dag_id"], run["dag_run_id"])]
    found["tasks"] = {
        state: sum(task["state"] == state for task in tasks) for state in sorted({t["state"] for t in tasks})
    }
    found["business day"] = str(day)
    if set(found["states"].values()) == {"success"}:
        found["published"] = published(native.home)


def _refuse_wrong_password(native: Native) -> None:
    """The REST API takes the secret's password, and no other."""
    import urllib.error
    import urllib.request

    body = json.dumps({"username": "admin", "password": secrets.token_urlsafe(8)}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{native.port}/auth/token", body, {"Content-Type": "application/json"}
    )
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        if error.code == 401:
            return
    raise RuntimeError("the REST API gave a token for a wrong password")


def _fail(airflow: RunningAirflow, mailbox: Mailbox, found: dict[str, Any]) -> None:
    say("triggering a publication that must fail, to see its mail")
    mailbox.subjects.clear()
    airflow.trigger("publish_receivables", NO_SUCH_DAY)
    wait_for("the alert mail", lambda: bool(mailbox.subjects), 180)
    found["mail about a failure"] = mailbox.subjects[0]


def _judge(found: dict[str, Any]) -> None:
    faults = []
    if found["states"] != dict.fromkeys(CHAIN, "success"):
        faults.append(f"the chain: {found['states']}")
    if found.get("published", {}).get("as of") != found["business day"]:
        faults.append(f"published: {found.get('published')}")
    if set(found["services listen on"]) - {"127.0.0.1", "::1"}:
        faults.append(f"services listen on {found['services listen on']}")
    if found["written under /app"]:
        faults.append(f"written under /app: {found['written under /app']}")
    if faults:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        raise RuntimeError("; ".join(faults))


def say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {text}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.native_run", description=__doc__)
    parser.add_argument("--invoices", type=int, default=2_000, help="size of the demo company")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--keep", action="store_true", help="leave the folder with its logs where it is")
    arguments = parser.parse_args()
    found = native_run(invoices=arguments.invoices, days=arguments.days, keep=arguments.keep)
    print(json.dumps(found, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
