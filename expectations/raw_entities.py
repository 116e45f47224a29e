"""Is what arrived sane? One suite per entity of the source, over the rows that this run brought.

The loader refuses what cannot be typed; a rule here either proves that it did, or names what is typed and
still not believable. Suites of entities without a new row are left out: a rule on nothing would pass and say
nothing.
"""

# ruff: noqa: S608 - the SQL is made of names of this project and of quoted literals

from __future__ import annotations

import great_expectations.expectations as gxe

from receivables.checks.suites import Needs, RawScope, Rule, Suite, no_rows, rule
from receivables.entities import ENTITIES, Entity

SOURCE_OWNER = "the source system's owner"
LOAD_OWNER = "data engineering"

# Before this day nothing on a receivables ledger of today was written; a date this old is a typing mistake.
FIRST_DAY = "1990-01-01"

# May be negative: a GL or bank account can be in credit or overdrawn.
SIGNED = {
    ("gl_balances", "balance_amount"),
    ("bank_statements", "opening_balance_amount"),
    ("bank_statements", "closing_balance_amount"),
    ("bank_statements", "transactions_amount"),
}
# The day something happened: never after the load. (Due dates, promised dates and validity may be.)
HAPPENED = {
    "invoice_date",
    "credit_memo_date",
    "receipt_date",
    "applied_on",
    "adjustment_date",
    "opened_on",
    "closed_on",
    "promised_on",
    "event_date",
    "order_date",
    "balance_date",
    "rate_date",
}
# (entity, earlier date, later date, what it means when they are the wrong way round)
ORDERED = (
    (
        "invoices",
        "invoice_date",
        "due_date",
        "The invoice is overdue before it was written; ageing is too old.",
    ),
    ("disputes", "opened_on", "closed_on", "The dispute has no duration; its age and DDO are wrong."),
    ("promises", "promised_on", "promised_date", "The promise counts as broken on the day it is made."),
)
# Without these a document is another document: another age, another currency, another side.
VITAL = {
    "company_id",
    "currency_code",
    "due_date",
    "document_type",
    "status",
    "exchange_rate",
    "credit_type",
    "credit_id",
    "invoice_id",
}
# When a document was written, of those whose late arrival changes a reported month.
DOCUMENT_DATES = {
    "invoices": "invoice_date",
    "receipts": "receipt_date",
    "credit_memos": "credit_memo_date",
    "adjustments": "adjustment_date",
}
# Columns that make two documents the same to an auditor.
TWINS = {
    "invoices": ("customer_id", "amount", "invoice_date", "invoice_number"),
    "receipts": ("customer_id", "amount", "receipt_date", "bank_reference"),
    "credit_memos": ("customer_id", "amount", "credit_memo_date", "credit_memo_number"),
}


def suites(scope: RawScope) -> list[Suite]:
    names = [name for name in ENTITIES if name in {**scope.loaded, **scope.pending}]
    return [_suite(scope, ENTITIES[name]) for name in names]


def _suite(scope: RawScope, entity: Entity) -> Suite:
    return Suite(
        name=f"raw.{scope.source}.{entity.name}",
        query=_arrived(scope, entity),
        key=("_row_key",),
        rules=(
            *_completeness(entity),
            *_words(entity),
            *_amounts(entity),
            *_dates(scope, entity),
            *_order_of_dates(entity),
            *_twins(scope, entity),
            *_versions(),
            *_particular(entity),
            *_emptied(scope, entity),
            *_late(scope, entity),
        ),
    )


def _arrived(scope: RawScope, entity: Entity) -> str:
    """The rows of this run, and those of loads that were never passed and are still the latest."""
    table = f'"raw_{scope.source}"."{entity.name}"'
    query = f"select * from {table} where _load_id in ({_loads(scope, entity.name)}) and not _is_removed"
    if entity.name in scope.pending:
        query += f"""
            and not exists (
                select 1 from {table} as later
                where later._version > 1 and later._row_key = {table}._row_key
                    and later._version > {table}._version
            )
        """
    return query


def _loads(scope: RawScope, entity: str) -> str:
    """SQL: the ids of the loads whose rows are judged."""
    loads = (*scope.loaded.get(entity, ()), *scope.pending.get(entity, ()))
    return ", ".join(_quoted(load_id) for load_id in loads)


def _completeness(entity: Entity) -> list[Rule]:
    return [
        rule(
            f"{column}_is_there",
            gxe.ExpectColumnValuesToNotBeNull(column=column),
            says=f"Every row has a value in {column}.",
            severity="critical",
            note="The row cannot be placed: no balance, no age, or no customer for it.",
            owner=LOAD_OWNER,
        )
        for column in entity.required
    ]


