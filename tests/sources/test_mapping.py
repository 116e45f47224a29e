"""How texts become typed columns, exactly; and what is refused, in which words."""

# ruff: noqa: DTZ001, E501 (raw holds UTC without a zone; tables of cases are easier to compare uncut)

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from receivables.currencies import ISO_4217
from receivables.entities import ENTITIES
from receivables.settings import Settings
from receivables.sources.base import SourceBatch
from receivables.sources.mapping import EntityMapping, MappedBatch
from receivables.sources.plain import PlainMapping
from tests.sources.setup import write_source

GOOD = {"invoice_id": "1", "customer_id": "C1", "invoice_date": "2026-01-05", "amount": "10.00"}


def map_rows(
    home: Settings, rows: list[dict[str, Any]], *, columns: str = "", top: str = "", entity: str = "invoices",
    schema: pa.Schema | None = None, more: str = "",
) -> MappedBatch:  # fmt: skip
    """Map rows as a file would deliver them."""
    case = write_source(
        home,
        f"kind: files\n{top}entities:\n  {entity}:\n    path: x\n{more}    columns: {{{columns}}}\n",
    )
    mapping = EntityMapping(case.source, ENTITIES[entity], minor_units=ISO_4217)
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: [row.get(name, "") for row in rows] for name in names}, schema=schema)
    return mapping.map(SourceBatch(table, "x.csv", range(2, 2 + len(rows))))


def value(home: Settings, column: str, text: str, **options: Any) -> Any:
    """What one text becomes in one column."""
    mapped = map_rows(home, [{**GOOD, column: text}], **options)
    assert mapped.good.num_rows == 1, mapped.refused["reason"].to_pylist()
    return mapped.good[column][0].as_py()


def reason(home: Settings, changes: dict[str, str], **options: Any) -> str:
    """Why one row is refused."""
    mapped = map_rows(home, [{**GOOD, **changes}], **options)
    assert mapped.good.num_rows == 0
    return str(mapped.refused["reason"][0])


@pytest.mark.parametrize(
    ("text", "number", "top"),
    [
        ("1234.5", "1234.5", ""),
        ("0.10", "0.1", ""),
        ("+7", "7", ""),
        ("7.", "7", ""),
        (".5", "0.5", ""),
        (" 12.30\u00a0", "12.3", ""),
        ("12.300000", "12.3", ""),
        ("1.5e3", "1500", ""),
        ("99999999999999.99", "99999999999999.99", ""),
        ("1,234,567.89", "1234567.89", "thousands: ','\n"),
        ("12,34,567.89", "1234567.89", "thousands: ','\n"),
        ("1.234,56", "1234.56", "decimal: ','\nthousands: '.'\n"),
        ("1234,56", "1234.56", "decimal: ','\n"),
        ("1 234,56", "1234.56", "decimal: ','\nthousands: ' '\n"),
    ],
)
def test_a_text_becomes_an_exact_amount(home: Settings, text: str, number: str, top: str) -> None:
    assert value(home, "amount", text, top=f"default_currency_code: EUR\n{top}") == Decimal(number)


@pytest.mark.parametrize("text", ["12-", "(12)", "-12"])
def test_an_amount_may_carry_its_sign_behind_or_in_brackets(home: Settings, text: str) -> None:
    assert value(home, "amount", text, columns="amount: {from: amount, negate: true}") == 12
    assert value(home, "amount", text, columns="amount: {from: amount, absolute: true}") == 12


@pytest.mark.parametrize(
    ("text", "top"),
    [
        ("abc", ""), ("1,234.50", ""), ("12,3", "thousands: ','\n"), ("1.234.5", ""), ("1_000", ""), ("--1", ""),
        ("0x10", ""), ("NaN", ""), ("inf", ""), ("€5", ""), ("1,5", "decimal: '.'\nthousands: ','\n"),
    ],
)  # fmt: skip
def test_what_is_not_a_number_is_refused(home: Settings, text: str, top: str) -> None:
    assert reason(home, {"amount": text}, top=top) == f"amount: '{text}' is not a number"


