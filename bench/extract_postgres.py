"""How fast a million invoices come out of PostgreSQL, against a bare copy of the same tables to Parquet.

`python -m bench.extract_postgres` starts a PostgreSQL server of its own, fills it on the server, copies and
extracts the tables in turn, each time in a fresh process, and prints rows, seconds, ratio and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from tests.servers import Postgres, postgres_server

DAY = date(2026, 6, 30)
PROJECT = Path(__file__).resolve().parent.parent

TABLES = {
    "customer": """
        select
            'C' || n as code, 'Customer ' || n as name, 'HD-EU' as company_code, 'EUR' as currency,
            (array['key_account', 'distributor', 'sme'])[1 + n % 3] as segment, 30 as terms_days,
            timestamp '2024-01-01 08:00:00' as created_at, timestamp '2024-01-01 08:00:00' as updated_at
        from generate_series(1, {invoices} / 50) as n
    """,
    "sales_invoice": """
        select
            'INV-' || n as doc_no, 'C' || 1 + n % ({invoices} / 50) as customer_code,
            'HD-EU' as company_code,
            (array['INV', 'INV', 'INV', 'DM'])[1 + n % 4] as doc_type,
            date '2024-01-01' + n % 900 as doc_date, date '2024-01-01' + n % 900 as posting_date,
            date '2024-01-31' + n % 900 as due_date, (array['EUR', 'EUR', 'USD'])[1 + n % 3] as currency,
            ((n::bigint * 7919) % 10000000 + 1)::numeric(18, 2) / 100 as gross_amount,
            ((n::bigint * 7919) % 1000000)::numeric(18, 2) / 100 as tax_amount,
            case when n % 3 = 2 then 0.92150000 else 1 end::numeric(18, 8) as fx_rate,
            (array['POSTED', 'VOID'])[1 + n % 40 / 38] as doc_status,
            null::date as void_date, 30 as terms_days, 'PO ' || n as customer_ref,
            'Sales ' || n % 40 as salesperson,
            timestamp '2024-01-01 08:00:00' + n % 900 * interval '1 day' as created_at,
            timestamp '2024-01-01 09:00:00' + n % 900 * interval '1 day' as updated_at
        from generate_series(1, {invoices}) as n
    """,
    "cash_receipt": """
        select
            'R-' || n as receipt_no, 'C' || 1 + n % ({invoices} / 50) as customer_code,
            'HD-EU' as company_code,
            date '2024-02-15' + n % 860 as receipt_date, date '2024-02-15' + n % 860 as posting_date,
            'EUR' as currency, ((n::bigint * 104729) % 10000000 + 1)::numeric(18, 2) / 100 as amount,
            1::numeric(18, 8) as fx_rate, 'bank_transfer' as method, 'BANK ' || n as bank_ref,
            'POSTED' as doc_status,
            timestamp '2024-02-15 08:00:00' + n % 860 * interval '1 day' as created_at,
            timestamp '2024-02-15 09:00:00' + n % 860 * interval '1 day' as updated_at
        from generate_series(1, {invoices} * 7 / 10) as n
    """,
    "settlement": """
        select
            'S-' || n as settlement_no, 'RCPT' as credit_kind,
            'R-' || 1 + n % ({invoices} * 7 / 10) as credit_no,
            'INV-' || n as invoice_no, ((n::bigint * 7919) % 100000 + 1)::numeric(18, 2) / 100 as amount,
            0::numeric(18, 2) as discount_amount, date '2024-02-15' + n % 860 as settled_on,
            timestamp '2024-02-15 08:00:00' + n % 860 * interval '1 day' as created_at,
            timestamp '2024-02-15 09:00:00' + n % 860 * interval '1 day' as updated_at
        from generate_series(1, {invoices}) as n
    """,
}

SOURCE = """
kind: sql
connection: {postgresql: "${BENCH_URL}"}
default_company_id: HD-EU
entities:
  customers:
    table: customer
    columns:
      customer_id: code
      customer_name: name
      company_id: company_code
      currency_code: currency
      payment_terms_days: terms_days
  invoices:
    table: sales_invoice
    mode: incremental
    cursor: updated_at
    columns:
      invoice_id: doc_no
      customer_id: customer_code
      company_id: company_code
      document_type: {from: doc_type, values: {INV: invoice, DM: debit_memo}}
      invoice_date: doc_date
      currency_code: currency
      amount: gross_amount
      exchange_rate: fx_rate
      status: {from: doc_status, values: {POSTED: posted, VOID: void}}
      voided_on: void_date
      reference: customer_ref
  receipts:
    table: cash_receipt
    mode: incremental
    cursor: updated_at
    columns:
      receipt_id: receipt_no
      customer_id: customer_code
      company_id: company_code
      currency_code: currency
      exchange_rate: fx_rate
      bank_reference: bank_ref
      status: {from: doc_status, values: {POSTED: posted}}
  applications:
    table: settlement
    mode: incremental
    cursor: updated_at
    columns:
      application_id: settlement_no
      credit_type: {from: credit_kind, values: {RCPT: receipt}}
      credit_id: credit_no
      invoice_id: invoice_no
      applied_on: settled_on
