"""The euro reference rates of the European Central Bank, from its files or its address.

It publishes one rate per currency and working day, about 16:00 in Frankfurt: units of the currency for one
euro. Nothing is rounded and no day is filled: carrying a rate over closed days is the models' part.
"""

from __future__ import annotations

import csv
import glob
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
from lxml import etree
from pydantic import Field, model_validator

from receivables.company import CurrencyCode
from receivables.currencies import ISO_4217
from receivables.errors import PermanentError
from receivables.settings import Settings
from receivables.sources.base import BATCH_ROWS, SourceBatch, Window
from receivables.sources.config import Duration, EntityConfig, IncrementalEntity, SourceConfig, expand_all
from receivables.sources.http import Answer, Api, Call, HttpClient
from receivables.sources.http_state import Token

_FRANKFURT = ZoneInfo("Europe/Berlin")
_PUBLISHED_AT = time(16)
_SCHEMA = pa.schema(
    [
        (name, pa.string())
        for name in ("rate_date", "from_currency", "to_currency", "rate", "rate_type", "published_at")
    ]
)
_DAILY = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist-90d.xml"

Quote = tuple[date, str, Decimal]


class EcbEntity(IncrementalEntity):
    """The rates. A file holds one day, ninety days or all: what an earlier one said stays."""

    mode: Literal["full", "incremental"] = "incremental"
    cursor: str | None = "published_at"
    overlap: Duration = timedelta(days=90)

    @model_validator(mode="after")
    def _is_incremental(self) -> EcbEntity:
        if self.mode != "incremental" or self.sweep:
            raise ValueError("a file of the day would remove all earlier days; leave mode and sweep out")
        return self


class EcbSource(SourceConfig):
    """The reference rates of the European Central Bank."""

    kind: Literal["ecb"]
    path: str | None = Field(
        None, description="eurofxref.csv, eurofxref-hist.csv, .zip or .xml: a file, folder or glob."
    )
    url: str | None = Field(None, description=f"An XML file of rates, e.g. {_DAILY}")
    currencies: tuple[CurrencyCode, ...] = Field((), description="Only these; default: all that are quoted.")
    into: tuple[CurrencyCode, ...] = Field(
        (), description="Also the rates between these and every currency, through the euro."
    )
    since: date | None = Field(None, description="Leave out the days before.")
    rate_type: str = Field("ecb", description="The rate type that the rows carry.")
    entities: dict[Literal["exchange_rates"], EcbEntity] = Field(default_factory=dict)

    @property
    def entity_configs(self) -> dict[str, EntityConfig]:
        """Exchange rates, whether the file names them or not."""
        return {"exchange_rates": self.entities.get("exchange_rates", EcbEntity())}

    @model_validator(mode="after")
    def _has_one_origin(self) -> EcbSource:
        if (self.path is None) == (self.url is None):
            raise ValueError("needs either `path` or `url`")
        return self


