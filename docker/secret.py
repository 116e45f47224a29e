"""Prints a secret for an AIRFLOW__…_CMD setting: `secret.py FILE [ADDRESS]`.

What FILE holds, without the line end; with an ADDRESS such as `scheme://user@host/name`, the address with
it as the user's password.
"""

import sys
from pathlib import Path
from urllib.parse import quote


def main() -> None:
    secret = Path(sys.argv[1]).read_text(encoding="utf-8").strip()
    if len(sys.argv) > 2:
        user, _, server = sys.argv[2].partition("@")
        secret = f"{user}:{quote(secret, safe='')}@{server}"
    sys.stdout.write(secret)


if __name__ == "__main__":
    main()
