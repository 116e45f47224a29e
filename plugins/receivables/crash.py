"""Points at which a test may kill the process, to prove that a rerun repairs what a crash left behind."""

from __future__ import annotations

import os
import signal


def crash_point(name: str) -> None:
    """Kill this process at once, as a power cut would, when RECEIVABLES_CRASH_AT names this point."""
    if os.environ.get("RECEIVABLES_CRASH_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
