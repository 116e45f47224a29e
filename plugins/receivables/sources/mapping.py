"""From the source's own columns to the canonical ones: one SQL statement per batch, exact, no row loops.

Everything passes through text: numbers become DECIMAL without a detour through floats. A row that cannot be
typed is set aside with its reasons; the rows beside it load.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from receivables.entities import Column, Entity
from receivables.errors import PermanentError
from receivables.sources.base import SourceBatch
from receivables.sources.config import ColumnMap, Condition, EntityConfig, SourceConfig, document_date
from receivables.yamlfile import did_you_mean

TRUE_WORDS = ("true", "t", "yes", "y", "1", "1.0", "是")
FALSE_WORDS = ("false", "f", "no", "n", "0", "0.0", "否")
# Amounts to which the entity gives the sign; a GL balance has its own.
SIGNLESS = {"amount", "limit_amount", "open_amount", "discount_amount"}
CURRENCY_COLUMNS = {"currency_code", "from_currency", "to_currency"}
REFUSED_SCHEMA = pa.schema(
    [("key", pa.string()), ("reason", pa.string()), ("payload", pa.string()), ("location", pa.string())]
)
# The exact decimals of raw, for amounts whose row names no currency (an application has its invoice's).
RAW_DECIMALS = 4
RATE_DECIMALS = 8
_BLANKS = " \t\r\n\u00a0\u3000"
YEARS = "between timestamp '1900-01-01' and timestamp '2199-12-31'"
_ISO_DATE = r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?"
_ISO_TIMESTAMP = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?"
_WITH_OFFSET = r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}.*(Z|[+-]\d{2}(:?\d{2})?)"


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class MappedBatch:
    """Rows that load (canonical columns, `_file`, `_row`), rows that do not, and what they add up to."""

    good: pa.Table
    refused: pa.Table
    totals: Mapping[str, Decimal]
    watermark: datetime | None


@dataclass(frozen=True)
class _Numbers:
    """How a text number looks: its separators."""

    decimal: str
    thousands: str

    @property
    def pattern(self) -> str:
        point, group = re.escape(self.decimal), re.escape(self.thousands)
        whole = rf"(\d+|\d{{1,3}}({group}\d{{2,3}})*{group}\d{{3}})" if self.thousands else r"\d+"
        number = rf"({whole}({point}\d*)?|{point}\d+)([eE][+-]?\d{{1,2}})?"
        return rf"[+-]?{number}|{number}-|\({number}\)"

    def short(self, text: str, *, digits: int) -> str:
        """SQL: a number with at most `digits` decimals as DECIMAL(18, digits), else null.

        Nearly every number is short, and DuckDB casts it two hundred times faster than a long one.
        """
        # Zeros after the last decimal are no decimals: databases pad what they hold.
        pattern = literal(rf"[+-]?\d{{1,{18 - digits}}}({re.escape(self.decimal)}\d{{0,{digits}}}0*)?")
        plain = f"replace({text}, {literal(self.decimal)}, '.')" if self.decimal != "." else text
        cast = f"try_cast({plain} as decimal(18, {digits}))"
        return f"case when regexp_full_match({text}, {pattern}) then {cast} end"

    def exact(self, text: str) -> str:
        """SQL: the number as DECIMAL(38,18), null when the text is none. '12-' and '(12)' are negative."""
        plain = text
        if self.thousands:
            plain = f"replace({plain}, {literal(self.thousands)}, '')"
        if self.decimal != ".":
            plain = f"replace({plain}, {literal(self.decimal)}, '.')"
        bare = f"try_cast(rtrim(ltrim({plain}, '('), '-)') as decimal(38, 18))"
        is_turned = f"(ends_with({text}, '-') or starts_with({text}, '('))"
        return (
            f"case when regexp_full_match({text}, {literal(self.pattern)})"
            f" then case when {is_turned} then -{bare} else {bare} end end"
        )


class ColumnPlan:
    """Which columns of the source feed which canonical columns of one entity."""

    def __init__(self, source: SourceConfig, entity: Entity, *, cursor: str | None = None) -> None:
        self.source = source
        self.entity = entity
        self.config: EntityConfig = source.entity_configs[entity.name]
        self.cursor = cursor

    def column_map(self, name: str, available: Iterable[str]) -> ColumnMap | None:
        """The mapping of a canonical column: what the file says, else the source column of the same name."""
        if name in self.config.columns:
            mapping = self.config.columns[name]
            return None if mapping.absent else mapping
        for column in available:
            if column.lower() == name:
                return ColumnMap.model_validate({"from": column})
        return None

    def used_columns(self, available: Iterable[str]) -> tuple[str, ...]:
        """The source columns that are read, in the source's order."""
        names = tuple(available)
        wanted = {name for name, _ in self._references(names)}
        return tuple(name for name in names if name in wanted)

    def origins(self, available: Iterable[str]) -> dict[str, str]:
        """Each canonical column that is fed, and from what, in words."""
        names = tuple(available)
        found: dict[str, str] = {}
        for column in self.entity.columns:
            mapping = self.column_map(column.name, names)
            if mapping is not None:
                origins = (
                    mapping.from_,
                    mapping.template,
                    mapping.constant and f"'{mapping.constant}'",
                    mapping.from_terms
                    and f"{mapping.base or document_date(self.entity)} + {mapping.from_terms} days",
                )
                found[column.name] = " or ".join(origin for origin in origins if origin)
        return found

    def key_columns(self, available: Iterable[str]) -> tuple[str, ...]:
        """The source columns that make the key, or decide whether the row counts."""
        names = tuple(available)
        wanted = {
            name for name, wanted_by in self._references(names) if wanted_by in (*self.entity.key, "where")
        }
        return tuple(name for name in names if name in wanted)

    def check_columns(self, available: Iterable[str], *, where: str) -> None:
        """Check that the source has every column that the mapping names, and all that is required.

        Raises:
            PermanentError: naming each one that is missing, and the columns there are.
        """
        names = tuple(available)
        faults = [
            f"column '{name}' (for {wanted_by}) is missing{did_you_mean(name, names)}"
            for name, wanted_by in self._references(names)
            if name not in names
        ]
        faults += [
            f"nothing gives {name}, which {self.entity.name} require{did_you_mean(name, names)}"
            for name in self.entity.required
            if self.column_map(name, names) is None
        ]
        if faults:
            raise PermanentError(
                f"source {self.source.name}, {self.entity.name} ({where})",
                cause=f"{'; '.join(dict.fromkeys(faults))}."
                f" The columns there are: {', '.join(names) or 'none'}",
                next_step=f"correct entities.{self.entity.name}.columns in {self.source.file.name},"
                " or deliver the column",
            )

    def _references(self, available: tuple[str, ...]) -> list[tuple[str, str]]:
        """(source column, what wants it) in the order of the canonical columns."""
        wanted: list[tuple[str, str]] = []
        for column in self.entity.columns:
            mapping = self.column_map(column.name, available)
            if mapping is None:
                continue
            if mapping.from_ is not None:
                wanted.append((mapping.from_, column.name))
            wanted += [(name, column.name) for name in mapping.template_columns]
            if mapping.from_terms is not None and not mapping.from_terms.isdigit():
                wanted.append((mapping.from_terms, column.name))
        wanted += [(name, "where") for name in self.config.where]
        if self.cursor:
            wanted.append((self.cursor, "cursor"))
        return wanted


