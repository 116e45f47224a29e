"""Where things live on this machine. By machine = environment variable; nothing else is read here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PACKAGE_DIR = Path(__file__).resolve().parent


def _path(variable: str, default: Path) -> Path:
    value = os.environ.get(variable)
    return Path(value).expanduser().resolve() if value else default


@dataclass(frozen=True)
class Settings:
    """All paths of one installation.

    `root` is the checkout (dags/, dbt_project/, sources/ …); `home` holds everything that a run
    writes and can be deleted to start over.
    """

    root: Path
    home: Path
    sources_dir: Path
    config_file: Path

    @classmethod
    def load(cls) -> Settings:
        """Read RECEIVABLES_ROOT, _HOME, _SOURCES and _CONFIG; defaults are the checkout's own folders."""
        root = _path("RECEIVABLES_ROOT", PACKAGE_DIR.parent.parent)
        return cls(
            root=root,
            home=_path("RECEIVABLES_HOME", root / "var"),
            sources_dir=_path("RECEIVABLES_SOURCES", root / "sources"),
            config_file=_path("RECEIVABLES_CONFIG", root / "receivables.yml"),
        )

    @property
    def source_names(self) -> list[str]:
        """The names of the source files; nothing of their content is read."""
        return sorted({path.stem for path in self.sources_dir.glob("*.y*ml")})

    @property
    def landing(self) -> Path:
        return self.home / "landing"

    @property
    def warehouse(self) -> Path:
        """The working database. Readers never open it; they read `published`."""
        return self.home / "warehouse" / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        return self.home / "published"

    @property
    def published_database(self) -> Path:
        """What readers open: the last good version, through the link that publishing flips."""
        return self.published / "current" / "receivables.duckdb"

    @property
    def http_state(self) -> Path:
        """Tokens, used-up limits and kept answers of web services; readable by its owner alone."""
        return self.home / "http"

    @property
    def outbox(self) -> Path:
        """Mails are written here when no mail server is configured."""
        return self.home / "outbox"

    @property
    def incidents(self) -> Path:
        """One JSON file per failed task or check, until the alert about it is sent."""
        return self.home / "incidents"

    @property
    def data_docs(self) -> Path:
        return self.home / "data_docs"

    @property
    def dbt_project(self) -> Path:
        return self.root / "dbt_project"

    @property
    def dbt_target(self) -> Path:
        return self.home / "dbt" / "target"

    @property
    def dbt_manifest(self) -> Path:
        """The dbt project as it was last parsed: which models there are, and what they say about columns."""
        return self.home / "dbt" / "parsed" / "manifest.json"

    @property
    def dbt_logs(self) -> Path:
        return self.home / "dbt" / "logs"

    @property
    def demo_erp(self) -> Path:
        """The demo company's ERP, a SQLite file."""
        return self.home / "demo" / "erp.sqlite"

    @property
    def airflow_home(self) -> Path:
        return self.home / "airflow"