class EcbConnector:
    """Reads the rates of one source."""

    def __init__(self, source: EcbSource, settings: Settings) -> None:
        self.source = source
        self._what = f"source {source.name}"
        given = {"path": source.path} if source.path else {"url": source.url or ""}
        texts = expand_all(given, settings, what=f"{self._what} ({source.file})")
        self._url = texts.get("url")
        here = source.file.parent.resolve()
        self._path = here / Path(texts["path"]).expanduser() if "path" in texts else None
        self._http: HttpClient | None = None
        if self._url is not None:
            self._http = HttpClient(
                Api(
                    what=f"{self._what} ({self._url})",
                    authorize=lambda call, token: call,
                    fetch_token=_no_token,
                    identity=("ecb", self._url),
                    parse=_whole_xml,
                ),
                state=settings.http_state,
            )

    def close(self) -> None:
        """Let go of the connection."""
        if self._http is not None:
            self._http.close()

    def describe(self, entity: str) -> tuple[str, ...]:
        """The columns of the rows that `read` makes."""
        return tuple(_SCHEMA.names)

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """The rates published in the window, the earliest first."""
        for origin, quotes in self._files():
            rows = [row for row in self._rows(quotes) if _is_in(row["published_at"], window)]
            for start in range(0, len(rows), BATCH_ROWS):
                chunk = rows[start : start + BATCH_ROWS]
                table = pa.Table.from_pylist(chunk, schema=_SCHEMA)
                yield SourceBatch(table, origin, range(start + 1, start + 1 + len(chunk)))

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """Published rates are never taken back: a file of one day says nothing about the others."""
        return iter(())

    # --- the files ---

    def _files(self) -> Iterator[tuple[str, list[Quote]]]:
        if self._http is not None and self._url is not None:
            answer = self._http.send_bare(Call("GET", self._url, headers={"accept": "application/xml"}))
            if answer.status != 200:
                raise PermanentError(
                    f"{self._what} ({self._url})",
                    cause=f"the server answers with HTTP {answer.status}",
                    next_step=f"correct `url` in {self.source.file.name}, e.g. {_DAILY}",
                )
            yield self._url.rsplit("/", 1)[-1], self._xml(answer.text.encode(), self._url)
            return
        for path in self._paths():
            yield from self._file(path.name, self._bytes(path))

    def _paths(self) -> list[Path]:
        wanted = self._path or Path()
        if wanted.is_file():
            return [wanted]
        if wanted.is_dir():
            found = [child for child in wanted.iterdir() if child.suffix.lower() in {".csv", ".xml", ".zip"}]
        else:
            found = [Path(name) for name in glob.glob(str(wanted), recursive=True)]  # noqa: PTH207
        if not found:
            raise PermanentError(
                f"{self._what}: {wanted}",
                cause="there is no such file of rates (.csv, .xml or .zip)",
                next_step=f"put it there, or correct `path` in {self.source.file.name}",
            )
        return sorted(found)

    def _bytes(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise self._unreadable(path.name, str(error)) from error

    def _file(self, name: str, data: bytes) -> Iterator[tuple[str, list[Quote]]]:
        if name.lower().endswith(".zip"):
            try:
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    for member in archive.namelist():
                        yield from self._file(member, archive.read(member))
            except zipfile.BadZipFile as error:
                raise self._unreadable(name, "not a whole zip file") from error
        elif data.lstrip()[:1] == b"<":
            yield name, self._xml(data, name)
        else:
            yield name, self._csv(data, name)

    def _csv(self, data: bytes, name: str) -> list[Quote]:
        """Days down, currencies across; a space behind each comma, and one comma too many."""
        rows = csv.reader(io.StringIO(data.decode("utf-8-sig")), skipinitialspace=True)
        header = [cell.strip() for cell in next(rows, [])]
        if not header or header[0] != "Date":
            raise self._unreadable(name, "its first line does not begin with Date")
        quotes = []
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            day = _day(cells[0])
            if day is None:
                raise self._unreadable(name, f"'{cells[0]}' is not a date")
            for currency, text in zip(header[1:], cells[1:], strict=False):
                if currency and text not in {"", "N/A"}:
                    quotes.append((day, currency, self._rate(text, name, day)))
        return quotes

    def _xml(self, data: bytes, name: str) -> list[Quote]:
        """Cubes with a time, and in each the cubes with a currency and a rate, whatever their namespace."""
        try:
            parser = etree.XMLParser(resolve_entities=False, no_network=True)
            tree = etree.fromstring(data, parser=parser)
        except etree.XMLSyntaxError as error:
            raise self._unreadable(name, f"not whole XML ({error})") from error
        quotes = []
        for cube in tree.iter("{*}Cube"):
            day = _day(cube.get("time", ""))
            if day is None:
                continue
            for rate in cube.iter("{*}Cube"):
                if rate.get("currency") and rate.get("rate") not in {None, "", "N/A"}:
                    text = str(rate.get("rate"))
                    quotes.append((day, str(rate.get("currency")), self._rate(text, name, day)))
        if not quotes:
            raise self._unreadable(name, "it holds no rates")
        return quotes

    def _rate(self, text: str, name: str, day: date) -> Decimal:
        try:
            return Decimal(text)
        except InvalidOperation as error:
            raise self._unreadable(name, f"'{text}' on {day} is not a rate") from error

    def _unreadable(self, name: str, reason: str) -> PermanentError:
        return PermanentError(
            f"{self._what}: {name}",
            cause=f"is not a file of reference rates as the European Central Bank publishes them: {reason}",
            next_step="download it again from its page of euro foreign exchange reference rates",
        )

    # --- the rates ---

    def _rows(self, quotes: list[Quote]) -> Iterator[dict[str, str]]:
        days: dict[date, dict[str, Decimal]] = {}
        for day, currency, rate in quotes:
            if self.source.since is None or day >= self.source.since:
                days.setdefault(day, {})[currency] = rate
        for day in sorted(days):
            for (one, other), rate in self._pairs(days[day]).items():
                yield {
                    "rate_date": day.isoformat(),
                    "from_currency": one,
                    "to_currency": other,
                    "rate": f"{rate:f}",
                    "rate_type": self.source.rate_type,
                    "published_at": datetime.combine(day, _PUBLISHED_AT, _FRANKFURT).isoformat(),
                }

    def _pairs(self, rates: dict[str, Decimal]) -> dict[tuple[str, str], Decimal]:
        """The quoted rates, and the crosses that `into` asks for.

        A cross is given in the direction in which it is above 1: eight decimals then lose nothing that the
        five or six digits of the quotes had. The models invert it where they need to.
        """
        # The history has currencies that no longer exist: without a name for them, nobody needs them.
        wanted = self.source.currencies or tuple(one for one in rates if one in ISO_4217)
        pairs = {("EUR", one): rate for one, rate in rates.items() if one in {*wanted, *self.source.into}}
        for base in self.source.into:
            for one in wanted:
                if one == base or base not in rates or one not in rates:
                    continue
                strong, weak = (one, base) if rates[base] >= rates[one] else (base, one)
                cross = rates[weak] / rates[strong]
                pairs[strong, weak] = cross.quantize(Decimal("1e-8"))
        return pairs


def _no_token(send: Callable[[Call], Answer]) -> Token:
    """The files are public."""
    return Token("none", datetime.max.replace(tzinfo=UTC))


def _is_in(moment: str, window: Window) -> bool:
    at = datetime.fromisoformat(moment)
    return at < window.end and (window.start is None or at >= window.start)


def _day(text: str) -> date | None:
    """2026-10-30, or 30 October 2026 as in the file of the day."""
    for form in ("%Y-%m-%d", "%d %B %Y"):
        try:
            return datetime.strptime(text.strip(), form).date()  # noqa: DTZ007 (a day)
        except ValueError:
            continue
    return None


def _whole_xml(text: str) -> None:
    """Refuse an answer that was cut off: the envelope has to be closed."""
    if not re.search(r"</[\w:]*Envelope>\s*$", text):
        raise ValueError("the envelope is not closed")
