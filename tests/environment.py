"""How a process that a test starts finds its installation."""

from __future__ import annotations

from receivables.settings import Settings


def environment(settings: Settings) -> dict[str, str]:
    """The variables that name the installation."""
    return {
        "RECEIVABLES_ROOT": str(settings.root),
        "RECEIVABLES_HOME": str(settings.home),
        "RECEIVABLES_SOURCES": str(settings.sources_dir),
        "RECEIVABLES_CONFIG": str(settings.config_file),
    }
