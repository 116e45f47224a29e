"""A company of any size as canonical Parquet files, made by DuckDB in seconds.

Every value is a function of the row's number, so that two runs on two machines measure the same rows. The
shape follows what real ledgers have: a few large customers, terms of 30 to 60 days, most invoices paid in one
piece and late, some in two, a few credited, written off, disputed, or in a foreign currency.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import duckdb

YEARS = 3
# One customer per so many invoices, and the share of invoices in US dollars.
INVOICES_PER_CUSTOMER = 40
DOLLARS = 0.15

_INVOICES = """
create table numbered as
select
    range as n, hash(range, 1) % 1000000 / 1e6 as luck, hash(range, 2) % 1000000 / 1e6 as pace,
    hash(range, 3) % 1000000 / 1e6 as kind,
    date '{first}' + cast(range * {days} // {invoices} as integer) as invoice_date
from range({delivered});

create table invoices as
select
    'I' || n as invoice_id, 'I' || n as invoice_number,
    'C' || cast(floor(pow(luck, 2) * {customers}) as integer) as customer_id, invoice_date,
    invoice_date + [30, 45, 60][1 + n % 3] as due_date,
    cast(20 + pow(pace * 20, 3) + kind * 90 as decimal(18, 2)) as amount,
    if(kind < {dollars}, 'USD', 'EUR') as currency_code, n,
    invoice_date + cast([30, 45, 60][1 + n % 3] + 25 * ln(1 / (1.0001 - pace)) - 12 as integer) as paid_on,
    case when hash(n, 4) % 1000 < 20 then 'credited' when hash(n, 4) % 1000 < 24 then 'written_off'
        when hash(n, 4) % 1000 < 100 then 'in_parts' else 'paid' end as course,
    timestamp '2000-01-01' + (invoice_date - date '2000-01-01') * interval 1 day + interval 9 hour
        as created_at
from numbered;
"""

_TABLES = {
    "customers": """
        select
            'C' || range as customer_id, 'Customer ' || range as customer_name,
            ['key', 'retail', 'public'][1 + range % 3] as segment, 'DE' as country_code,
            'EUR' as currency_code, 30 as payment_terms_days, 'collector ' || range % 9 as collector,
            true as is_active
        from range({customers})
    """,
    "invoices": "select * exclude (n, paid_on, course) from invoices",
    "receipts": """
        select
            'R' || n || '-' || part as receipt_id, customer_id,
            greatest(paid_on, invoice_date) + cast(20 * part as integer) as receipt_date,
            case when course <> 'in_parts' then amount when part = 0 then half else amount - half end
                as amount,
            currency_code, 'B' || n || '-' || part as bank_reference, invoice_id,
            timestamp '2000-01-01' + interval 9 hour + interval 1 day
                * (greatest(paid_on, invoice_date) + cast(20 * part as integer) - date '2000-01-01')
                as created_at
        from (select *, cast(amount / 2 as decimal(18, 2)) as half from invoices) as invoices
        cross join range(2) as parts(part)
        where (course = 'paid' and part = 0 or course = 'in_parts')
            and greatest(paid_on, invoice_date) + cast(20 * part as integer) <= date '{day}'
    """,
    "applications": """
        select
            receipt_id || '-A' as application_id, 'receipt' as credit_type, receipt_id as credit_id,
            invoice_id, amount, receipt_date as applied_on, created_at
        from receipts
    """,
    "credit_memos": """
        select
            'M' || n as credit_memo_id, customer_id, invoice_date + 10 as credit_memo_date,
            cast(amount / 4 as decimal(18, 2)) as amount, currency_code, invoice_id, 'price' as reason
        from invoices where course = 'credited' and invoice_date + 10 <= date '{day}'
    """,
    "adjustments": """
        select
            'W' || n as adjustment_id, 'write_off' as adjustment_type, due_date + 200 as adjustment_date,
            amount, customer_id, invoice_id, 'insolvent' as reason, 'the head of credit' as approved_by,
            currency_code
        from invoices where course = 'written_off' and due_date + 200 <= date '{day}'
    """,
    "disputes": """
        select 'D' || n as dispute_id, invoice_id, invoice_date + 8 as opened_on, amount, 'quality' as reason
        from invoices where n % 50 = 0 and invoice_date + 8 <= date '{day}'
    """,
    "exchange_rates": """
        select
            date '{first}' - 90 + cast(range as integer) as rate_date, 'USD' as from_currency,
            'EUR' as to_currency, cast(0.9 + 0.05 * sin(range / 60.0) as decimal(18, 6)) as rate
        from range({days} + {nights} + 90)
    """,
}
ENTITIES = tuple(_TABLES)


def write(folder: Path, *, invoices: int, day: date, nights: int = 0) -> None:
    """Write one Parquet file per entity of a company with `invoices` invoices up to `day`, and nights on.

    The rows of a later night are those of the night before and the new ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    days = 365 * YEARS
    numbers = {
        "invoices": invoices,
        "delivered": invoices + invoices * nights // days,
        "first": day - timedelta(days=days - 1),
        "nights": nights,
        "customers": max(invoices // INVOICES_PER_CUSTOMER, 10),
        "days": days,
        "dollars": DOLLARS,
        "day": day + timedelta(days=nights),
    }
    with duckdb.connect() as connection:
        connection.execute(_INVOICES.format(**numbers))
        for name, query in _TABLES.items():
            if name not in ("invoices", "customers"):
                connection.execute(f"create table {name} as {query.format(**numbers)}")
        for name, query in _TABLES.items():
            rows = query.format(**numbers) if name in ("invoices", "customers") else f"from {name}"
            target = folder / f"{name}.parquet"
            excluded = "select * exclude (invoice_id) " if name == "receipts" else ""
            connection.execute(f"copy ({excluded}{rows}) to '{target}' (format parquet)")
