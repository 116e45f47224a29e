"""A small installation that can be published: two marts in a warehouse, and what dbt would have left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from receivables.publish import build_candidate, record_verdict
from receivables.settings import Settings
from receivables.transform import project_fingerprint
from receivables.warehouse import writing

FUNCTIONS = """
create or replace macro marts.items_as_of(as_of) as table
    select id, amount from marts.items where valid_from <= cast(as_of as date);
"""


def make_installation(folder: Path) -> Settings:
    """An installation with the models `items` and `totals`; `items.email` is personal data."""
    settings = Settings(
        root=folder / "root",
        home=folder / "home",
        sources_dir=folder / "sources",
        config_file=folder / "receivables.yml",
    )
    functions = settings.dbt_project / "functions"
    functions.mkdir(parents=True)
    (functions / "duckdb.sql").write_text(FUNCTIONS)
    nodes = {
        f"model.receivables.{name}": {
            "resource_type": "model",
            "schema": schema,
            "alias": name,
            "config": {"materialized": "table"},
            "columns": columns,
        }
        for schema, name, columns in (
            ("marts", "items", {"id": {"meta": {}}, "email": {"config": {"meta": {"personal": True}}}}),
            ("marts", "totals", {}),
            ("intermediate", "int_items", {}),
        )
    }
    settings.dbt_manifest.parent.mkdir(parents=True)
    settings.dbt_manifest.write_text(json.dumps({"nodes": nodes}))
    stamp = settings.dbt_manifest.with_name("manifest.json.made_from")
    stamp.write_text(project_fingerprint(settings))
    return settings


def build_marts(settings: Settings, day: date, *, edition: int = 1, rows: int = 1_000) -> None:
    """Fill the warehouse as dbt would for `day`; every row of every mart carries `edition`."""
    with writing(settings.warehouse) as connection:
        connection.execute("create schema if not exists marts")
        connection.execute(
            f"""
            create or replace table marts.items as
            select
                range as id, 'person' || range || '@example.com' as email,
                (range / 7)::decimal(18, 2) as amount,
                {edition} as edition, date '{day}' as valid_from
            from range({rows});
            comment on column marts.items.amount is 'What''s still owed.';
            create or replace table marts.totals as
            select {edition} as edition, sum(amount) as amount from marts.items;
            create or replace table marts.items__dbt_tmp as select 1 as left_by_a_killed_dbt;
            delete from quality.quarantined_rows;
            insert into quality.quarantined_rows (source, entity, key, reason, payload)
            values ('erp', 'customers', 'C1', 'has no currency', '{{"email": "a@example.com"}}')
            """
        )
    settings.dbt_target.mkdir(parents=True, exist_ok=True)
    (settings.dbt_target / "run_results.json").write_text(
        json.dumps(
            {
                "metadata": {"env": {"AS_OF_DATE": day.isoformat()}},
                "args": {},
                "results": [],
                "elapsed_time": 1.0,
            }
        )
    )


def build_checked(settings: Settings, day: date, run: str, *, critical: Sequence[str] = ()) -> Path:
    """A candidate with the verdict of its checks: `critical` are the names of those that failed.

    Returns the public file.
    """
    database = build_candidate(settings, day, run)
    with writing(settings.warehouse) as connection:
        connection.execute("delete from quality.check_results where run = ?", [run])
        for name in critical or ("marts.items.is_whole",):
            suite, _, check = name.rpartition(".")
            connection.execute(
                'insert into quality.check_results (run, as_of_date, suite, "check", severity, observed,'
                " success) values (?, ?, ?, ?, 'critical', '7 rows', ?)",
                [run, day, suite, check, name not in critical],
            )
    record_verdict(settings, day, run, checks=max(len(critical), 1), critical=critical)
    return database
