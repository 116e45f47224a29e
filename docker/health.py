"""Health check of a container: `health.py COMPONENT` succeeds when Airflow's own monitor calls it healthy.

The monitor compares the last heartbeat in the metadata with the clock. One question to the api-server costs
next to nothing; `airflow jobs check` would load all of Airflow each time.
"""

import json
import os
import sys
import urllib.request
from urllib.parse import urlsplit


def main() -> int:
    component = sys.argv[1]
    server = urlsplit(os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]).netloc
    try:
        with urllib.request.urlopen(f"http://{server}/api/v2/monitor/health", timeout=8) as response:
            status = json.load(response)[component]["status"]
    except (OSError, ValueError, KeyError) as error:
        status = f"unknown: {type(error).__name__}: {error}"
    sys.stdout.write(f"{component}: {status}\n")
    return 0 if status == "healthy" else 1


if __name__ == "__main__":
    raise SystemExit(main())