@pytest.mark.parametrize(
    ("text", "currency", "decimals"), [("1.001", "EUR", 2), ("1.5", "JPY", 0), ("1.0001", "KWD", 3)]
)
def test_more_decimals_than_the_currency_has_are_refused(
    home: Settings, text: str, currency: str, decimals: int
) -> None:
    said = reason(home, {"amount": text, "currency_code": currency})
    assert said == f"amount: '{text}' has more than {decimals} decimals"


@pytest.mark.parametrize(
    ("text", "currency", "rounded"),
    [
        ("1.005", "EUR", "1.01"), ("1.5", "JPY", "2"), ("1.0005", "KWD", "1.001"), ("0.00499999999999", "EUR", "0"),
        ("2.675", "EUR", "2.68"),
    ],
)  # fmt: skip
def test_a_column_may_ask_to_be_rounded_half_up(
    home: Settings, text: str, currency: str, rounded: str
) -> None:
    columns = f"amount: {{from: amount, round: true}}, currency_code: {{constant: {currency}}}"
    assert value(home, "amount", text, columns=columns) == Decimal(rounded)


def test_the_defaults_of_the_source_decide_the_decimals_of_rows_without_a_currency(home: Settings) -> None:
    top = "default_currency_code: JPY\n"
    assert reason(home, {"amount": "1.5"}, top=top) == "amount: '1.5' has more than 0 decimals"


def test_an_amount_in_cents_is_scaled_exactly(home: Settings) -> None:
    columns = "amount: {from: amount, scale: 0.01}"
    assert value(home, "amount", "123456789012345", columns=columns) == Decimal("1234567890123.45")
    assert value(home, "amount", "7", columns="amount: {from: amount, scale: 1000}") == 7000


def test_too_large_an_amount_is_refused(home: Settings) -> None:
    for text in ("100000000000000.00", "9" * 30, "1e25"):
        assert reason(home, {"amount": text}) in {
            f"amount: '{text}' is too large", f"amount: '{text}' is not a number",
        }  # fmt: skip


def test_a_negative_amount_is_refused_where_the_entity_gives_the_sign(home: Settings) -> None:
    assert reason(home, {"amount": "-5.00"}) == "amount: '-5.00' is negative where invoices give the sign"


def test_a_balance_has_its_own_sign(home: Settings) -> None:
    mapped = map_rows(
        home,
        [{"company_id": "A", "balance_date": "2026-01-31", "balance_amount": "-5.00"}],
        entity="gl_balances",
    )
    assert mapped.good["balance_amount"].to_pylist() == [Decimal(-5)]


@pytest.mark.parametrize(
    ("text", "day", "formats"),
    [
        ("2026-01-31", date(2026, 1, 31), ""),
        ("2026-01-31 00:00:00", date(2026, 1, 31), ""),
        ("2026-01-31T10:00:00.123", date(2026, 1, 31), ""),
        ("2026-01-31T23:30:00Z", date(2026, 2, 1), ""),
        ("2026-02-01 01:00:00+08:00", date(2026, 2, 1), ""),
        ("1/31/2026", date(2026, 1, 31), "'%m/%d/%Y'"),
        ("31.1.2026", date(2026, 1, 31), "'%m/%d/%Y', '%d.%m.%Y'"),
        ("03/04/2026", date(2026, 3, 4), "'%m/%d/%Y', '%d/%m/%Y'"),
        ("20190130", date(2019, 1, 30), "'%Y%m%d'"),
        ("20190130.0", date(2019, 1, 30), "'%Y%m%d'"),
        ("2019年1月30日", date(2019, 1, 30), "'%Y年%m月%d日'"),
        ("30-Jan-2019", date(2019, 1, 30), "'%d-%b-%Y'"),
    ],
)
def test_a_text_becomes_a_date_by_the_first_format_that_fits(
    home: Settings, text: str, day: date, formats: str
) -> None:
    top = "timezone: Asia/Shanghai\n" + (f"date_formats: [{formats}]\n" if formats else "")
    assert value(home, "invoice_date", text, top=top) == day


@pytest.mark.parametrize(
    "text", ["2026-02-30", "31/12/2026", "2026-1-5", "yesterday", "45000", "20260105", "2026-01"]
)
def test_what_is_not_a_date_is_refused(home: Settings, text: str) -> None:
    assert (
        reason(home, {"invoice_date": text}) == f"invoice_date: '{text}' is not a date of the form %Y-%m-%d"
    )