class EntityMapping(ColumnPlan):
    """The mapping of one entity of one source, compiled to SQL for the columns that the source has."""

    def __init__(
        self,
        source: SourceConfig,
        entity: Entity,
        *,
        minor_units: Mapping[str, int],
        zones: Mapping[str, str] | None = None,
        cursor: str | None = None,
    ) -> None:
        super().__init__(source, entity, cursor=cursor)
        self._zones = dict(zones or {})
        self._statements: dict[tuple[tuple[str, str], ...], str] = {}
        self._connection = duckdb.connect(config={"threads": "2"})
        self._connection.execute("set timezone = 'UTC'")
        self._connection.execute("set enable_progress_bar = false")
        self._connection.execute(
            "create table currencies as"
            " select unnest(?::varchar[]) as code, unnest(?::integer[]) as minor_unit",
            [list(minor_units), list(minor_units.values())],
        )

    def close(self) -> None:
        """Let go of the in-memory database."""
        self._connection.close()

    def map(self, batch: SourceBatch) -> MappedBatch:
        """Map one batch. Rows that `where` leaves out, and empty rows, are neither good nor refused."""
        if batch.table.num_columns == 0:
            return MappedBatch(self._good_schema.empty_table(), _unreadable(batch), {}, None)
        table = plain_table(batch.table)
        numbered = numbered_table(trimmed(table), batch.rows)
        signature = tuple((field.name, str(field.type)) for field in table.schema)
        if signature not in self._statements:
            self._statements[signature] = self._statement(table.schema)
        self._connection.register("batch", numbered)
        mapped = self._connection.execute(
            self._statements[signature], {"file": batch.origin}
        ).to_arrow_table()
        self._connection.unregister("batch")
        is_good = pc.is_null(mapped["_reason"])
        good = mapped.filter(is_good).select([*self.entity.column_names, "_file", "_row"])
        refused = mapped.filter(pc.invert(is_good)) if good.num_rows < mapped.num_rows else mapped.slice(0, 0)
        watermark = pc.max(mapped["_watermark"]).as_py() if self.cursor else None
        return MappedBatch(
            good.cast(self._good_schema),
            pa.concat_tables([_refused(refused, table), _unreadable(batch)]),
            self._totals(good),
            watermark,
        )

    @property
    def _good_schema(self) -> pa.Schema:
        kinds = {
            "text": pa.string(),
            "date": pa.date32(),
            "timestamp": pa.timestamp("us"),
            "amount": pa.decimal128(18, 4),
            "rate": pa.decimal128(18, 8),
            "integer": pa.int32(),
            "boolean": pa.bool_(),
        }
        return pa.schema(
            [
                *((column.name, kinds[column.type]) for column in self.entity.columns),
                ("_file", pa.string()),
                ("_row", pa.int64()),
            ]
        )

    def _totals(self, good: pa.Table) -> dict[str, Decimal]:
        """Σ of the entity's first amount by currency; '-' stands for rows whose currency is not given."""
        amount = next((column.name for column in self.entity.columns if column.type == "amount"), None)
        if amount is None or good.num_rows == 0:
            return {}
        fallback = self.source.default_currency_code or "-"
        currencies = (
            good["currency_code"]
            if "currency_code" in self.entity.column_names
            else pa.nulls(good.num_rows, pa.string())
        )
        sums = (
            pa.table(
                {
                    "currency": pc.fill_null(currencies, fallback),
                    "amount": good[amount].cast(pa.decimal128(38, 4)),
                }
            )
            .group_by("currency")
            .aggregate([("amount", "sum")])
        )
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for row in sums.to_pylist():
            totals[row["currency"]] += row["amount_sum"] or Decimal(0)
        return totals

    # --- the statement ---

    def _statement(self, schema: pa.Schema) -> str:
        names = tuple(schema.names)
        maps = {column.name: self.column_map(column.name, names) for column in self.entity.columns}
        texts = [
            f"{self._text(column, maps[column.name], schema)} as {_t(column)}"
            for column in self.entity.columns
        ]
        terms = [
            f"{self._days(mapping.from_terms, schema)} as {_d(column)}"
            for column in self.entity.columns
            if (mapping := maps[column.name]) is not None and mapping.from_terms is not None
        ]
        cursor = "null::timestamp"
        if self.cursor:
            cursor = self._timestamp(self._source_text(self.cursor, schema), self._cursor_map(names))
        typed = [
            f"{self._typed(column, maps[column.name], schema)} as {_v(column)}"
            for column in self.entity.columns
        ]
        exact = [
            f"{self._exact(column, maps[column.name], schema)} as {_x(column)}"
            for column in self.entity.columns
            if column.type in {"amount", "rate"}
        ] or ["null as _none"]
        final = [
            f"{self._final(column, maps[column.name], maps)} as {_f(column)}"
            for column in self.entity.columns
        ]
        reasons = [
            reason for column in self.entity.columns for reason in self._reasons(column, maps[column.name])
        ]
        key = " || '|' || ".join(
            f"coalesce(cast({_f(self.entity.column(name))} as varchar), {_t(self.entity.column(name))}"
            f"{'' if self.entity.column(name).required else ', ' + literal('')})"
            for name in self.entity.key
        )
        currency = literal(self.source.default_currency_code or "")
        if "currency_code" in self.entity.column_names:
            currency = f"coalesce(v_currency_code, {currency})"
        else:
            currency = "''"
        return f"""
            with texts as (
                select "·i" as _i, "·row" as _row, {", ".join(texts + terms)}, {cursor} as _watermark
                from batch
                where {self._where(schema)}
            ),
            short as (select *, {", ".join(typed)} from texts),
            typed as (select *, {", ".join(exact)} from short),
            limited as (
                select typed.*, coalesce(currencies.minor_unit, {RAW_DECIMALS}) as _decimals
                from typed left join currencies on currencies.code = {currency}
            ),
            final as (select *, {", ".join(final)} from limited)
            select
                {", ".join(f"{_f(column)} as {identifier(column.name)}" for column in self.entity.columns)},
                $file as _file, _row, _i, _watermark, {key} as _key,
                nullif(concat_ws('; ', {", ".join(reasons)}), '') as _reason
            from final
            order by _i
        """  # noqa: S608 (identifiers and literals are quoted)

    def _cursor_map(self, available: tuple[str, ...]) -> ColumnMap:
        """The cursor is read like the canonical timestamp that it feeds, if it feeds one."""
        for column in self.entity.columns:
            mapping = self.column_map(column.name, available)
            if mapping is not None and mapping.from_ == self.cursor and column.type == "timestamp":
                return mapping
        return ColumnMap.model_validate({"from": self.cursor})

    def _source_text(self, name: str, schema: pa.Schema) -> str:
        """A source column as text (`trimmed` before), null when it says 'no value'."""
        kind, quoted = schema.field(name).type, identifier(name)
        if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None):
            return f"strftime(cast({quoted} as timestamp), '%Y-%m-%dT%H:%M:%S.%f')"
        text = f"cast({quoted} as varchar)"
        if _is_text(kind):
            text = quoted
        words = [word for word in self._parsing("nulls") or () if word]
        if words:
            return f"case when {text} in ('', {', '.join(map(literal, words))}) then null else {text} end"
        return f"nullif({text}, '')"

    def _parsing(self, name: str) -> object:
        own = getattr(self.config, name)
        return getattr(self.source, name) if own is None else own

    def _text(self, column: Column, mapping: ColumnMap | None, schema: pa.Schema) -> str:
        if mapping is None:
            return "null::varchar"
        if mapping.constant is not None:
            return literal(mapping.constant)
        if mapping.template is not None:
            pieces = re.split(r"\{([^{}]+)\}", mapping.template)
            parts = [
                self._source_text(piece, schema) if position % 2 else literal(piece)
                for position, piece in enumerate(pieces)
                if piece
            ]
            return f"({' || '.join(parts)})"
        if mapping.from_ is None:
            return "null::varchar"
        text = self._source_text(mapping.from_, schema)
        if mapping.values or mapping.else_ is not None:
            cases = " ".join(
                f"when {literal(word)} then {'null' if meaning is None else literal(meaning)}"
                for word, meaning in mapping.values.items()
                if word
            )
            # An empty cell has no word: `else` speaks of words, `values: {"": x}` of the empty cell.
            blank = literal(mapping.values[""]) if mapping.values.get("") else "null"
            other = text if mapping.else_ is None else literal(mapping.else_)
            chosen = f"case {text} {cases} else {other} end" if cases else other
            return f"case when {text} is null then {blank} else {chosen} end"
        if column.name in CURRENCY_COLUMNS:
            return f"upper({text})"
        return text

    def _days(self, terms: str | None, schema: pa.Schema) -> str:
        """SQL: the days of `from_terms` as text."""
        text = terms or ""
        return literal(text) if text.isdigit() else self._source_text(text, schema)

    def _numbers(self, mapping: ColumnMap | None, schema: pa.Schema) -> _Numbers:
        """A typed number of the source has no separators of its own; neither has a constant."""
        is_text = (
            mapping is not None and mapping.from_ is not None and _is_text(schema.field(mapping.from_).type)
        )
        if not is_text:
            return _Numbers(".", "")
        return _Numbers(str(self._parsing("decimal") or "."), str(self._parsing("thousands") or ""))

    def _typed(self, column: Column, mapping: ColumnMap | None, schema: pa.Schema) -> str:
        text = _t(column)
        if column.type == "text":
            return text
        if column.type == "boolean":
            true, false = (", ".join(map(literal, words)) for words in (TRUE_WORDS, FALSE_WORDS))
            word = f"lower({text})"
            return f"case when {word} in ({true}) then true when {word} in ({false}) then false end"
        if column.type == "timestamp":
            return self._timestamp(text, mapping)
        if column.type == "date":
            return self._date(text, mapping)
        numbers = self._numbers(mapping, schema)
        if column.type == "integer":
            return numbers.exact(text)
        if mapping is not None and (mapping.scale is not None or mapping.round):
            return "null::decimal(18, 4)"
        return signed(numbers.short(text, digits=_digits(column)), mapping)

    def _exact(self, column: Column, mapping: ColumnMap | None, schema: pa.Schema) -> str:
        """SQL: the number with all its decimals, where the short form does not do."""
        text = _t(column)
        number = self._numbers(mapping, schema).exact(text)
        if mapping is not None and mapping.scale is not None:
            number = (
                f"cast(try_cast({number} as decimal(26, 10))"
                f" * cast({literal(str(mapping.scale))} as decimal(12, 8)) as decimal(38, 18))"
            )
        return f"case when {_v(column)} is null and {text} is not null then {signed(number, mapping)} end"

    def _date(self, text: str, mapping: ColumnMap | None) -> str:
        formats = (mapping.formats if mapping else ()) or self._parsing("date_formats")
        # A timestamp with an offset is a moment: its day is the one where the company is.
        moment = f"timezone({self._day_zone(mapping)}, {_moment(text)})"
        if formats:
            cleaned = f"regexp_replace({text}, '^(\\d{{8}})\\.0+$', '\\1')" if "%Y%m%d" in formats else text
            plain = f"try_strptime({cleaned}, [{', '.join(map(literal, formats))}])::timestamp"
            iso = literal(_ISO_TIMESTAMP)
        else:
            plain = "null::timestamp"
            iso = literal(_ISO_DATE)
        return (
            f"coalesce({plain},"
            f" case when regexp_full_match({text}, {iso}) then try_cast({text} as timestamp) end,"
            f" case when regexp_full_match({text}, {literal(_WITH_OFFSET)}) then {moment} end)"
        )

    def _day_zone(self, mapping: ColumnMap | None) -> str:
        """SQL: the time zone whose days a row counts in: of the column, its company, else the source."""
        if mapping is not None and mapping.timezone:
            return literal(mapping.timezone)
        own = self.source.timezone
        default = self._zones.get(self.source.default_company_id or "", own)
        if "company_id" not in self.entity.column_names or set(self._zones.values()) <= {default}:
            return literal(default)
        cases = " ".join(f"when {literal(one)} then {literal(zone)}" for one, zone in self._zones.items())
        given, fallback = _t(self.entity.column("company_id")), literal(self.source.default_company_id or "")
        return f"case coalesce({given}, {fallback}) {cases} else {literal(own)} end"

    def _timestamp(self, text: str, mapping: ColumnMap | None) -> str:
        """SQL: a moment in UTC; without an offset it is in the column's, else the source's time zone."""
        zone = literal((mapping.timezone if mapping else None) or self.source.timezone)
        formats = (mapping.formats if mapping else ()) or self._parsing("timestamp_formats")
        local = f"try_cast({text} as timestamp)"
        if formats:
            local = (
                f"coalesce(try_strptime({text}, [{', '.join(map(literal, formats))}])::timestamp,"
                f" case when regexp_full_match({text}, {literal(_ISO_TIMESTAMP)}) then {local} end)"
            )
        in_utc = local if zone == "'UTC'" else f"timezone('UTC', timezone({zone}, {local}))"
        return (
            f"case when regexp_full_match({text}, {literal(_WITH_OFFSET)})"
            f" then timezone('UTC', {_moment(text)})"
            f" else {in_utc} end"
        )

    def _final(self, column: Column, mapping: ColumnMap | None, maps: Mapping[str, ColumnMap | None]) -> str:
        value = _v(column)
        if column.type == "rate":
            return f"coalesce({value}, try_cast({_x(column)} as decimal(18, 8)))"
        if column.type == "integer":
            return f"try_cast({value} as integer)"
        if column.type == "amount":
            # What has more decimals is refused, or rounded once from all of them.
            is_rounded = mapping is not None and mapping.round
            exact = _x(column) if is_rounded else f"try_cast({_x(column)} as decimal(18, 4))"
            return f"coalesce({rounded(value)}, {rounded(exact)})"
        if column.type == "date":
            day = f"cast({value} as date)"
            if mapping is not None and mapping.from_terms is not None:
                base = self.entity.column(mapping.base or document_date(self.entity))
                days = f"try_cast({_Numbers('.', '').exact(_d(column))} as integer)"
                derived = f"cast(cast({_v(base)} as date) + {days} as date)"
                return f"coalesce({day}, case when {_t(column)} is null then {derived} end)"
            return day
        return value

    def _reasons(self, column: Column, mapping: ColumnMap | None) -> list[str]:
        """SQL: null or a sentence, one for each thing that can be wrong with this column."""
        text, value, final = _t(column), _v(column), _f(column)
        origin = _origin(column, mapping)
        # A quote in the value would end the quotation, which is cut out where personal data may not be shown.
        bare, quote = f"replace({text}, {literal(chr(39))}, '’')", literal(chr(39))
        shown = f"{literal(origin.replace(chr(39), '’') + ': ')} || {quote} || {bare} || {quote}"
        reasons = []
        if column.required or (mapping is not None and mapping.required):
            reasons.append(
                f"case when {final} is null and {text} is null then {literal(f'{origin}: is empty')} end"
            )
        if mapping is None:
            return reasons
        kind = {
            "date": "a date" + self._formats_hint(mapping),
            "timestamp": "a date and time",
            "amount": "a number",
            "rate": "a number",
            "integer": "a whole number",
            "boolean": "yes or no",
        }.get(column.type)
        if column.type in {"date", "timestamp"}:
            reasons.append(
                f"case when {value} not {YEARS} then {shown} || ' is not between 1900 and 2199' end"
            )
        if kind:
            unfit = f"{value} is null"
            if column.type in {"amount", "rate"}:
                unfit += f" and {_x(column)} is null"
            if column.type == "integer":
                unfit += f" or {value} is distinct from {final}"
            reasons.append(f"case when {text} is not null and ({unfit}) then {shown} || ' is not {kind}' end")
        if column.values:
            allowed = ", ".join(map(literal, column.values))
            reasons.append(
                f"case when {text} not in ({allowed}) then {shown} ||"
                f" {literal(' is none of ' + ', '.join(column.values))} end"
            )
        if column.name in CURRENCY_COLUMNS:
            reasons.append(
                f"case when {text} is not null and {text} not in (select code from currencies) then"  # noqa: S608
                f" {shown} || ' is an unknown currency' end"
            )
        if column.type == "amount":
            if not mapping.round:
                reasons.append(
                    f"case when coalesce({value} <> {final}, {_x(column)} <> {final}) then {shown} ||"
                    " ' has more than ' || _decimals || ' decimals' end"
                )
            reasons.append(
                f"case when {final} is null and coalesce({value}, {_x(column)}) is not null then"
                f" {shown} || ' is too large' end"
            )
            if is_signless(self.entity, column):
                negative = literal(f" is negative where {self.entity.name} give the sign")
                reasons.append(f"case when {final} < 0 then {shown} || {negative} end")
        if column.type == "rate":
            reasons.append(f"case when {final} <= 0 then {shown} || ' is not above zero' end")
        return reasons

    def _formats_hint(self, mapping: ColumnMap) -> str:
        formats = mapping.formats or self._parsing("date_formats") or ("%Y-%m-%d",)
        return f" of the form {' or '.join(formats)}".replace("'", "''")  # type: ignore[arg-type]

    def _is_filled(self, name: str, schema: pa.Schema) -> str:
        """SQL: whether a source column says anything."""
        is_typed = not _is_text(schema.field(name).type) and not self._parsing("nulls")
        return f"{identifier(name) if is_typed else self._source_text(name, schema)} is not null"

    def _where(self, schema: pa.Schema) -> str:
        return " and ".join(
            [
                f"({' or '.join(self._is_filled(name, schema) for name in schema.names)})",
                *(
                    _condition(self._source_text(name, schema), rule)
                    for name, rule in self.config.where.items()
                ),
            ]
        )


