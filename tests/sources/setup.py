"""Small sources for the tests: write a YAML file and its data, extract, load, look into raw."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from receivables.extract import extract_all
from receivables.landing import Manifest
from receivables.load import LoadReport, load
from receivables.settings import Settings
from receivables.sources import SourceConfig, load_source
from receivables.warehouse import reading

DAY = date(2026, 3, 2)
INVOICES = "invoice_id,customer_id,invoice_date,amount,currency_code\n"


@dataclass(frozen=True)
class Case:
    """One source of one installation."""

    settings: Settings
    name: str

    @property
    def file(self) -> Path:
        return self.settings.sources_dir / f"{self.name}.yml"

    @property
    def source(self) -> SourceConfig:
        return load_source(self.file)

    def data(self, name: str, text: str | bytes) -> Path:
        """Write a data file beside the source file."""
        path = self.settings.sources_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text, encoding="utf-8")
        return path

    def extract(self, day: date = DAY, run: str | None = None) -> dict[str, Manifest]:
        return extract_all(self.settings, self.source, day, run or f"run-{day}")

    def run(self, day: date = DAY, run: str | None = None) -> LoadReport:
        """Extract and load one day."""
        self.extract(day, run)
        return load(self.settings, self.source, day, run or f"run-{day}")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with reading(self.settings.warehouse) as connection:
            return connection.execute(sql).fetchall()

    def refused(self) -> list[tuple[Any, ...]]:
        """(key, reason, location, is_resolved) of everything in quarantine."""
        return self.query(
            "select key, reason, location, is_resolved from quality.quarantined_rows"
            " order by location, reason"
        )


def write_source(settings: Settings, text: str, *, name: str = "erp") -> Case:
    case = Case(settings, name)
    case.file.write_text(textwrap.dedent(text), encoding="utf-8")
    return case


def invoice_files(settings: Settings, rows: str = "", *, extra: str = "", top: str = "") -> Case:
    """A source with one file of invoices."""
    case = write_source(
        settings,
        f"kind: files\ndefault_company_id: HD-EU\ndefault_currency_code: EUR\n{top}"
        f"entities:\n  invoices:\n    path: invoices.csv\n{extra}",
    )
    case.data("invoices.csv", INVOICES + rows)
    return case
