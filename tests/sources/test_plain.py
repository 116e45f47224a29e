"""The short road gives what the thorough one gives, whatever the source holds; it only takes less time."""

from __future__ import annotations

from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from receivables.entities import ENTITIES
from receivables.sources import load_source
from receivables.sources.base import SourceBatch, read_ahead
from receivables.sources.mapping import EntityMapping, MappedBatch
from receivables.sources.plain import PlainMapping

MINOR_UNITS = {"EUR": 2, "JPY": 0, "KWD": 3, "USD": 2, "XAU": 4}
SOURCE = """
kind: sql
connection: {sqlite: x.db}
timezone: Asia/Shanghai
%s
entities:
  invoices:
    table: invoice
    mode: incremental
    cursor: changed
    columns:
      invoice_id: number
      customer_id: customer
      invoice_date: dated
      due_date: due
      amount: {from: gross%s}
      tax_amount: tax
      exchange_rate: rate
      document_type: {from: kind, values: {I: invoice, D: debit_memo}}
      currency_code: currency
      status: {from: state, values: {1: posted, 2: void}, else: draft}
      is_disputed: disputed
      terms_days: terms
      updated_at: changed
      created_at: made
"""
VARIANTS = {
    "plain": ("", ""),
    "default_currency": ("default_currency_code: JPY", ""),
    "nulls": ("nulls: ['-', '0', 'NULL']", ""),
    "decimal_comma": ("decimal: ','\nthousands: '.'", ""),
    "rounded": ("", ", round: true"),
    "scaled": ("", ", scale: 0.01, negate: true"),
    "absolute": ("", ", absolute: true"),
    "formats": ("date_formats: ['%d.%m.%Y']", ""),
}
NUMBERS = [
    "12.34", "12.340000000", "0", "-0.00", "-5", "1e3", "1234,50", "1.234,50", "(12)", "12-", "12.345",
    "0.123456789012", "99999999999999", "99999999999999.9999", "123456789012345", "1e30", "NaN", "", "  7.5 ",
    "abc", "+3", "-", "1_000", ".5", "5.",
]  # fmt: skip
TEXTS = [
    "A", " A ", "", "  ", "　x　", "I", "D", "1", "2", "-", "NULL", "EUR", "eur", "JPY", "KWD", "???", "XAU",
    None,
]  # fmt: skip
DATES = [
    "2026-01-31", "31.01.2026", "2026-02-30", "20260131", "2026-01-31T10:00:00Z",
    "2026-01-31 10:00:00+0800", "", "1850-01-01", "x", None,
]  # fmt: skip
LOCAL = pa.timestamp("us")
UTC_TIME = pa.timestamp("us", "UTC")
MOMENTS = [
    None if text is None else datetime.fromisoformat(text)
    for text in ("2026-01-31T20:30:01.000005", "1850-01-01", "2199-12-31T23:00:00", None)
]
DAYS = [date(2026, 1, 31), date(1850, 1, 1), date(2199, 12, 31), None]
EXACT = pa.decimal128(21, 9)
AMOUNTS = [*map(Decimal, ("12.34", "12.345", "-1", "0", "7.000000001", "999999999999")), None]
Kind = tuple[pa.DataType, list[Any]]
# Each column in every type that a source may give it; the first value is plainly right.
NUMBER: list[Kind] = [
    (pa.string(), [*NUMBERS, None]),
    (EXACT, AMOUNTS),
    (pa.int64(), [1, 0, -1, 10**17, None]),
    (pa.float64(), [1.5, 0.1, 1e20, float("nan"), None]),
]
WHOLE = ["30", Decimal(30), 30, 30.0]
DAY: list[Kind] = [(pa.date32(), DAYS), (pa.string(), DATES), (LOCAL, MOMENTS), (UTC_TIME, MOMENTS)]
WHEN: list[Kind] = [(LOCAL, MOMENTS), (UTC_TIME, MOMENTS), (pa.string(), DATES), (pa.date32(), DAYS)]
FLAG: list[Kind] = [
    (pa.bool_(), [True, False, None]),
    (pa.int8(), [0, 1, 7, None]),
    (pa.string(), ["1", *TEXTS]),
]
COLUMNS: dict[str, list[Kind]] = {
    "number": [(pa.string(), ["A1", " A2", "", None])],
    "customer": [(pa.string(), TEXTS), (pa.int32(), [1, None])],
    "dated": DAY,
    "due": [*DAY[1:], DAY[0]],
    "gross": NUMBER,
    "tax": [*NUMBER[1:], NUMBER[0]],
    "rate": NUMBER,
    "kind": [(pa.string(), ["I", *TEXTS])],
    "currency": [(pa.string(), ["EUR", *TEXTS])],
    "state": [(pa.string(), ["1", *TEXTS]), (pa.int8(), [1, 0, 2, None])],
    "disputed": FLAG,
    "terms": [
        (pa.int16(), [30, None]),
        *((kind, [whole, *values]) for whole, (kind, values) in zip(WHOLE, NUMBER, strict=True)),
    ],
    "changed": WHEN,
    "made": [*WHEN[1:], WHEN[0]],
}