def is_signless(entity: Entity, column: Column) -> bool:
    """Whether the entity gives the sign of this amount, so that a negative one is a fault."""
    return column.name in SIGNLESS and entity.name != "gl_balances"


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _t(column: Column) -> str:
    return f"t_{column.name}"


def _d(column: Column) -> str:
    return f"d_{column.name}"


def _v(column: Column) -> str:
    return f"v_{column.name}"


def _x(column: Column) -> str:
    return f"x_{column.name}"


def _digits(column: Column) -> int:
    return RATE_DECIMALS if column.type == "rate" else RAW_DECIMALS


def signed(number: str, mapping: ColumnMap | None) -> str:
    """SQL: the number with its sign turned or dropped."""
    if mapping is not None and mapping.absolute:
        return f"abs({number})"
    return f"-({number})" if mapping is not None and mapping.negate else number


def _f(column: Column) -> str:
    return f"f_{column.name}"


def rounded(value: str) -> str:
    """SQL: half up to the row's `_decimals` (round() takes no column for its digits)."""
    # Each branch has the same type: the narrowest of the branches would otherwise decide for all.
    cut = "try_cast(round({value}, {digits}) as decimal(18, 4))"
    cases = " ".join(
        f"when {digits} then {cut.format(value=value, digits=digits)}" for digits in range(RAW_DECIMALS)
    )
    return f"case _decimals {cases} else {cut.format(value=value, digits=RAW_DECIMALS)} end"


