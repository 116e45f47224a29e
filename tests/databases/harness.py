"""One warehouse that holds the same company several times: as its own ERP has it, and as other systems do."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from receivables import demo
from receivables.extract import extract_all
from receivables.load import load
from receivables.settings import Settings
from receivables.sources import load_source
from receivables.transform import transform
from receivables.warehouse import reading
from tests.conftest import PROJECT

INVOICES, DAYS = 2_000, 400
OWN = "HD"
# Ratios are compared as exactly as they are stored.
METRICS = {
    "ar_dso": "dso, dso_signed, dso_rolling_90, dso_countback, best_possible_dso, ar_amount,"
    " net_sales_amount, flag",
    "ar_turnover": "turnover, turnover_on_daily_average, turnover_days, opening_ar_amount, closing_ar_amount,"
    " flag",
    "ar_collection_effectiveness": "cei, recovery_rate, overdue_rate, overdue_item_rate, collected_amount,"
    " flag",
    "ar_roll_forward": "currency_code, opening_amount, invoices_amount, credit_memos_amount, receipts_amount,"
    " discounts_amount, write_offs_amount, refunds_amount, journals_amount, reversals_amount, closing_amount",
}
AGEING = "aging_bucket, currency_code, open_amount, company_amount, debit_amount, credit_amount, item_count"


@dataclass(frozen=True)
class Warehouse:
    """A built warehouse and the last day of the company in it."""

    settings: Settings
    day: date

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with reading(self.settings.warehouse) as connection:
            return connection.execute(sql).fetchall()

    def days(self, count: int) -> list[date]:
        """Days spread over the history, the last one among them."""
        return [
            date.fromordinal(self.day.toordinal() - number * (DAYS - 20) // (count - 1))
            for number in range(count)
        ]

    def ageing(self, prefix: str, day: date) -> list[tuple[Any, ...]]:
        return self.rows(
            f"select replace(company_id, '{prefix}-', ''), {AGEING} from marts.ar_aging_daily"
            f" where as_of_date = date '{day}' and company_id like '{prefix}-%' and item_count > 0"
            " order by all"
        )

    def by_customer(self, prefix: str) -> list[tuple[Any, ...]]:
        return self.rows(
            f"select as_of_date, customer_name, {AGEING} from marts.ar_aging_snapshots"
            " inner join (select customer_id, customer_name from marts.dim_customers) using (customer_id)"
            f" where snapshot_type = 'month_end' and company_id like '{prefix}-%' order by all"
        )

    def metric(self, prefix: str, mart: str, columns: str) -> list[tuple[Any, ...]]:
        of_scope = "" if mart == "ar_roll_forward" else " and scope_type = 'company'"
        chosen = f"month_end_date, replace(company_id, '{prefix}-', ''), {columns}"
        return self.rows(
            f"select {chosen} from marts.{mart} where company_id like '{prefix}-%'{of_scope} order by all"
        )


def install(folder: Path, prefixes: Iterable[str]) -> Settings:
    """An installation that knows the demo's two companies under each prefix, and its own ERP as a source."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    config = yaml.safe_load((PROJECT / "receivables.yml").read_text(encoding="utf-8"))
    config["companies"] = [
        {**company, "company_id": company["company_id"].replace(f"{OWN}-", f"{prefix}-")}
        for prefix in (OWN, *prefixes)
        for company in config["companies"]
    ]
    file = folder / "receivables.yml"
    file.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    settings = Settings(root=PROJECT, home=folder / "home", sources_dir=sources, config_file=file)
    settings.demo_erp.parent.mkdir(parents=True)
    demo.create(settings.demo_erp, invoices=INVOICES, days=DAYS)
    shutil.copyfile(PROJECT / "sources" / "demo_erp.yml", sources / "demo_erp.yml")
    return settings


def build(settings: Settings) -> Warehouse:
    """Extract and load every source on the last day, and build the marts."""
    day = demo.current_day(settings.demo_erp)
    for file in sorted(settings.sources_dir.glob("*.yml")):
        source = load_source(file)
        extract_all(settings, source, day, "only")
        load(settings, source, day, "only")
    transform(settings, day, f"{day}-only")
    return Warehouse(settings, day)
