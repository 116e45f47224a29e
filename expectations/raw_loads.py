"""Did the extract arrive whole? One suite per source, over the loads of this run.

What is judged here is the transport: rows and totals that left the source against rows and totals that
arrived, and a load against the loads before it. What the rows say is judged in `raw_entities.py`.
"""

# ruff: noqa: S608 - the SQL is made of names of this project and of quoted literals

from __future__ import annotations

import great_expectations.expectations as gxe

from receivables.checks.suites import RawScope, Rule, Suite, no_rows, rule
from receivables.entities import ENTITIES

# A load may refuse this share of its rows before it stops the publication: past it, the mapping is wrong,
# not the rows.
REFUSED_SHARE_CRITICAL = 0.20
REFUSED_SHARE_WARNING = 0.01
# A full extract with less than this share of its usual rows closes the documents it does not name.
VOLUME_SHARE = 0.50
# Removing this share of what a source held is rarely meant.
REMOVED_SHARE = 0.05
# No source of receivables is silent for longer, holidays included.
FRESH_DAYS = 10

OWNER = "data engineering"


def suites(scope: RawScope) -> list[Suite]:
    if not scope.loaded:
        return [_nothing_loaded(scope)]
    loads = f"""
        select * from quality.loads
        where source = {_quoted(scope.source)} and run = {_quoted(scope.run)}
    """
    return [
        Suite(
            name=f"raw.{scope.source}.loads",
            query=loads,
            key=("entity", "load_id"),
            rules=(
                *_arrival(scope),
                *_totals(scope),
                *_history(scope),
            ),
        )
    ]


def _nothing_loaded(scope: RawScope) -> Suite:
    return Suite(
        name=f"raw.{scope.source}.loads",
        query=f"select * from quality.loads where source = {_quoted(scope.source)} and run ="
        f" {_quoted(scope.run)}",
        rules=(
            rule(
                "the_run_loaded_something",
                gxe.ExpectTableRowCountToBeBetween(min_value=1),
                says="The run recorded at least one load.",
                severity="critical",
                note="Nothing of the day reached the warehouse; every figure would be yesterday's under"
                " today's date.",
                owner=OWNER,
            ),
        ),
    )


def _arrival(scope: RawScope) -> tuple[Rule, ...]:
    return (
        rule(
            "every_load_is_finished",
            no_rows(
                "select entity, load_id, status, message from {batch} where status is distinct from 'loaded'"
            ),
            says="Every load of the run is finished.",
            severity="critical",
            note="Part of the day is missing: balances would be of two different moments.",
            owner=OWNER,
        ),
        rule(
            "the_load_counts_what_the_extract_wrote",
            no_rows(f"""
                select loads.entity, loads.load_id, loads.rows, extracts.rows as rows_extracted
                from {{batch}} as loads
                inner join ({_extracts(scope)}) as extracts on loads.entity = extracts.entity
                where loads.rows <> extracts.rows or loads.checksum is distinct from extracts.checksum
            """),
            says="A load counts as many rows, with the same checksum, as its extract wrote.",
            severity="critical",
            note="Something else was loaded than what left the source; no figure of this source can be"
            " trusted.",
            owner=OWNER,
        ),
        rule(
            "every_row_is_accounted_for",
            no_rows(f"""
                select loads.entity, loads.load_id, loads.rows, rows_new, rows_changed, rows_unchanged,
                    rows_refused, loads.message
                from {{batch}} as loads
                left join ({_extracts(scope)}) as extracts on loads.entity = extracts.entity
                where loads.rows < {_COUNTED}
                    or (
                        loads.rows > {_COUNTED}
                        and rows_refused = 0
                        and not coalesce(extracts.is_distinct, true)
                    )
            """),
            says="Every extracted row was stored, recognised as known, refused with a reason, or waits for"
            " its day.",
            severity="critical",
            note="Documents got lost between the source and the warehouse; receivables are wrong by their"
            " amounts.",
            owner=OWNER,
        ),
        rule(
            "rows_are_stored",
            no_rows(f"""
                select loads.entity, loads.load_id, loads.rows_new, loads.rows_changed, loads.rows_removed,
                    coalesce(stored.rows, 0) as rows_stored
                from {{batch}} as loads
                left join ({_stored(scope)}) as stored on loads.load_id = stored.load_id
                where coalesce(stored.rows, 0)
                    <> loads.rows_new + loads.rows_changed + loads.rows_removed
            """),
            says="The raw tables hold exactly the rows that the load says it stored.",
            severity="critical",
            note="Documents are missing from the warehouse, or there twice.",
            owner=OWNER,
        ),
        rule(
            "refused_rows_are_in_quarantine",
            no_rows(f"""
                select loads.entity, loads.load_id, loads.rows_refused,
                    coalesce(held.rows, 0) as rows_in_quarantine
                from {{batch}} as loads
                left join (
                    select entity, count(*) as rows from quality.quarantined_rows
                    where source = {_quoted(scope.source)} group by entity
                ) as held on loads.entity = held.entity
                where coalesce(held.rows, 0) < loads.rows_refused
            """),
            says="Every refused row is in quarantine with its reason.",
            severity="critical",
            note="Rows vanished without a trace: nobody can tell by how much receivables are short.",
            owner=OWNER,
        ),
        rule(
            "few_rows_are_refused",
            no_rows(f"""
                select entity, load_id, rows, rows_refused from {{batch}}
                where rows_refused > {REFUSED_SHARE_CRITICAL} * rows
            """),
            says=f"No load refuses more than {REFUSED_SHARE_CRITICAL:.0%} of its rows.",
            severity="critical",
            note="So many refusals mean that a mapping or a format changed; what is left is not the day's"
            " business.",
            owner=OWNER,
        ),
        rule(
            "hardly_any_row_is_refused",
            no_rows(f"""
                select entity, load_id, rows, rows_refused from {{batch}}
                where rows_refused > {REFUSED_SHARE_WARNING} * rows
                    and rows_refused <= {REFUSED_SHARE_CRITICAL} * rows
            """),
            says=f"No load refuses more than {REFUSED_SHARE_WARNING:.0%} of its rows.",
            severity="warning",
            note="The documents in quarantine are missing from every figure until the source mends them.",
            owner="accounts receivable",
        ),
    )


