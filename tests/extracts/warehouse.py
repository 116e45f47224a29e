"""One warehouse with every system's companies in it: built once, asked by every test."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from receivables.extract import extract_all
from receivables.load import LoadReport, load
from receivables.settings import Settings
from receivables.sources import get_source
from receivables.transform import transform
from tests.conftest import PROJECT
from tests.extracts import as_services, as_tables, one_company, sap_company

DAY = date(2026, 2, 28)
ACCOUNT = "US00BANK1"
INVOICES = 2000
SEEDS = Path(__file__).parent / "seeds"
SEED_FILES = {
    "netsuite": "netsuite2_{table}_data",
    "quickbooks": "{table}_data",
    "sage_intacct": "sage_intacct__{table}",
    "stripe": "{table}_data",
    "xero": "xero_{table}_data",
}
WRONG = {"sap": ("BSID", "DMBTR"), "xero": ("invoice", "amount_due")}
FAULT = Decimal("7.00")
SEED_CURRENCY = {"xero": "CAD"}
# The company whose canonical files say what a system's tables say, or a service's answers.
REFERENCE = (
    dict.fromkeys(as_tables.SYSTEMS, "FULL")
    | {"sage_intacct": "NOREFUND", "stripe": "CHARGE"}
    | {name: f"FOR_{name.upper()}" for name in as_services.SERVICES}
)


@dataclass(frozen=True)
class Built:
    """The warehouse, what each load reported, and the companies that went in."""

    settings: Settings
    loads: Mapping[str, LoadReport]
    sap: sap_company.SapCompany

    def rows(self, connection: duckdb.DuckDBPyConnection, sql: str, *given: object) -> list[dict[str, Any]]:
        result = connection.execute(sql, given or None)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def build(folder: Path) -> Built:
    """Write every system's tables, load them all, and build the marts of one day."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    settings = Settings(
        root=PROJECT, home=folder / "home", sources_dir=sources, config_file=folder / "receivables.yml"
    )
    described: dict[str, dict[str, Any]] = {}
    currencies: dict[str, str] = {}
    books = one_company.create(INVOICES)
    said = {
        "FULL": books,
        "NOREFUND": one_company.without_refunds(books),
        "CHARGE": one_company.one_charge_per_invoice(books),
    }
    everything = one_company.with_everything(books)
    said |= {REFERENCE[name]: service.says(everything) for name, service in as_services.SERVICES.items()}
    for company, given in said.items():
        as_tables.write(folder / "canonical" / company, as_tables.canonical(given, company))
        currencies[company] = "USD"
    merge(folder / "canonical", tuple(said))
    described["canonical"] = {
        "kind": "files",
        "base": str(folder / "canonical"),
        "entities": {name: {"path": f"{name}.csv"} for name in as_tables.canonical(books, "FULL")},
    }
    for system, tables in as_tables.SYSTEMS.items():
        as_tables.write(folder / system, tables(said[REFERENCE[system]]))
        currencies[system.upper()] = "USD"
        described[system] = extracts(system, folder / system, system.upper())
    described["sap"]["companies"] = {"1000": "SAP"}
    # What these two say is open is not what their documents come to.
    for system, (table, column) in WRONG.items():
        tables = as_tables.SYSTEMS[system](one_company.create(150))
        wrong = next(row for row in tables[table] if row.get("currency_code", row.get("WAERS")) == "USD")
        tables[table] = [
            {**row, column: Decimal(str(row[column])) + FAULT} if row is wrong else row
            for row in tables[table]
        ]
        as_tables.write(folder / f"{system}_wrong", tables)
        name = f"{system}_wrong"
        currencies[name.upper()] = "USD"
        described[name] = extracts(system, folder / name, name.upper())
    described["sap_wrong"]["companies"] = {"1000": "SAP_WRONG"}
    company = sap_company.create()
    as_tables.write(folder / "sap_all", dict(sap_company.tables(company)))
    currencies["ALL"] = "EUR"
    described["sap_all"] = extracts("sap", folder / "sap_all", "ALL") | {
        "companies": {"1000": "ALL"},
        "options": {"write_off_reasons": ["099"]},
    }
    for system, files in SEED_FILES.items():
        name = f"{system}_seeds"
        currencies[name.upper()] = SEED_CURRENCY.get(system, "USD")
        described[name] = extracts(system, SEEDS / system, name.upper()) | {"files": files}
    # Every seed invoice of Sage Intacct is marked as deleted: here they are not.
    shutil.copytree(SEEDS / "sage_intacct", folder / "undeleted")
    for path in (folder / "undeleted").glob("*.csv"):
        path.write_text(
            path.read_text(encoding="utf-8").replace(",TRUE,2022", ",FALSE,2022"), encoding="utf-8"
        )
    described["sage_undeleted"] = extracts("sage_intacct", folder / "undeleted", "SAGE_UNDELETED") | {
        "files": SEED_FILES["sage_intacct"]
    }
    currencies["SAGE_UNDELETED"] = "USD"
    bank_file(folder / "bank" / "statement.sta", books)
    described["bank"] = {
        "kind": "bank_statements",
        "path": str(folder / "bank"),
        "accounts": {ACCOUNT: "FULL"},
    }
    for name, source in described.items():
        write_source(settings, name, source)
    currencies |= {name.upper(): "USD" for name in as_services.SERVICES}
    settings.config_file.write_text(
        yaml.safe_dump(
            {
                "reporting_currency": "USD",
                "currencies": {"KWD": 3},
                "companies": [
                    {"company_id": one, "company_name": one, "currency_code": currency}
                    for one, currency in currencies.items()
                ],
            }
        ),
        encoding="utf-8",
    )
    run = f"{DAY.isoformat()}-extracts"
    loads = {name: _load(settings, name, run) for name in described}
    for name, service in as_services.SERVICES.items():
        with pytest.MonkeyPatch.context() as patch, service.serve(said[REFERENCE[name]], patch) as source:
            common = {"default_company_id": name.upper(), "default_currency_code": "USD"}
            write_source(settings, name, source | common | {"timezone": "Asia/Shanghai"})
            loads[name] = _load(settings, name, run)
    transform(settings, DAY, run)
    return Built(settings, loads, company)