def test_the_formats_that_were_tried_are_named(home: Settings) -> None:
    said = reason(home, {"invoice_date": "13/13/2026"}, top="date_formats: ['%m/%d/%Y', '%Y%m%d']\n")
    assert said == "invoice_date: '13/13/2026' is not a date of the form %m/%d/%Y or %Y%m%d"


def test_a_year_typed_wrong_is_refused(home: Settings) -> None:
    assert (
        reason(home, {"invoice_date": "0206-01-05"})
        == "invoice_date: '0206-01-05' is not between 1900 and 2199"
    )
    said = reason(home, {"invoice_date": "1/5/26"}, top="date_formats: ['%m/%d/%Y']\n")
    assert said == "invoice_date: '1/5/26' is not between 1900 and 2199"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31 08:00:00", datetime(2026, 1, 31)),
        ("2026-01-31T00:00:00Z", datetime(2026, 1, 31)),
        ("2026-01-31T08:00:00.5+08:00", datetime(2026, 1, 31, 0, 0, 0, 500000)),
        ("2026-01-31 08:00:00+0800", datetime(2026, 1, 31)),
        ("2026-01-31", datetime(2026, 1, 30, 16)),
    ],
)
def test_a_timestamp_is_utc_and_without_offset_in_the_sources_time_zone(
    home: Settings, text: str, moment: datetime
) -> None:
    assert value(home, "updated_at", text, top="timezone: Asia/Shanghai\n") == moment


def test_a_column_may_have_a_time_zone_and_formats_of_its_own(home: Settings) -> None:
    columns = "updated_at: {from: updated_at, timezone: UTC, formats: ['%d.%m.%Y %H:%M']}"
    moment = value(home, "updated_at", "31.01.2026 10:30", columns=columns, top="timezone: Asia/Shanghai\n")
    assert moment == datetime(2026, 1, 31, 10, 30)


@pytest.mark.parametrize(
    ("text", "truth"),
    [("Yes", True), ("0", False), ("TRUE", True), ("n", False), ("是", True), ("否", False)],
)
def test_a_word_becomes_yes_or_no(home: Settings, text: str, *, truth: bool) -> None:
    assert value(home, "is_disputed", text) is truth


def test_another_word_is_not_yes_or_no(home: Settings) -> None:
    assert reason(home, {"is_disputed": "maybe"}) == "is_disputed: 'maybe' is not yes or no"


def test_a_whole_number_may_be_written_as_a_float(home: Settings) -> None:
    assert value(home, "terms_days", "30.0") == 30
    assert reason(home, {"terms_days": "30.5"}) == "terms_days: '30.5' is not a whole number"
    assert reason(home, {"terms_days": "99999999999"}) == "terms_days: '99999999999' is not a whole number"


def test_the_sources_words_are_translated(home: Settings) -> None:
    columns = "status: {from: state, values: {Open: posted, X: void}, else: draft}"
    rows = [{**GOOD, "invoice_id": word or "-", "state": word} for word in ("Open", "X", "anything", "")]
    assert map_rows(home, rows, columns=columns).good["status"].to_pylist() == [
        "posted",
        "void",
        "draft",
        None,
    ]


def test_a_word_outside_the_allowed_ones_is_refused(home: Settings) -> None:
    said = reason(home, {"state": "Paid"}, columns="status: {from: state, values: {Open: posted}}")
    assert said == "status (state): 'Paid' is none of posted, draft, void"


def test_an_unknown_currency_is_refused_and_lower_case_is_not(home: Settings) -> None:
    assert reason(home, {"currency_code": "RMB"}) == "currency_code: 'RMB' is an unknown currency"
    assert value(home, "currency_code", "cny") == "CNY"


def test_an_empty_required_value_is_refused(home: Settings) -> None:
    assert reason(home, {"customer_id": "  "}) == "customer_id: is empty"
    said = reason(home, {"Total": ""}, columns="amount: Total")
    assert said == "amount (Total): is empty"


