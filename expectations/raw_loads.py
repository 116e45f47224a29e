"""Did the extract arrive whole? One suite per source, over the loads of this run.

What is judged here is the transport: rows and totals that left the source against rows and totals that
arrived, and a load against the loads before it. What the rows say is judged in `raw_entities.py`.
"""

# ruff: noqa: S608 - the SQL is made of names of this project and of quoted literals

from __future__ import annotations

from decimal import Decimal

import great_expectations.expectations as gxe

from receivables.checks.history import Band
from receivables.checks.report import Severity
from receivables.checks.suites import Needs, RawScope, Rule, Suite, no_rows, rule, usual
from receivables.entities import ENTITIES

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
                *_columns(scope),
                *_usual(scope),
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
    told, most = scope.limits["refused_share_warning"], scope.refused_limit
    too_many = f"(rows_refused > {most.share} * rows and rows_refused > {most.rows})"
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
                where {too_many}
            """),
            says=f"No load refuses more than {most.share:.0%} of an entity's rows, and more than {most.rows}:"
            f" refused_limit of sources/{scope.source}.yml.",
            severity="critical",
            note="So many refusals mean that a mapping or a format changed; what is left is not the day's"
            " business.",
            owner=OWNER,
        ),
        rule(
            "hardly_any_row_is_refused",
            no_rows(f"""
                select entity, load_id, rows, rows_refused from {{batch}}
                where rows_refused > {told} * rows
                    and not {too_many}
            """),
            says=f"No load refuses more than {told:.0%} of its rows.",
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
    kept, removed = scope.limits["volume_share"], scope.limits["removed_share"]
    fresh = scope.limits["fresh_days"]
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
                where loads.mode = 'full' and loads.rows < {kept} * usual.rows
            """),
            says=f"A full extract has at least {kept:.0%} of the rows it usually has.",
            severity="critical",
            note="A document that a full extract no longer names counts as removed: receivables would shrink"
            " by everything that the extract left out.",
            owner=OWNER,
        ),
        rule(
            "few_rows_are_removed",
            no_rows(f"""
                select entity, load_id, rows, rows_removed from {{batch}}
                where rows_removed > 10 and rows_removed > {removed} * (rows + rows_removed)
            """),
            says=f"A load removes at most {removed:.0%} of what the source held.",
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
                having max(as_of_date) < date '{scope.day}' - {fresh}
            """),
            says=f"The source brought something new within {fresh} days.",
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


def _columns(scope: RawScope) -> tuple[Rule, ...]:
    """Schema drift: what the source has now against what its last extract had."""
    known = Needs(
        f"select 1 from ({_source_columns(scope)}) as columns where type_before is not null",
        "there is no earlier extract to compare with",
    )

    def drift(name: str, condition: str, says: str, severity: Severity, note: str) -> Rule:
        return rule(
            name,
            no_rows(f"""
                select entity, column_name, type_before, type_now from ({_source_columns(scope)}) as columns
                where entity in (
                        select entity from ({_source_columns(scope)}) as known where type_before is not null
                    )
                    and {condition}
            """),
            says=says,
            severity=severity,
            note=note,
            owner="the source system's owner",
            needs=known,
        )

    return (
        drift(
            "no_source_column_is_lost",
            "type_now is null",
            "The source has every column that it had.",
            "warning",
            "If a report uses it, the report loses it from today on; if it was renamed, it is empty.",
        ),
        drift(
            "no_source_column_changed_its_type",
            "type_now <> type_before and '' not in (type_now, type_before)",
            "Every column of the source has the type that it had.",
            "warning",
            "Numbers that became text, or days that became times, may be read differently than before.",
        ),
        drift(
            "no_source_column_is_new",
            "type_before is null",
            "The source has no column that it had not.",
            "info",
            "It may be the new name of another, or something worth having.",
        ),
    )


def _source_columns(scope: RawScope) -> str:
    """Entity, column, type before and type now of every source column; null = not there, '' = no type."""
    rows = []
    for entity, extract in scope.extracts.items():
        for name in {**extract.columns_before, **extract.columns}:
            before, now = (
                _quoted(types[name]) if name in types else "null::varchar"
                for types in (extract.columns_before, extract.columns)
            )
            rows.append(
                f"select {_quoted(entity)} as entity, {_quoted(name)} as column_name,"
                f" {before} as type_before, {now} as type_now"
            )
    nothing = (
        "select '' as entity, '' as column_name, null::varchar as type_before, null::varchar as type_now"
        " where false"
    )
    return " union all ".join(rows or [nothing])


# Entities whose daily number of rows, and amount, has a rhythm.
RHYTHMIC = ("customers", "invoices", "credit_memos", "receipts", "applications", "adjustments")


def _usual(scope: RawScope) -> tuple[Rule, ...]:
    """Volume and sum against what former runs measured."""

    def band(check: str, least: Decimal) -> Band:
        return scope.history.band(
            f"raw.{scope.source}.loads",
            check,
            scope.day,
            width=scope.limits["usual_width"],
            floor=scope.limits["usual_floor"],
            least=least,
        )

    rules = []
    for name in RHYTHMIC:
        if name not in scope.loaded:
            continue
        what = name.replace("_", " ")
        check = f"new_{name}_are_as_many_as_usual"
        rules.append(
            rule(
                check,
                usual(
                    f"select coalesce(sum(rows_new), 0) as n from {{batch}} where entity = '{name}'",
                    band(check, scope.limits["usual_rows"]),
                ),
                says=f"As many new {what} arrived as on other days like it.",
                severity="warning",
                note="Half an extract, or the same one twice, looks like this; so does a very busy day. Until"
                " somebody has looked, the day's sales and collections are doubtful.",
                owner=OWNER,
            )
        )
        entity = ENTITIES[name]
        if "amount" not in entity.column_names:
            continue
        ids = ", ".join(_quoted(load_id) for load_id in scope.loaded[name])
        currency = "currency_code" if "currency_code" in entity.column_names else "null"
        default = _default_currency(scope)
        for code in scope.currencies.get(name, ()):
            check = f"new_{name}_in_{code}_add_up_to_the_usual"
            rules.append(
                rule(
                    check,
                    usual(
                        f"""
                        select coalesce(sum(amount), 0) as amount from "raw_{scope.source}"."{name}"
                        where _load_id in ({ids}) and _version = 1 and not _is_removed
                            and coalesce({currency}, {default}, '-') = {_quoted(code)}
                        """,
                        band(check, scope.limits["usual_amount"]),
                    ),
                    says=f"The new {what} in {code} add up to what they do on other days like it.",
                    severity="warning",
                    note="A misplaced decimal point or another unit looks like this; so does one very large"
                    " order. The day's sales and collections are doubtful until somebody has looked.",
                    owner="accounts receivable",
                )
            )
    return tuple(rules)


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
    fallback = _default_currency(scope)
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


def _default_currency(scope: RawScope) -> str:
    return f"(select default_currency_code from settings.sources where source = {_quoted(scope.source)})"


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