def _words(entity: Entity) -> list[Rule]:
    return [
        rule(
            f"{column.name}_is_known",
            gxe.ExpectColumnValuesToBeInSet(column=column.name, value_set=list(column.values)),
            says=f"{column.name} is one of {', '.join(column.values)}.",
            severity="critical",
            note="A word that no rule knows makes a document count on the wrong side, or not at all.",
            owner=LOAD_OWNER,
        )
        for column in entity.columns
        if column.values
    ]


def _amounts(entity: Entity) -> list[Rule]:
    rules = [
        rule(
            f"{column.name}_is_not_negative",
            gxe.ExpectColumnValuesToBeBetween(column=column.name, min_value=0),
            says=f"{column.name} is not negative: the entity gives the sign.",
            severity="critical",
            note="A negative amount turns a claim into a debt; receivables are wrong by twice the amount.",
            owner=LOAD_OWNER,
        )
        for column in entity.columns
        if column.type == "amount" and (entity.name, column.name) not in SIGNED
    ]
    rules += [
        rule(
            f"{column.name}_is_positive",
            gxe.ExpectColumnValuesToBeBetween(column=column.name, min_value=0, strict_min=True),
            says=f"{column.name} is above zero.",
            severity="critical",
            note="Every amount converted with this rate becomes zero or changes its sign.",
            owner="treasury",
        )
        for column in entity.columns
        if column.type == "rate"
    ]
    return rules


def _dates(scope: RawScope, entity: Entity) -> list[Rule]:
    dates = [column.name for column in entity.columns if column.type == "date"]
    ahead = scope.day.replace(year=scope.day.year + int(scope.limits["years_ahead"]), day=1)
    rules = [
        rule(
            f"{column}_is_believable",
            gxe.ExpectColumnValuesToBeBetween(column=column, min_value=FIRST_DAY, max_value=str(ahead)),
            says=f"{column} lies between {FIRST_DAY} and {ahead}.",
            severity="warning",
            note="A mistyped year puts the document into the oldest bucket, or hides it in the future.",
            owner=SOURCE_OWNER,
        )
        for column in dates
    ]
    rules += [
        rule(
            f"{column}_is_not_after_the_load",
            gxe.ExpectColumnValuesToBeBetween(column=column, max_value=str(scope.day)),
            says=f"{column} is not after the day of the load.",
            severity="warning",
            note="It does not count yet: the balance of today is without it, although the source shows it.",
            owner=SOURCE_OWNER,
        )
        for column in dates
        if column in HAPPENED
    ]
    return rules


def _order_of_dates(entity: Entity) -> list[Rule]:
    return [
        rule(
            f"{earlier}_is_not_after_{later}",
            no_rows(f"select _row_key, {earlier}, {later} from {{batch}} where {earlier} > {later}"),
            says=f"{earlier} is not after {later}.",
            severity="warning",
            note=note,
            owner=SOURCE_OWNER,
        )
        for name, earlier, later, note in ORDERED
        if name == entity.name
    ]


def _twins(scope: RawScope, entity: Entity) -> list[Rule]:
    if entity.name not in TWINS:
        return []
    columns = TWINS[entity.name]
    named = ", ".join(f"arrived.{column}" for column in columns)
    same = " and ".join(f"arrived.{column} = twin.{column}" for column in columns)
    return [
        rule(
            "no_document_arrived_twice_under_two_ids",
            no_rows(f"""
                select arrived._row_key, twin._row_key as same_as, {named}
                from {{batch}} as arrived
                inner join "raw_{scope.source}"."{entity.name}" as twin
                    on {same} and arrived._row_key <> twin._row_key
                where not twin._is_removed
                    and not exists (
                        select 1 from "raw_{scope.source}"."{entity.name}" as later
                        where later._row_key = twin._row_key and later._version > twin._version
                    )
            """),
            says=f"No two documents agree in {', '.join(columns)}.",
            severity="warning",
            note="The same document is probably entered twice: receivables, or payments, are counted double.",
            owner="accounts receivable",
        )
    ]


def _versions() -> list[Rule]:
    return [
        rule(
            "a_version_is_stored_once",
            gxe.ExpectCompoundColumnsToBeUnique(column_list=["_row_key", "_version"]),
            says="A row has each version once.",
            severity="critical",
            note="The document is counted once per copy.",
            owner=LOAD_OWNER,
        ),
        rule(
            "nothing_is_known_before_it_was_loaded",
            no_rows("""
                select _row_key, _version, _known_on, _loaded_on from {batch}
                -- A company whose day is over before the source's knows the row from its own next day.
                where _known_on > _loaded_on + 2 or (_version > 1 and _known_on < _loaded_on)
            """),
            says="A row is known from its load at the latest (but for a company whose day was over before), a"
            " later version not before it.",
            severity="critical",
            note="Reports of past days would change without being reported as restated.",
            owner=LOAD_OWNER,
        ),
    ]