def test_a_source_may_require_what_the_entity_can_do_without(home: Settings) -> None:
    columns = "due_date: {from: Due, required: true}"
    assert reason(home, {"Due": ""}, columns=columns) == "due_date (Due): is empty"
    assert (
        str(map_rows(home, [{**GOOD, "Due": "2026-02-04"}], columns=columns).good["due_date"][0])
        == "2026-02-04"
    )
    case = write_source(
        home, f"kind: files\nentities:\n  invoices:\n    path: x\n    columns: {{{columns}}}\n"
    )
    quick = PlainMapping(case.source, ENTITIES["invoices"], minor_units=ISO_4217)
    table = pa.table({name: [text] for name, text in {**GOOD, "Due": ""}.items()})
    mapped = quick.map(SourceBatch(table, "x.csv", range(2, 3)))
    assert (mapped.good.num_rows, mapped.refused["reason"].to_pylist()) == (0, ["due_date (Due): is empty"])


def test_all_that_is_wrong_with_a_row_is_said_at_once(home: Settings) -> None:
    said = reason(home, {"customer_id": "", "invoice_date": "x", "amount": "y"})
    assert said.split("; ") == [
        "customer_id: is empty",
        "invoice_date: 'x' is not a date of the form %Y-%m-%d",
        "amount: 'y' is not a number",
    ]


def test_a_refused_row_keeps_its_key_its_place_and_its_original(home: Settings) -> None:
    mapped = map_rows(home, [GOOD, {**GOOD, "invoice_id": "2", "amount": "x'y", "note": '中"文'}])
    assert mapped.refused.to_pylist() == [
        {
            "key": "2",
            "reason": "amount: 'x’y' is not a number",
            "payload": '{"invoice_id": "2", "customer_id": "C1", "invoice_date": "2026-01-05", "amount": "x\'y",'
            ' "note": "中\\"文"}',
            "location": "x.csv:3",
        }
    ]
    assert mapped.good["_row"].to_pylist() == [2]


def test_the_parts_of_a_key_are_joined(home: Settings) -> None:
    row = {"invoice_id": "1", "instalment_number": "2", "due_date": "soon", "amount": "1"}
    assert map_rows(home, [row], entity="instalments").refused["key"].to_pylist() == ["1|2"]
    row["invoice_id"] = ""
    assert map_rows(home, [row], entity="instalments").refused["key"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("not_blank", ["a", "b"]),
        ("blank", ["-"]),
        ("{equals: a}", ["a"]),
        ("{not_equals: a}", ["b", "-"]),
        ("{in: [a, x]}", ["a"]),
        ("{not_in: [a, x]}", ["b", "-"]),
        ("{in: ['']}", ["-"]),
    ],
)
def test_where_decides_which_rows_are_taken(home: Settings, rule: str, kept: list[str]) -> None:
    rows = [{**GOOD, "invoice_id": word or "-", "kind": word} for word in ("a", "b", "")]
    mapped = map_rows(home, rows, more=f"    where: {{kind: {rule}}}\n")
    assert mapped.good["invoice_id"].to_pylist() == kept
    assert mapped.refused.num_rows == 0


def test_a_template_builds_an_id_and_keeps_leading_zeros(home: Settings) -> None:
    mapped = map_rows(
        home,
        [{**GOOD, "no": "00042", "yr": "26"}],
        columns="invoice_id: {template: 'R-{yr}/{no}'}, reference: no",
    )
    assert (mapped.good["invoice_id"][0].as_py(), mapped.good["reference"][0].as_py()) == (
        "R-26/00042",
        "00042",
    )


def test_a_template_with_an_empty_part_gives_nothing(home: Settings) -> None:
    said = reason(home, {"no": ""}, columns="invoice_id: {template: 'R-{no}'}")
    assert said == "invoice_id (R-{no}): is empty"


def test_the_due_date_follows_from_the_terms(home: Settings) -> None:
    rows = [{**GOOD, "days": "30"}, {**GOOD, "days": ""}]
    assert map_rows(home, rows, columns="due_date: {from_terms: days}").good["due_date"].to_pylist() == [
        date(2026, 2, 4), None,
    ]  # fmt: skip
    assert map_rows(home, rows, columns="due_date: {from_terms: 14}").good["due_date"][0].as_py() == date(
        2026, 1, 19
    )


def test_a_given_due_date_goes_before_the_terms(home: Settings) -> None:
    rows = [{**GOOD, "due": "2026-03-01"}, {**GOOD, "due": ""}]
    mapped = map_rows(home, rows, columns="due_date: {from: due, from_terms: 30}")
    assert mapped.good["due_date"].to_pylist() == [date(2026, 3, 1), date(2026, 2, 4)]