def _totals(scope: RawScope) -> tuple[Rule, ...]:
    return (
        rule(
            "control_totals_have_arrived",
            no_rows(f"""
                select entity, load_id, currency_code, total_of_source, total_in_warehouse
                from (
                    select
                        announced.entity, announced.load_id, announced.currency_code,
                        announced.total as total_of_source, coalesce(held.total, 0) as total_in_warehouse
                    from (
                        select entity, load_id, currency_code, rows = rows_new + rows_changed as is_all_new,
                            json_extract_string(control_totals, '$."' || currency_code || '"')::decimal(38, 4)
                                as total
                        from (
                            select *, unnest(json_keys(control_totals)) as currency_code
                            from {{batch}}
                        ) as currencies
                        where rows = rows_new + rows_changed
                            or (mode = 'full' and rows = rows_new + rows_changed + rows_unchanged)
                    ) as announced
                    left join ({_held(scope)}) as held
                        on announced.entity = held.entity
                        and announced.currency_code = held.currency_code
                        and announced.is_all_new = held.is_of_this_load
                ) as totals
                where total_of_source <> total_in_warehouse
            """),
            says="The total of each currency in the source is the total of what was stored of it.",
            severity="critical",
            note="Amounts changed on the way: a wrong decimal separator, a lost sign, a truncated column.",
            owner=OWNER,
        ),
    )