def _moment(text: str) -> str:
    """SQL: a text with an offset as TIMESTAMPTZ; '+0800' becomes '+08:00'."""
    return f"try_cast(regexp_replace({text}, '([+-]\\d{{2}})(\\d{{2}})$', '\\1:\\2') as timestamptz)"


def _condition(text: str, rule: Condition) -> str:
    parts = []
    if rule.blank is not None:
        parts.append(f"{text} is {'' if rule.blank else 'not '}null")
    if rule.equals is not None:
        parts.append(f"{text} is not distinct from nullif({literal(rule.equals)}, '')")
    if rule.not_equals is not None:
        parts.append(f"{text} is distinct from nullif({literal(rule.not_equals)}, '')")
    if rule.in_:
        parts.append(f"coalesce({text}, '') in ({', '.join(map(literal, rule.in_))})")
    if rule.not_in:
        parts.append(f"coalesce({text}, '') not in ({', '.join(map(literal, rule.not_in))})")
    return " and ".join(parts)


def _origin(column: Column, mapping: ColumnMap | None) -> str:
    """How a reason names a column: `amount (InvoiceAmount)`."""
    if mapping is None:
        return column.name
    source = mapping.from_ or mapping.template or mapping.from_terms
    return f"{column.name} ({source})" if source and source != column.name else column.name