def table_of(alternative: int) -> pa.Table:
    """Each column in one of its types; every row has one doubtful value, so that none hides another."""
    kinds = {name: kinds[alternative % len(kinds)] for name, kinds in COLUMNS.items()}
    rows = [
        {other: value if other == name else values[0] for other, (_, values) in kinds.items()}
        for name, (_, doubtful) in kinds.items()
        for value in doubtful
    ]
    rows.append(dict.fromkeys(kinds))
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, (kind, _) in kinds.items()})


@pytest.fixture(scope="module", params=VARIANTS)
def roads(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The thorough and the short road of one source."""
    path = Path(tmp_path_factory.mktemp("plain")) / "erp.yml"
    path.write_text(SOURCE % VARIANTS[request.param], encoding="utf-8")
    source, entity = load_source(path), ENTITIES["invoices"]
    with (
        closing(EntityMapping(source, entity, minor_units=MINOR_UNITS, cursor="changed")) as thorough,
        closing(PlainMapping(source, entity, minor_units=MINOR_UNITS, cursor="changed")) as short,
    ):
        yield thorough, short


@pytest.mark.parametrize("alternative", range(max(map(len, COLUMNS.values()))))
def test_both_roads_give_the_same_rows_reasons_and_totals(
    roads: tuple[EntityMapping, PlainMapping], alternative: int, request: pytest.FixtureRequest
) -> None:
    table = table_of(alternative)
    batch = SourceBatch(table, "invoice", range(1, 1 + table.num_rows))
    thorough, short = (road.map(batch) for road in roads)
    assert _shown(short) == _shown(thorough)
    if not request.node.callspec.params["roads"].startswith(("scaled", "decimal", "formats")):
        assert thorough.good.num_rows > 10, "hardly a row was compared"


def test_rows_that_are_plainly_right_take_the_short_road_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "erp.yml"
    path.write_text(SOURCE % VARIANTS["plain"], encoding="utf-8")
    rows = {
        "number": ["A1", "A2"],
        "customer": ["C1", " C2 "],
        "dated": [date(2026, 1, 31)] * 2,
        "due": ["2026-02-28", None],
        "gross": pa.array(["12.340000000", "5"]),
        "tax": pa.array([Decimal("1.23"), None], pa.decimal128(21, 9)),
        "rate": [1, 2],
        "kind": ["I", "D"],
        "currency": ["EUR", "eur"],
        "state": pa.array([1, 2], pa.int8()),
        "disputed": pa.array([0, 1], pa.int8()),
        "terms": [30, None],
        "changed": pa.array([MOMENTS[0]] * 2, LOCAL),
        "made": pa.array([MOMENTS[0]] * 2, UTC_TIME),
    }
    monkeypatch.setattr(EntityMapping, "map", lambda *_: pytest.fail("the thorough road was taken"))
    with closing(
        PlainMapping(load_source(path), ENTITIES["invoices"], minor_units=MINOR_UNITS, cursor="changed")
    ) as mapping:
        mapped = mapping.map(SourceBatch(pa.table(rows), "invoice", range(1, 3)))
    assert mapped.good["amount"].to_pylist() == [Decimal("12.3400"), Decimal("5.0000")]
    assert mapped.good["customer_id"].to_pylist() == ["C1", "C2"]
    assert mapped.totals == {"EUR": Decimal("17.34")}


def test_the_next_batch_is_read_while_one_is_worked_on_and_errors_arrive() -> None:
    def batches() -> Any:
        yield SourceBatch(pa.table({}), "one", [])
        yield SourceBatch(pa.table({}), "two", [])
        raise OSError("the line is cut")

    seen = []
    with pytest.raises(OSError, match="cut"):
        for batch in read_ahead(batches()):
            seen.append(batch.origin)
    assert seen == ["one", "two"]


def _shown(mapped: MappedBatch) -> tuple[Any, ...]:
    totals = {key: total for key, total in mapped.totals.items() if total}
    return mapped.good.schema, mapped.good.to_pylist(), mapped.refused.to_pylist(), totals, mapped.watermark
