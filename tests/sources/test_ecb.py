"""The European Central Bank's rates, in each of the forms in which it publishes them."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from receivables.errors import ConfigError, PermanentError
from receivables.settings import Settings
from tests.sources.setup import Case, write_source

DAY = date(2026, 10, 30)
OF_THE_DAY = "Date, USD, JPY, BGN, IDR, \n30 October 2026, 1.1172, 171.35, 1.9558, 18234.61, \n"
HISTORY = (
    "Date,USD,JPY,CYP,CNY,\n"
    "2026-10-30,1.1172,171.35,N/A,7.9512,\n"
    "2026-10-29,1.11725,171.4,N/A,7.95,\n"
    "1999-01-04,1.1789,133.73,0.58231,N/A,\n"
)
XML = (
    "<?xml version='1.0' encoding='UTF-8'?>"
    "<gesmes:Envelope xmlns:gesmes='http://www.gesmes.org/xml/2002-08-01'"
    " xmlns='http://www.ecb.int/vocabulary/2002-08-01/eurofxref'><Cube>"
    "<Cube time='2026-10-30'><Cube currency='USD' rate='1.1172'/><Cube currency='JPY' rate='171.35'/></Cube>"
    "<Cube time='2026-10-29'><Cube currency='USD' rate='1.11725'/></Cube>"
    "</Cube></gesmes:Envelope>"
)


def ecb(home: Settings, line: str) -> Case:
    return write_source(home, f"kind: ecb\n{line}\n", name="ecb")


def rates(case: Case, where: str = "true") -> list[tuple[object, ...]]:
    return case.query(
        "select cast(rate_date as varchar), from_currency, to_currency, rate from raw_ecb.exchange_rates"
        f" where {where} order by 1, 2, 3"
    )


def test_the_file_of_the_day_gives_euros_in_each_currency(home: Settings) -> None:
    """Spaces behind the commas, a comma too many, and the month in words."""
    case = ecb(home, "path: eurofxref.csv")
    case.data("eurofxref.csv", OF_THE_DAY)
    case.run(DAY)
    assert rates(case) == [
        ("2026-10-30", "EUR", "BGN", Decimal("1.9558")),
        ("2026-10-30", "EUR", "IDR", Decimal("18234.61")),
        ("2026-10-30", "EUR", "JPY", Decimal("171.35")),
        ("2026-10-30", "EUR", "USD", Decimal("1.1172")),
    ]


def test_what_is_not_available_is_absent_and_nothing_is_rounded(home: Settings) -> None:
    """Nor is a currency that no longer exists (CYP): no company keeps books in it."""
    case = ecb(home, "path: eurofxref-hist.csv\nentities: {exchange_rates: {}}")
    case.data("eurofxref-hist.csv", HISTORY)
    report = case.run(DAY)
    assert (len(rates(case)), report.refused) == (8, 0)
    assert rates(case, "to_currency = 'CNY'")[-1] == ("2026-10-30", "EUR", "CNY", Decimal("7.9512"))
    assert rates(case, "rate_date = '2026-10-29' and to_currency = 'USD'")[0][3] == Decimal("1.11725")


def test_the_file_of_the_next_day_takes_nothing_away(home: Settings) -> None:
    case = ecb(home, "path: eurofxref.csv\ncurrencies: [USD]")
    case.data("eurofxref.csv", OF_THE_DAY)
    case.run(DAY)
    case.data("eurofxref.csv", "Date, USD, \n02 November 2026, 1.1201, \n")
    case.run(date(2026, 11, 2))
    assert [row[0] for row in rates(case, "not _is_removed")] == ["2026-10-30", "2026-11-02"]
    assert rates(case, "_is_removed") == []


def test_a_run_of_a_past_day_sees_no_later_rate(home: Settings) -> None:
    case = ecb(home, "path: eurofxref-hist.csv\ncurrencies: [USD]\nsince: 2026-01-01")
    case.data("eurofxref-hist.csv", HISTORY)
    case.run(date(2026, 10, 29))
    assert [row[0] for row in rates(case)] == ["2026-10-29"]
    case.run(DAY)
    assert [row[0] for row in rates(case)] == ["2026-10-29", "2026-10-30"]


def test_a_zip_and_xml_hold_the_same(home: Settings) -> None:
    case = ecb(home, "path: downloads\ncurrencies: [USD, JPY]\nsince: 2026-01-01")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("eurofxref-hist.csv", HISTORY)
    case.data("downloads/eurofxref-hist.zip", packed.getvalue())
    case.data("downloads/eurofxref-hist-90d.xml", XML)
    case.run(DAY)
    # The same rate twice is one row; the JPY of the 29th is in the CSV only.
    assert [row[:3] for row in rates(case)] == [
        ("2026-10-29", "EUR", "JPY"),
        ("2026-10-29", "EUR", "USD"),
        ("2026-10-30", "EUR", "JPY"),
        ("2026-10-30", "EUR", "USD"),
    ]


def test_crosses_go_through_the_euro_in_the_direction_above_one(home: Settings) -> None:
    """A rupiah in dollars has five digits left in eight decimals; a dollar in rupiah keeps them all."""
    case = ecb(home, "path: eurofxref.csv\ninto: [USD]\ncurrencies: [JPY, IDR]")
    case.data("eurofxref.csv", OF_THE_DAY)
    case.run(DAY)
    assert [(row[1], row[2], row[3]) for row in rates(case, "from_currency = 'USD'")] == [
        ("USD", "IDR", Decimal("16321.70605084")),
        ("USD", "JPY", Decimal("153.37450770")),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("r.csv", "Currency,USD\n", "its first line does not begin with Date"),
        ("r.csv", "Date,USD\nyesterday,1.1\n", "'yesterday' is not a date"),
        ("r.csv", "Date,USD\n2026-10-30,1.1x\n", "'1.1x' on 2026-10-30 is not a rate"),
        ("r.xml", XML[:200], "not whole XML"),
        ("r.zip", "PK", "not a whole zip file"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(home: Settings, name: str, text: str, said: str) -> None:
    case = ecb(home, f"path: {name}")
    case.data(name, text)
    with pytest.raises(PermanentError, match=said):
        case.run(DAY)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("currencies: [USD]", "needs either `path` or `url`"),
        ("path: a\nentities: {exchange_rates: {mode: full}}", "would remove all earlier days"),
        ("path: a\nentities: {invoices: {}}", "exchange_rates"),
    ],
)
def test_a_wrong_setting_is_explained(home: Settings, line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _ = ecb(home, line).source


@contextmanager
def serving(answers: list[tuple[int, str]]) -> Iterator[str]:
    """A server that gives one answer after the other, the last one for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/eurofxref-hist-90d.xml"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_address_is_read_again_when_the_answer_was_cut_off(home: Settings) -> None:
    with serving([(200, XML[:300]), (200, XML)]) as url:
        case = ecb(home, f"url: {url}")
        case.run(DAY)
    assert len(rates(case)) == 3


def test_a_wrong_address_is_an_error_with_the_right_one(home: Settings) -> None:
    with serving([(404, "nothing here")]) as url, pytest.raises(PermanentError, match=r"HTTP 404.*hist-90d"):
        ecb(home, f"url: {url}").run(DAY)