def test_terms_may_count_from_another_date(home: Settings) -> None:
    rows = [{**GOOD, "posting_date": "2026-01-10"}]
    mapped = map_rows(home, rows, columns="due_date: {from_terms: 10, base: posting_date}")
    assert mapped.good["due_date"][0].as_py() == date(2026, 1, 20)


def test_words_for_no_value_are_empty(home: Settings) -> None:
    assert value(home, "reference", "NaN", top="nulls: [NaN, '-']\n") is None
    assert reason(home, {"amount": "-"}, top="nulls: [NaN, '-']\n") == "amount: is empty"


def test_a_column_can_be_left_out_although_its_name_fits(home: Settings) -> None:
    assert value(home, "reference", "x", columns="reference: null") is None


def test_names_match_whatever_their_case(home: Settings) -> None:
    mapped = map_rows(home, [{name.upper(): text for name, text in GOOD.items()}])
    assert mapped.good["invoice_id"].to_pylist() == ["1"]


def test_empty_rows_are_not_rows(home: Settings) -> None:
    mapped = map_rows(home, [GOOD, dict.fromkeys(GOOD, " ")])
    assert (mapped.good.num_rows, mapped.refused.num_rows) == (1, 0)


def test_typed_columns_of_a_source_are_taken_as_they_are(home: Settings) -> None:
    schema = pa.schema(
        [
            ("invoice_id", pa.int64()),
            ("customer_id", pa.string()),
            ("invoice_date", pa.date32()),
            ("amount", pa.decimal128(12, 2)),
            ("due_date", pa.timestamp("us")),
            ("is_disputed", pa.bool_()),
            ("updated_at", pa.timestamp("us", tz="Asia/Shanghai")),
            ("exchange_rate", pa.float64()),
            ("tax_amount", pa.float64()),
        ]
    )
    row = {
        "invoice_id": 7, "customer_id": "C1", "invoice_date": date(2026, 1, 5), "amount": Decimal("10.10"),
        "due_date": datetime(2026, 2, 5, 1), "is_disputed": True, "updated_at": datetime(2026, 1, 5, 1),
        "exchange_rate": 7.8123456, "tax_amount": 0.1,
    }  # fmt: skip
    # Separators and formats are of texts: typed columns have none.
    top = "decimal: ','\nthousands: '.'\ndate_formats: ['%d.%m.%Y']\n"
    good = map_rows(home, [row], schema=schema, top=top).good.to_pylist()[0]
    assert good["invoice_id"] == "7"
    assert (good["invoice_date"], good["due_date"]) == (date(2026, 1, 5), date(2026, 2, 5))
    assert (good["amount"], good["tax_amount"]) == (Decimal("10.1"), Decimal("0.1"))
    assert good["exchange_rate"] == Decimal("7.8123456")
    assert (good["is_disputed"], good["updated_at"]) == (True, datetime(2026, 1, 5, 1))


def test_a_rate_is_above_zero_and_has_eight_decimals(home: Settings) -> None:
    row = {"rate_date": "2026-01-05", "from_currency": "USD", "to_currency": "EUR", "rate": "0.1234567891"}
    good = map_rows(home, [row], entity="exchange_rates").good
    assert good["rate"].to_pylist() == [Decimal("0.12345679")]
    said = map_rows(home, [{**row, "rate": "-7.8"}], entity="exchange_rates").refused["reason"].to_pylist()
    assert said == ["rate: '-7.8' is not above zero"]


def test_control_totals_are_per_currency(home: Settings) -> None:
    rows = [
        {**GOOD, "amount": "0.10", "currency_code": "EUR"},
        {**GOOD, "amount": "0.20", "currency_code": "EUR"},
        {**GOOD, "amount": "5", "currency_code": "JPY"},
        {**GOOD, "amount": "1", "currency_code": ""},
        {**GOOD, "amount": "bad", "currency_code": "EUR"},
    ]
    totals = map_rows(home, rows, top="default_currency_code: USD\n").totals
    assert totals == {"EUR": Decimal("0.3"), "JPY": Decimal(5), "USD": Decimal(1)}