def _particular(entity: Entity) -> list[Rule]:
    rules: list[Rule] = []
    if entity.name == "invoices":
        rules.append(
            rule(
                "tax_is_part_of_the_amount",
                no_rows("select _row_key, amount, tax_amount from {batch} where tax_amount > amount"),
                says="The tax of an invoice is not larger than its amount.",
                severity="warning",
                note="The amount is probably net: receivables are short by the tax.",
                owner=SOURCE_OWNER,
            )
        )
    if entity.name in ("invoices", "receipts", "credit_memos", "applications"):
        rules.append(
            rule(
                "amount_is_not_zero",
                no_rows("select _row_key, amount from {batch} where amount = 0"),
                says="No document or application is over nothing.",
                severity="info",
                note="It changes no balance, but counts as a document in averages per document.",
                owner=SOURCE_OWNER,
            )
        )
    if entity.name == "customers":
        rules.append(
            rule(
                "a_customer_has_a_name",
                gxe.ExpectColumnValuesToNotBeNull(column="customer_name"),
                says="Every customer has a name.",
                severity="info",
                note="Lists show the customer's number instead.",
                owner="master data",
            )
        )
    if entity.name == "exchange_rates":
        rules.append(
            rule(
                "a_rate_connects_two_currencies",
                no_rows("select _row_key, rate from {batch} where from_currency = to_currency and rate <> 1"),
                says="A currency is worth one of itself.",
                severity="warning",
                note="Amounts that need no conversion would be converted.",
                owner="treasury",
            )
        )
    return rules


def _emptied(scope: RawScope, entity: Entity) -> list[Rule]:
    """A renamed column is silent: every row is typed, accepted, and lacks what it had."""
    share = scope.limits["emptied_share"]
    optional = [
        column.name
        for column in entity.columns
        if not column.required and column.name not in ("created_at", "updated_at")
    ]
    rules = []
    for name, columns, severity, note in (
        (
            "no_vital_column_went_empty",
            [column for column in optional if column in VITAL],
            "critical",
            "Documents lost their due date, currency, company or kind: their ages and totals are wrong.",
        ),
        (
            "no_column_went_empty",
            [column for column in optional if column not in VITAL],
            "warning",
            "Reports that group or filter by it lose these rows.",
        ),
    ):
        if not columns:
            continue
        names = ", ".join(_quoted(column) for column in columns)
        counts = ", ".join(f"count({column})" for column in columns)
        rules.append(
            rule(
                name,
                no_rows(f"""
                    select before.column_name, before.filled as filled_before, before.rows as rows_before,
                        arrived.rows
                    from (
                        select unnest([{names}]) as column_name, unnest([{counts}]) as filled,
                            count(*) as rows
                        from "raw_{scope.source}"."{entity.name}"
                        where _load_id not in ({_loads(scope, entity.name)}) and not _is_removed
                    ) as before
                    inner join (
                        select unnest([{names}]) as column_name, unnest([{counts}]) as filled,
                            count(*) as rows
                        from {{batch}}
                    ) as arrived on arrived.column_name = before.column_name
                    where arrived.filled = 0 and arrived.rows >= 10 and before.rows >= 10
                        and before.filled >= {share} * before.rows
                """),
                says=f"No column is empty in all rows that was filled in {share:.0%} of them before"
                f" ({', '.join(columns[:6])}{', …' if len(columns) > 6 else ''}).",
                severity=severity,  # type: ignore[arg-type]
                note=note,
                owner=SOURCE_OWNER,
            )
        )
    return rules


def _late(scope: RawScope, entity: Entity) -> list[Rule]:
    if entity.name not in DOCUMENT_DATES:
        return []
    column, days, share = (
        DOCUMENT_DATES[entity.name],
        scope.limits["late_days"],
        scope.limits["late_share"],
    )
    source, run = _quoted(scope.source), _quoted(scope.run)
    return [
        rule(
            "documents_arrive_in_time",
            no_rows(f"""
                select late, rows, last_day from (
                    select count(*) as rows, count(*) filter (where {column} < _loaded_on - {days}) as late,
                        max(_loaded_on) as last_day
                    from {{batch}} where _version = 1
                ) as arrived
                where rows >= 20 and late > {share} * rows
            """),
            says=f"At most {share:.0%} of new {entity.name.replace('_', ' ')} are more than {days} days old.",
            severity="warning",
            note="Month ends that were reported were short of these documents; they show up as restatements.",
            owner=SOURCE_OWNER,
            needs=Needs(
                f"select 1 from quality.loads where source = {source} and entity = '{entity.name}'"
                f" and run <> {run} and status = 'loaded' and rows_new > 0"
                f" and as_of_date < date '{scope.day}'",
                "it is the first load: all of history arrives at once",
            ),
        )
    ]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
