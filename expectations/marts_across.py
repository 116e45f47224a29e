"""Over all published tables: whether they are there, and against the version that readers have now."""

# ruff: noqa: S608 - the SQL is made of names of this project and of quoted literals

from __future__ import annotations

from receivables.checks.suites import MartsScope, Suite, no_rows, rule

MODELS = "data engineering"

# What dashboards and analysts' SQL are written against. A table joins this list when it is documented.
PUBLIC_TABLES = (
    "dim_aging_buckets",
    "dim_companies",
    "dim_customer_history",
    "dim_customers",
    "dim_dates",
    "fct_applications",
    "fct_collection_events",
    "fct_credit_limits",
    "fct_disputes",
    "fct_documents",
    "fct_instalments",
    "fct_ledger_entries",
    "fct_open_item_history",
    "fct_promises",
    "ar_aging_by_parent",
    "ar_aging_daily",
    "ar_aging_snapshots",
    "ar_collection_effectiveness",
    "ar_dso",
    "ar_open_items",
    "ar_payment_behaviour",
    "ar_reconciliation",
    "ar_restatements",
    "ar_roll_forward",
    "ar_turnover",
)
# Their rows describe the past, which only grows.
GROWING = (
    "fct_documents",
    "fct_ledger_entries",
    "fct_applications",
    "ar_aging_daily",
    "ar_dso",
    "ar_roll_forward",
)


def suites(scope: MartsScope) -> list[Suite]:
    kept = 1 - scope.limits["lost_share"]
    return [
        Suite(
            name="marts.tables",
            query="""
                select table_name, estimated_size as rows from duckdb_tables()
                where schema_name = 'marts' and database_name = current_database()
            """,
            rules=(
                rule(
                    "every_public_table_is_there",
                    no_rows(f"""
                        select expected.table_name from ({_named(PUBLIC_TABLES)}) as expected
                        where expected.table_name not in (select table_name from {{batch}})
                    """),
                    says="Every public table is in the version.",
                    severity="critical",
                    note="Dashboards and queries on it break.",
                    owner=MODELS,
                ),
                rule(
                    "no_table_has_lost_most_of_its_rows",
                    no_rows(f"""
                        select before.table_name, before.rows as rows_published, tables.rows
                        from ({_previous(scope)}) as before
                        inner join {{batch}} as tables on before.table_name = tables.table_name
                        where tables.rows < {kept} * before.rows
                    """),
                    says=f"No table about the past has less than {kept:.0%} of its published rows.",
                    severity="critical",
                    note="History is missing: balances and trends of the past would change without a reason.",
                    owner=MODELS,
                ),
                rule(
                    "the_past_only_grows",
                    no_rows(f"""
                        select before.table_name, before.rows as rows_published, tables.rows
                        from ({_previous(scope)}) as before
                        inner join {{batch}} as tables on before.table_name = tables.table_name
                        where tables.rows < before.rows and tables.rows >= {kept} * before.rows
                    """),
                    says="A table about the past has at least as many rows as in the published version.",
                    severity="warning",
                    note="Something that was published is gone; documents are reversed, never deleted.",
                    owner=MODELS,
                ),
            ),
        )
    ]


def _named(tables: tuple[str, ...]) -> str:
    return " union all ".join(f"select '{table}' as table_name" for table in tables)


def _previous(scope: MartsScope) -> str:
    rows = [
        f"select '{table}' as table_name, {scope.previous_rows[table]} as rows"
        for table in GROWING
        if table in scope.previous_rows
    ]
    return " union all ".join(rows or ["select '' as table_name, 0 as rows where false"])