def plain_table(table: pa.Table) -> pa.Table:
    """Without extension types (PostgreSQL's numeric comes as one over text) and with readable binaries."""
    for position, field in enumerate(table.schema):
        column = table.column(position)
        if isinstance(field.type, pa.BaseExtensionType):
            column = pa.chunked_array([chunk.storage for chunk in column.chunks], field.type.storage_type)
        if column.type != field.type:
            table = table.set_column(position, field.name, column)
    return table


def trimmed(table: pa.Table) -> pa.Table:
    """Without blanks around texts; Arrow does in a pass what SQL does five times slower."""
    for position, field in enumerate(table.schema):
        if _is_text(field.type):
            column = table.column(position).cast(pa.string())
            table = table.set_column(position, field.name, pc.utf8_trim(column, characters=_BLANKS))
    return table


def numbered_table(table: pa.Table, rows: range | list[int]) -> pa.Table:
    """With the number of each row in the source (`·row`) and in the batch (`·i`)."""
    numbers = np.arange(rows.start, rows.stop, rows.step) if isinstance(rows, range) else rows
    return table.append_column("·row", pa.array(numbers, pa.int64())).append_column(
        "·i", pa.array(np.arange(table.num_rows), pa.int64())
    )


def _refused(mapped: pa.Table, table: pa.Table) -> pa.Table:
    if mapped.num_rows == 0:
        return REFUSED_SCHEMA.empty_table()
    originals = table.take(mapped["_i"]).to_pylist()
    places = zip(mapped["_file"].to_pylist(), mapped["_row"].to_pylist(), strict=True)
    return pa.table(
        {
            "key": mapped["_key"].to_pylist(),
            "reason": mapped["_reason"].to_pylist(),
            "payload": [json.dumps(row, ensure_ascii=False, default=str) for row in originals],
            "location": [f"{origin}:{row}" for origin, row in places],
        },
        schema=REFUSED_SCHEMA,
    )


def _unreadable(batch: SourceBatch) -> pa.Table:
    return pa.table(
        {
            "key": [None] * len(batch.unreadable),
            "reason": [row.reason for row in batch.unreadable],
            "payload": [json.dumps({"line": row.payload}, ensure_ascii=False) for row in batch.unreadable],
            "location": [row.location for row in batch.unreadable],
        },
        schema=REFUSED_SCHEMA,
    )
