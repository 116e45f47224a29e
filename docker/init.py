"""Prepares the metadata, before any other process starts: tables, pools, the administrator's password.

It can run again at any time: after an upgrade it migrates the tables; pools that exist keep their slots.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from receivables.local_airflow import USER
from receivables.settings import PACKAGE_DIR


def main() -> int:
    subprocess.run(["airflow", "db", "migrate"], check=True)
    make_pools()
    write_password(Path("/run/secrets/admin_password") if len(sys.argv) < 2 else Path(sys.argv[1]))
    return 0


def make_pools() -> None:
    wanted = json.loads((PACKAGE_DIR / "pools.json").read_text(encoding="utf-8"))
    listed = subprocess.run(
        ["airflow", "pools", "list", "--output", "json"], check=True, stdout=subprocess.PIPE, text=True
    )
    existing = {pool["pool"] for pool in json.loads(listed.stdout[listed.stdout.index("[") :])}
    missing = {name: pool for name, pool in wanted.items() if name not in existing}
    if missing:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(missing, file)
            file.flush()
            subprocess.run(["airflow", "pools", "import", file.name], check=True)


def write_password(secret: Path) -> None:
    """The auth manager opens its file of passwords for writing; a secret cannot be that file."""
    path = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    content = json.dumps({USER: secret.read_text(encoding="utf-8").strip()}) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)


if __name__ == "__main__":
    raise SystemExit(main())
