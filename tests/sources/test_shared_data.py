"""Real data, mapped by YAML only, lands complete and to the cent."""

# ruff: noqa: E501 (queries are easier to compare uncut)

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from receivables.settings import Settings
from tests.conftest import PROJECT
from tests.sources.setup import DAY, Case

AMOUNTS = {"invoices": "amount", "receipts": "amount", "applications": "amount"}


def case_of(home: Settings, name: str) -> Case:
    shutil.copyfile(PROJECT / "tests" / "data_sources" / f"{name}.yml", home.sources_dir / f"{name}.yml")
    return Case(replace(home, config_file=PROJECT / "tests" / "data_company.yml"), name)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize("name", ["ibm", "classicmodels", "wwi2019"])
def test_the_canonical_files_land_complete_and_to_the_cent(home: Settings, shared: Path, name: str) -> None:
    case = case_of(home, name)
    report = case.run()
    assert report.refused == 0
    for entity, amount in AMOUNTS.items():
        given = rows(shared / "data" / name / f"{entity}.csv")
        assert case.query(f"select count(*), sum({amount}) from raw_{name}.{entity}") == [
            (len(given), sum(Decimal(row["amount"]) for row in given))
        ]
    assert case.run(DAY, run="again").entities[1].unchanged == len(
        rows(shared / "data" / name / "invoices.csv")
    )


def test_the_file_as_published_equals_the_canonical_files(home: Settings, shared: Path) -> None:
    original, canonical = case_of(home, "ibm_original"), case_of(home, "ibm")
    assert original.run().refused == 0
    canonical.run()
    columns = "invoice_id, customer_id, invoice_date, due_date, amount, currency_code, is_disputed"
    difference = (
        f"select {columns} from raw_ibm_original.invoices except select {columns} from raw_ibm.invoices"
    )
    assert original.query(difference) == []
    settled = (
        "select applications.invoice_id, receipt_date, applied_on, receipts.amount, applications.amount"
        " from raw_{0}.applications inner join raw_{0}.receipts on receipts.receipt_id = applications.credit_id"
    )
    assert original.query(f"{settled.format('ibm_original')} except {settled.format('ibm')}") == []
    assert original.query("select count(*), count(distinct customer_id) from raw_ibm_original.customers") == [
        (100, 100)
    ]


def test_the_dirty_variant_is_reconciled_to_the_row_and_the_cent(home: Settings, shared: Path) -> None:
    """2,586 rows = 2,466 invoices + 120 whose bill is missing; 61 of 100 customers contradict themselves."""
    case = case_of(home, "ibm_dirty")
    report = {entity.entity: entity for entity in case.run().entities}
    given = rows(shared / "data" / "ibm" / "original" / "ibm_ar_with_missing_dirty.csv")
    without_bill = {row["invoiceNumber"] for row in given if not row["PaperlessDate"].strip()}
    countries: dict[str, set[str]] = {}
    for row in given:
        countries.setdefault(row["customerID"], set()).add(row["countryCode"])
    torn = {customer for customer, found in countries.items() if len(found) > 1}
    assert (len(given), len(without_bill), len(countries), len(torn)) == (2586, 120, 100, 61)

    invoices, customers = report["invoices"], report["customers"]
    assert (invoices.rows, invoices.new, invoices.refused) == (2586, 2466, 120)
    assert (report["receipts"].new, report["applications"].new) == (2586, 2586)
    refused = sum(row["customerID"] in torn for row in given)
    copies = len(given) - refused - (100 - 61)
    assert (customers.rows, customers.new, customers.refused) == (2586, 39, refused)
    assert customers.rows == customers.new + customers.refused + copies

    assert dict(
        case.query(
            "select entity || ': ' || reason, count(distinct key) from quality.quarantined_rows group by 1"
        )
    ) == {
        "invoices: sent_at (PaperlessDate): is empty": 120,
        "customers: duplicate key: rows with this key differ and none is newer; all are refused, the earlier"
        " version stays": 61,
    }
    assert {key for key, *_ in case.refused()} == without_bill | torn
    ((loaded, waiting),) = case.query(
        "select (select sum(amount) from raw_ibm_dirty.invoices), (select sum((payload::json ->>"
        " 'InvoiceAmount')::decimal(18, 2)) from quality.quarantined_rows where entity = 'invoices')"
    )
    assert loaded + waiting == sum(Decimal(row["InvoiceAmount"]) for row in given)
    # Their payments wait: the models refuse what points at an invoice that is not there.
    assert case.query(
        "select count(*) from raw_ibm_dirty.applications where invoice_id not in"
        " (select invoice_id from raw_ibm_dirty.invoices)"
    ) == [(120,)]


def test_dates_written_as_floats_are_dates(home: Settings, shared: Path) -> None:
    case = Case(home, "extract")
    case.file.write_text(
        f"""
kind: files
default_currency_code: USD
date_formats: ["%Y%m%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d", "%d-%m-%Y"]
entities:
  invoices:
    path: {shared}/data/highradius_sample_rows.csv
    columns:
      invoice_id: {{template: "{{cust_number}}-{{document_create_date}}-{{total_open_amount}}"}}
      customer_id: cust_number
      invoice_date: document_create_date
      due_date: due_in_date
      posting_date: posting_date
      amount: total_open_amount
      currency_code: invoice_currency
"""
    )
    report = case.run().entities[0]
    given = len(rows(shared / "data" / "highradius_sample_rows.csv"))
    assert (report.rows, report.new + report.refused) == (given, given)
    assert case.query("select count(due_date), count(posting_date) from raw_extract.invoices") == [
        (report.new, report.new)
    ]
    assert [row[1] for row in case.refused() if "duplicate" not in row[1]] == [
        "amount (total_open_amount): '125160.273' has more than 2 decimals"
    ]