def _history(scope: RawScope) -> tuple[Rule, ...]:
    earlier = f"""
        select entity, mode, rows, rows_new, rows_changed, rows_removed, as_of_date, started_at, load_id
        from quality.loads
        where source = {_quoted(scope.source)} and run <> {_quoted(scope.run)} and status = 'loaded'
            and as_of_date <= date '{scope.day}'
    """
    return (
        rule(
            "volume_has_not_collapsed",
            no_rows(f"""
                select loads.entity, loads.load_id, loads.rows, usual.rows as usual_rows
                from {{batch}} as loads
                inner join (
                    select entity, median(rows) as rows, count(*) as loads from ({earlier}) as earlier
                    where mode = 'full' group by entity
                ) as usual on loads.entity = usual.entity
                where loads.mode = 'full' and loads.rows < {VOLUME_SHARE} * usual.rows
            """),
            says=f"A full extract has at least {VOLUME_SHARE:.0%} of the rows it usually has.",
            severity="critical",
            note="A document that a full extract no longer names counts as removed: receivables would shrink"
            " by everything that the extract left out.",
            owner=OWNER,
        ),
        rule(
            "few_rows_are_removed",
            no_rows(f"""
                select entity, load_id, rows, rows_removed from {{batch}}
                where rows_removed > 10 and rows_removed > {REMOVED_SHARE} * (rows + rows_removed)
            """),
            says=f"A load removes at most {REMOVED_SHARE:.0%} of what the source held.",
            severity="warning",
            note="Removed documents leave receivables without a payment; ask the source whether that was"
            " meant.",
            owner="accounts receivable",
        ),
        rule(
            "the_source_is_fresh",
            no_rows(f"""
                select {_quoted(scope.source)} as source, max(as_of_date) as last_new_rows_on
                from (
                    select as_of_date, rows_new + rows_changed as fresh from ({earlier}) as earlier
                    union all
                    select as_of_date, rows_new + rows_changed from {{batch}}
                ) as all_loads
                where fresh > 0
                having max(as_of_date) < date '{scope.day}' - {FRESH_DAYS}
            """),
            says=f"The source brought something new within {FRESH_DAYS} days.",
            severity="warning",
            note="The figures go by today's date and show the business of the day the source stopped.",
            owner=OWNER,
        ),
        rule(
            "a_document_list_is_not_empty",
            no_rows("""
                select entity, load_id, mode, rows from {batch}
                where rows = 0 and mode = 'full' and entity in ('customers', 'invoices')
            """),
            says="A full extract of customers or invoices brings at least one row.",
            severity="critical",
            note="An empty file is a broken export, not a company without customers.",
            owner=OWNER,
        ),
    )


# Rows with a known fate. What the source recorded after the business day waits; the load counts it in words.
_COUNTED = (
    "(rows_new + rows_changed + rows_unchanged + rows_refused"
    " + coalesce(try_cast(regexp_extract(loads.message, '([0-9]+) rows were recorded after', 1) as bigint),"
    " 0))"
)


def _extracts(scope: RawScope) -> str:
    """The manifests of the landing folder as rows."""
    rows = [
        f"select {_quoted(entity)} as entity, {extract.rows} as rows, {_quoted(extract.checksum)} as"
        f" checksum, {extract.is_distinct} as is_distinct"
        for entity, extract in scope.extracts.items()
    ]
    nothing = "select '' as entity, 0 as rows, '' as checksum, false as is_distinct where false"
    return " union all ".join(rows or [nothing])


def _held(scope: RawScope) -> str:
    """Totals per entity and currency: of the rows of this load, and of all rows that are there now."""
    fallback = f"(select default_currency_code from settings.sources where source = {_quoted(scope.source)})"
    selects = []
    for name, load_ids in scope.loaded.items():
        entity = ENTITIES[name]
        amount = next((column.name for column in entity.columns if column.type == "amount"), None)
        if amount is None:
            continue
        currency = "currency_code" if "currency_code" in entity.column_names else "null"
        loads = ", ".join(_quoted(load_id) for load_id in load_ids)
        table = f'"raw_{scope.source}"."{name}"'
        for is_of_this_load, rows in (
            ("true", f"select * from {table} where _load_id in ({loads}) and not _is_removed"),
            (
                "false",
                f"select * from {table} as latest where not _is_removed and _version ="
                f" (select max(_version) from {table} as other where other._row_key = latest._row_key)",
            ),
        ):
            selects.append(
                f"select {_quoted(name)} as entity, {is_of_this_load} as is_of_this_load,"
                f" coalesce({currency}, {fallback}, '-') as currency_code, sum({amount}) as total"
                f" from ({rows}) as stored group by all"
            )
    nothing = "select '' as entity, false as is_of_this_load, '' as currency_code, 0 as total where false"
    return " union all ".join(selects or [nothing])


def _stored(scope: RawScope) -> str:
    """Rows per load id over the raw tables that this run wrote to."""
    return " union all ".join(
        f'select _load_id as load_id, count(*) as rows from "raw_{scope.source}"."{entity}"'
        f" where _load_id in ({', '.join(_quoted(load_id) for load_id in load_ids)}) group by _load_id"
        for entity, load_ids in scope.loaded.items()
        if entity in ENTITIES
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