def write_source(settings: Settings, name: str, source: dict[str, Any]) -> None:
    text = yaml.safe_dump(source, sort_keys=False)
    (settings.sources_dir / f"{name}.yml").write_text(text, encoding="utf-8")


def _load(settings: Settings, name: str, run: str) -> LoadReport:
    extract_all(settings, get_source(settings, name), DAY, run)
    return load(settings, get_source(settings, name), DAY, run)


def bank_file(path: Path, books: one_company.Books) -> None:
    """A statement with one payment of each sort, in dollars."""
    unpaid = [bill for bill in books.invoices.values() if not books.applied(bill.number) and not bill.rate]
    whole, part, first, second = unpaid[:4]
    known = max((one for one in books.receipts.values() if not one.rate), key=lambda one: one.day)
    payments = [
        (whole.amount, f"PAYMENT FULL.{whole.number}"),
        (Decimal("1.00"), f"part of full {part.number}"),
        (first.amount + second.amount, f"FULL/{first.number} and FULL/{second.number}"),
        (Decimal("0.07"), "thank you"),
        (known.amount, "as agreed"),
    ]
    lines = [":20:X", f":25:{ACCOUNT}", ":28C:1", ":60F:C260101USD0,00"]
    for amount, text in payments:
        day = known.day if text == "as agreed" else DAY
        lines += [f":61:{day:%y%m%d}{day:%m%d}C{amount:.2f}NTRFNONREF".replace(".", ","), f":86:{text}"]
    total = sum(amount for amount, _ in payments)
    lines += [f":62F:C{DAY:%y%m%d}USD{total:.2f}".replace(".", ","), "-"]
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def extracts(system: str, folder: Path, company: str) -> dict[str, Any]:
    return {
        "kind": "extracts",
        "system": system,
        "folder": str(folder),
        "default_company_id": company,
        "entities": {"gl_balances": {}},
    }


def merge(folder: Path, companies: tuple[str, ...]) -> None:
    """One file per entity from the files of several companies."""
    for path in sorted((folder / companies[0]).glob("*.csv")):
        rows = []
        for company in companies:
            with (folder / company / path.name).open(encoding="utf-8", newline="") as handle:
                rows += list(csv.DictReader(handle))
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with (folder / path.name).open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, columns)
            writer.writeheader()
            writer.writerows(rows)