"""


def fill(server: Postgres, invoices: int) -> None:
    """The tables, made on the server: no row crosses the network before it is measured."""
    for table, select in TABLES.items():
        server.execute(f"create table {table} as {select.format(invoices=invoices)}", f"analyze {table}")


def bare_copy(url: str, folder: Path) -> int:
    """What any copy must do: stream each table through ADBC into one Parquet file."""
    import adbc_driver_postgresql.dbapi
    import pyarrow.parquet as pq

    rows = 0
    with adbc_driver_postgresql.dbapi.connect(url, autocommit=True) as connection:
        for table in TABLES:
            with connection.cursor() as cursor:
                cursor.execute(f"select * from {table}")
                reader = cursor.fetch_record_batch()
                with pq.ParquetWriter(folder / f"{table}.parquet", reader.schema) as writer:
                    for batch in reader:
                        writer.write_batch(batch)
                        rows += batch.num_rows
    return rows


def extract_all(folder: Path) -> int:
    """The project's own extract: typed, checked, hashed, with control totals."""
    from receivables import extract
    from receivables.settings import Settings
    from receivables.sources import load_source

    sources = folder / "sources"
    sources.mkdir()
    (sources / "erp.yml").write_text(SOURCE, encoding="utf-8")
    settings = Settings(
        root=PROJECT, home=folder / "home", sources_dir=sources, config_file=PROJECT / "receivables.yml"
    )
    manifests = extract.extract_all(settings, load_source(sources / "erp.yml"), DAY, "bench")
    assert not any(manifest.refused_rows for manifest in manifests.values())
    return sum(manifest.rows for manifest in manifests.values())


def measure(way: str) -> dict[str, Any]:
    """Run one way in this process; imports are not counted, peak memory is."""
    import duckdb  # noqa: F401  (both ways start with everything imported)

    import receivables.extract  # noqa: F401

    with tempfile.TemporaryDirectory(prefix="receivables-bench-") as name:
        started, used = time.perf_counter(), time.process_time()
        rows = bare_copy(os.environ["BENCH_URL"], Path(name)) if way == "bare" else extract_all(Path(name))
        return {
            "way": way,
            "rows": rows,
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - used,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def in_a_process(way: str, url: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.extract_postgres", "--way", way],
        check=True, cwd=PROJECT, env={**os.environ, "BENCH_URL": url}, stdout=subprocess.PIPE,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--invoices", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", choices=("bare", "extract"), help="one way, in this process")
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measure(arguments.way)))
        return
    with postgres_server() as server:
        fill(server, arguments.invoices)
        results = [
            in_a_process(way, server.url()) for _ in range(arguments.repeats) for way in ("bare", "extract")
        ]
    best = {
        way: min((one for one in results if one["way"] == way), key=lambda one: one["seconds"])
        for way in ("bare", "extract")
    }
    for one in results:
        print(
            f"{one['way']:8} {one['rows']:>10,} rows {one['seconds']:7.1f} s {one['cpu_seconds']:7.1f} CPU s"
            f" {one['peak_mb']:6.0f} MB"
        )
    ratio = best["bare"]["seconds"] / best["extract"]["seconds"]
    print(f"speed of the extract against the bare copy, best of {arguments.repeats}: {ratio:.2f}")


if __name__ == "__main__":
    main()
