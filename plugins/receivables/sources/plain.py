"""The short road from the source's columns to the canonical ones, for rows whose values are plainly right.

Nearly every row of a database is: a date is a date, an amount has few decimals, a word is one of those
allowed. One cheap statement types those without a detour through text, and says which rows it is not sure of.
Only these take the thorough road (`EntityMapping`), which also finds the reasons. Both give the same rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from receivables.entities import Column, Entity
from receivables.sources.base import SourceBatch
from receivables.sources.config import ColumnMap, SourceConfig
from receivables.sources.mapping import (
    CURRENCY_COLUMNS,
    RATE_DECIMALS,
    RAW_DECIMALS,
    REFUSED_SCHEMA,
    YEARS,
    EntityMapping,
    MappedBatch,
    identifier,
    is_signless,
    literal,
    numbered_table,
    plain_table,
    rounded,
    signed,
    trimmed,
)

# Wider decimals could overflow where they are compared.
_WIDEST_DECIMAL = 30


@dataclass(frozen=True)
class _Plain:
    """SQL of one canonical column: its value as read, typed and final, and when that is surely right."""

    read: str
    typed: str
    final: str
    is_sure: str = "true"


class PlainMapping(EntityMapping):
    """The mapping of one entity, quick for plain rows."""

    def __init__(
        self,
        source: SourceConfig,
        entity: Entity,
        *,
        minor_units: Mapping[str, int],
        zones: Mapping[str, str] | None = None,
        cursor: str | None = None,
    ) -> None:
        super().__init__(source, entity, minor_units=minor_units, zones=zones, cursor=cursor)
        self._minor_units = minor_units
        # Currencies with few decimals first: the position of a code then tells its decimals.
        self._codes = sorted(minor_units, key=lambda code: minor_units[code])
        self._plain_statements: dict[tuple[tuple[str, str], ...], str] = {}
        codes = ", ".join(literal(code) for code in self._codes)
        self._connection.execute(f"create type currency as enum ({codes})")

    def map(self, batch: SourceBatch) -> MappedBatch:
        """Map one batch; the same rows as the thorough road gives, in the same order."""
        if batch.table.num_columns == 0 or batch.table.num_rows == 0:
            return super().map(batch)
        table = plain_table(batch.table)
        signature = tuple((field.name, str(field.type)) for field in table.schema)
        if signature not in self._plain_statements:
            self._plain_statements[signature] = self._plain_statement(table.schema)
        numbered = numbered_table(trimmed(table), batch.rows)
        self._connection.register("batch", numbered)
        mapped = self._connection.execute(
            self._plain_statements[signature], {"file": batch.origin}
        ).to_arrow_table()
        self._connection.unregister("batch")
        is_plain = mapped["_is_plain"]
        unsure = mapped.filter(pc.invert(is_plain))["_i"] if not pc.all(is_plain).as_py() else None
        watermark = pc.max(mapped["_watermark"]).as_py() if self.cursor else None
        good = mapped.filter(is_plain) if unsure is not None else mapped
        good = good.select([*self.entity.column_names, "_file", "_row"]).cast(self._good_schema)
        totals = self._totals(good)
        if unsure is None and not batch.unreadable:
            return MappedBatch(good, REFUSED_SCHEMA.empty_table(), totals, watermark)
        taken = pa.array([], pa.int64()) if unsure is None else unsure
        rest = super().map(
            SourceBatch(
                table.take(taken), batch.origin, numbered["·row"].take(taken).to_pylist(), batch.unreadable
            )
        )
        return MappedBatch(
            pa.concat_tables([good, rest.good]).sort_by("_row") if rest.good.num_rows else good,
            rest.refused,
            _added(totals, rest.totals),
            max(filter(None, (watermark, rest.watermark)), default=None),
        )

    # --- the statement ---

    def _plain_statement(self, schema: pa.Schema) -> str:
        names = tuple(schema.names)
        plans = {
            column.name: self._plain(column, self.column_map(column.name, names), schema)
            for column in self.entity.columns
        }
        cursor = "null::timestamp"
        if self.cursor:
            cursor = self._moment(self.cursor, self._cursor_map(names), schema)
        read = ", ".join(f"{plan.read} as t_{name}" for name, plan in plans.items())
        typed = ", ".join(f"{plan.typed} as v_{name}" for name, plan in plans.items())
        final = ", ".join(f"{plan.final} as f_{name}" for name, plan in plans.items())
        sure = " and ".join(f"coalesce({plan.is_sure}, false)" for plan in plans.values())
        return f"""
            with read as (
                select "·i" as _i, "·row" as _row, {read}, {cursor} as _watermark
                from batch
                where {self._where(schema)}
            ),
            typed as (select *, {typed} from read),
            limited as (select *, {self._decimals()} as _decimals from typed),
            final as (select *, {final} from limited)
            select
                {", ".join(f"f_{name} as {identifier(name)}" for name in plans)},
                $file as _file, _row, _i, _watermark, {sure} as _is_plain
            from final
        """  # noqa: S608 (identifiers and literals are quoted)

    def _decimals(self) -> str:
        """SQL: the decimals of the row's currency; a row of an unknown one is not plain anyway."""
        if "currency_code" not in self.entity.column_names:
            return str(RAW_DECIMALS)
        below = {
            digits: bisect_right(self._codes, digits, key=lambda code: self._minor_units[code])
            for digits in sorted(set(self._minor_units.values()))
        }
        cases = " ".join(f"when v_currency_code < {count} then {digits}" for digits, count in below.items())
        without = self._minor_units.get(self.source.default_currency_code or "", RAW_DECIMALS)
        return f"case when v_currency_code is null then {without} {cases} end"

    def _plain(self, column: Column, mapping: ColumnMap | None, schema: pa.Schema) -> _Plain:
        """How one column is typed: natively where the source's type allows, else from its text."""
        read, value = f"t_{column.name}", f"v_{column.name}"
        if mapping is None or mapping.from_terms is not None:
            null = f"null::{column.duckdb_type}"
            typed = "null::integer" if column.name in CURRENCY_COLUMNS else null
            return _Plain(null, typed, null, "false" if mapping or column.required else "true")
        empty = "false" if column.required or mapping.required else f"{read} is null"
        if column.type in {"amount", "rate", "integer"}:
            return self._plain_number(column, mapping, schema, empty=empty)
        text = self._text(column, mapping, schema)
        if column.name in CURRENCY_COLUMNS:
            # The position of the code: a lookup, where a list of 180 codes would be a join.
            return _Plain(
                text, f"enum_code(try_cast({read} as currency))", read, f"({empty} or {value} is not null)"
            )
        if column.type == "text":
            return _Plain(text, read, read, f"({empty} or {_is_allowed(column, read)})")
        if column.type == "boolean":
            typed = self._typed(column, mapping, schema)
            return _Plain(text, typed, value, f"({empty} or {value} is not null)")
        kind = self._native(mapping, schema)
        if kind is not None and (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
            text, typed = identifier(mapping.from_ or ""), self._local(read, kind, column.type, mapping)
        else:
            typed = self._typed(column, mapping, schema)
        final = f"cast({value} as date)" if column.type == "date" else value
        return _Plain(text, typed, final, f"({empty} or {value} {YEARS})")

    def _plain_number(self, column: Column, mapping: ColumnMap, schema: pa.Schema, *, empty: str) -> _Plain:
        read, value, final = f"t_{column.name}", f"v_{column.name}", f"f_{column.name}"
        kind = self._native(mapping, schema)
        scale = {"amount": RAW_DECIMALS, "rate": RATE_DECIMALS, "integer": 0}[column.type]
        target = "integer" if column.type == "integer" else f"decimal(18, {scale})"
        fits = "true"
        if kind is not None and _is_exact(kind):
            source, typed = identifier(mapping.from_ or ""), f"try_cast({read} as {target})"
            if pa.types.is_decimal(kind) and kind.scale > scale:
                fits = f"{value} = {read}"
        else:
            source = self._text(column, mapping, schema)
            typed = (
                f"case when regexp_full_match({read}, '[+-]?\\d{{1,9}}') then cast({read} as integer) end"
                if column.type == "integer"
                else self._numbers(mapping, schema).short(read, digits=scale)
            )
        if column.type == "integer":
            return _Plain(source, typed, value, f"({empty} or ({value} is not null and {fits}))")
        if column.type == "rate":
            if mapping.scale is not None or mapping.round:
                fits = "false"
            return _Plain(source, signed(typed, mapping), value, f"({empty} or ({value} > 0 and {fits}))")
        # `fits` compares with the source's own value, so the sign and the factor come after.
        moved = signed(value, mapping)
        if mapping.scale is not None:
            # Wide enough for any product: one that overflows would stop the whole batch.
            factor = f"cast({literal(str(mapping.scale))} as decimal(12, 8))"
            moved = f"(cast({moved} as decimal(26, 4)) * {factor})"
        exact = "true" if mapping.round else f"{final} = {moved}"
        above = f"{final} >= 0" if is_signless(self.entity, column) else f"{final} is not null"
        return _Plain(source, typed, rounded(moved), f"({empty} or ({above} and {exact} and {fits}))")

    def _native(self, mapping: ColumnMap, schema: pa.Schema) -> pa.DataType | None:
        """The source's type, when its values mean what they are: no words for them, no formats."""
        has_words = mapping.values or mapping.else_ is not None or self._parsing("nulls") or mapping.formats
        return None if mapping.from_ is None or has_words else schema.field(mapping.from_).type

    def _moment(self, name: str, mapping: ColumnMap, schema: pa.Schema) -> str:
        """SQL: a source column as a moment in UTC."""
        kind = self._native(mapping, schema)
        if kind is not None and (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
            return self._local(identifier(name), kind, "timestamp", mapping)
        return self._timestamp(self._source_text(name, schema), mapping)

    def _local(self, value: str, kind: pa.DataType, target: str, mapping: ColumnMap) -> str:
        """SQL: a date or timestamp as a moment in UTC, or for a date as the day where the company is."""
        zone = literal(mapping.timezone or self.source.timezone)
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            return f"timezone({self._day_zone(mapping) if target == 'date' else literal('UTC')}, {value})"
        moment = f"cast({value} as timestamp)"
        if target == "date" or zone == "'UTC'":
            return moment
        return f"timezone('UTC', timezone({zone}, {moment}))"


def _is_exact(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.precision <= _WIDEST_DECIMAL)


def _is_allowed(column: Column, value: str) -> str:
    """SQL: whether a text is one that the column allows."""
    if column.values:
        return f"{value} in ({', '.join(map(literal, column.values))})"
    return f"{value} is not null"


def _added(one: Mapping[str, Decimal], other: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {key: one.get(key, Decimal(0)) + other.get(key, Decimal(0)) for key in {**one, **other}}
