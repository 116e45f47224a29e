"""Bank statements: camt.053, MT940 and BAI2, told apart by their content.

They deliver what the bank says, as bank statements and bank transactions. Nothing of it reaches the ledger:
the books are where receipts are recorded, and counting both would count cash twice. The models match the
money that came in with what is open. Where a source says so (`apply_from`), the matches of the last day that
are sure enough are delivered as bank applications: they count until the books hold the same money.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from glob import glob
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import mt940
import pyarrow as pa
from bai2 import bai2
from lxml import etree
from pydantic import Field, model_validator

from receivables.currencies import ISO_4217
from receivables.entities import ENTITIES
from receivables.errors import PermanentError
from receivables.settings import Settings
from receivables.sources.base import BATCH_ROWS, SourceBatch, UnreadableRow, Window
from receivables.sources.config import (
    Duration,
    Encoding,
    EntityConfig,
    IncrementalEntity,
    SourceConfig,
    Text,
    expand_all,
)
from receivables.sources.own_balance import last_day
from receivables.warehouse import has_table, reading

log = logging.getLogger(__name__)

_EXAMPLES = "camt.053 (XML), MT940 or BAI2"


class StatementEntity(IncrementalEntity):
    """Statements or transactions. Files may be archived: what was read once stays."""

    mode: Literal["full", "incremental"] = "incremental"
    cursor: str | None = "read_up_to"
    overlap: Duration = timedelta(days=3)

    @model_validator(mode="after")
    def _is_incremental(self) -> StatementEntity:
        if self.mode != "incremental" or self.sweep:
            raise ValueError("a statement that was archived would be removed; leave mode and sweep out")
        return self


BankEntity = Literal["bank_statements", "bank_transactions", "bank_applications"]


class BankStatementsSource(SourceConfig):
    """A folder of bank statements."""

    kind: Literal["bank_statements"]
    path: str = Field(description="A file, a folder or a glob. ${VARIABLE} is allowed.")
    encoding: Encoding = Field("utf-8-sig", description="Of MT940 and BAI2 files; XML says its own.")
    accounts: dict[Text, str] = Field(
        default_factory=dict, description="The bank account as the bank writes it: the company it belongs to."
    )
    apply_from: Annotated[Decimal, Field(ge=Decimal("0.5"), le=1)] | None = Field(
        None,
        description="Apply proposed matches of at least this confidence by themselves, e.g. 0.97."
        " Default: never.",
    )
    entities: dict[BankEntity, StatementEntity] = Field(default_factory=dict)

    @property
    def entity_configs(self) -> dict[str, EntityConfig]:
        """Always both: transactions without their statement cannot be checked."""
        configs: dict[str, EntityConfig] = {
            name: self.entities.get(name, StatementEntity())  # type: ignore[call-overload]
            for name in ("bank_statements", "bank_transactions")
        }
        if self.apply_from is not None:
            # What was applied stays: the models end it when the books hold the money.
            configs["bank_applications"] = StatementEntity().model_copy(update={"cursor": None})
        return configs


@dataclass(frozen=True)
class Entry:
    """One booking; `amount` is signed: money that came in is positive."""

    booked_on: date
    amount: Decimal
    valued_on: date | None = None
    is_reversal: bool = False
    counterparty: str | None = None
    counterparty_account: str | None = None
    reference: str | None = None
    bank_reference: str | None = None
    remittance: str | None = None


@dataclass(frozen=True)
class Statement:
    """One statement of one account, in its order."""

    account: str
    number: str
    currency: str | None
    opened_on: date | None
    closed_on: date
    opening: Decimal | None
    closing: Decimal | None
    entries: tuple[Entry, ...]

    @property
    def key(self) -> str:
        """The same for the same statement, however often it is delivered."""
        return f"{self.account}|{self.closed_on.isoformat()}|{self.number}"


class BankStatementsConnector:
    """Reads the statements of one source."""

    def __init__(self, source: BankStatementsSource, settings: Settings) -> None:
        self.source = source
        self._what = f"source {source.name}"
        self._warehouse = settings.warehouse
        given = expand_all({"path": source.path}, settings, what=f"{self._what} ({source.file})")
        self._path = source.file.parent.resolve() / Path(given["path"]).expanduser()

    def close(self) -> None:
        """Nothing stays open."""

    def describe(self, entity: str) -> tuple[str, ...]:
        """The columns of the rows that `read` makes."""
        if entity == "bank_applications":
            return _APPLICATION_COLUMNS
        return (*_COLUMNS[entity], "read_up_to")

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """Everything booked up to the end of the window: a file may arrive long after its day."""
        if entity == "bank_applications":
            yield self._applications(window)
            return
        seen: dict[str, tuple[str, Statement]] = {}
        for path in self._paths():
            unreadable: list[UnreadableRow] = []
            rows: list[dict[str, str | None]] = []
            try:
                statements = read_statements(path.read_bytes(), encoding=self.source.encoding)
            except (ValueError, OSError) as error:
                unreadable.append(UnreadableRow(path.name, f"is no statement that can be read: {error}", ""))
                statements = []
            for statement in statements:
                end = datetime.combine(statement.closed_on, time(), UTC)
                if end >= window.end:
                    continue
                if statement.key in seen:
                    first, known = seen[statement.key]
                    if known == statement:
                        log.info("%s: %s repeats a statement of %s", self._what, path.name, first)
                    else:
                        unreadable.append(
                            UnreadableRow(
                                path.name,
                                f"statement {statement.number} of account {statement.account} is in {first}"
                                " with other content; the first one counts",
                                statement.key,
                            )
                        )
                    continue
                seen[statement.key] = (path.name, statement)
                rows += self._rows(entity, statement)
            schema = pa.schema([(name, pa.string()) for name in self.describe(entity)])
            for start in range(0, max(len(rows), 1), BATCH_ROWS):
                chunk = rows[start : start + BATCH_ROWS]
                table = pa.Table.from_pylist(chunk, schema=schema)
                yield SourceBatch(
                    table, path.name, range(start + 1, start + 1 + len(chunk)), tuple(unreadable)
                )
                unreadable = []

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """A bank takes nothing back: a return is a booking of its own."""
        return iter(())

    def _applications(self, window: Window) -> SourceBatch:
        """The proposals of the last built day that are sure enough to be applied today.

        A payment for items of several customers is left to a person.
        """
        day = last_day(window, ZoneInfo(self.source.timezone))
        schema = pa.schema([(name, pa.string()) for name in _APPLICATION_COLUMNS])
        rows: list[tuple[Any, ...]] = []
        if self._warehouse.is_file():
            with reading(self._warehouse) as connection:
                if has_table(connection, "intermediate", "int_bank_matches"):
                    given = [day.isoformat(), self.source.name, self.source.apply_from]
                    rows = connection.execute(_SURE_ENOUGH, given).fetchall()
        columns = zip(*rows, strict=True) if rows else [()] * len(schema)
        arrays = [pa.array(column, pa.string()) for column in columns]
        table = pa.Table.from_arrays(arrays, schema=schema)
        return SourceBatch(table, "matches of the last built day", range(1, 1 + len(rows)))

    def _paths(self) -> list[Path]:
        if self._path.is_file():
            return [self._path]
        if self._path.is_dir():
            found = [
                child for child in self._path.iterdir() if child.is_file() and not child.name.startswith(".")
            ]
        else:
            found = [Path(name) for name in glob(str(self._path), recursive=True)]  # noqa: PTH207
        if not found:
            raise PermanentError(
                f"{self._what}: {self._path}",
                cause="there is no file of bank statements",
                next_step=f"put {_EXAMPLES} files there, or correct `path` in {self.source.file.name}",
            )
        return sorted(found)

    def _rows(self, entity: str, statement: Statement) -> Iterator[dict[str, str | None]]:
        company = self.source.accounts.get(statement.account)
        common = {
            "statement_id": statement.key,
            "account": statement.account,
            "company_id": company,
            "currency_code": statement.currency,
            "read_up_to": statement.closed_on.isoformat(),
        }
        if entity == "bank_statements":
            yield {
                **common,
                "statement_number": statement.number,
                "statement_date": statement.closed_on.isoformat(),
                "opening_date": _iso(statement.opened_on),
                "opening_balance_amount": _text(statement.opening),
                "closing_balance_amount": _text(statement.closing),
                "transaction_count": str(len(statement.entries)),
                "transactions_amount": _text(sum((entry.amount for entry in statement.entries), Decimal(0))),
            }
            return
        for position, entry in enumerate(statement.entries, start=1):
            yield {
                **common,
                "transaction_id": f"{statement.key}|{position}",
                "booking_date": entry.booked_on.isoformat(),
                "value_date": _iso(entry.valued_on),
                "direction": "credit" if entry.amount >= 0 else "debit",
                "amount": _text(abs(entry.amount)),
                "is_reversal": str(entry.is_reversal).lower(),
                "counterparty_name": entry.counterparty,
                "counterparty_account": entry.counterparty_account,
                "reference": entry.reference,
                "bank_reference": entry.bank_reference,
                "remittance": entry.remittance,
            }


_COLUMNS = {
    name: tuple(
        column
        for column in ENTITIES[name].column_names
        if column not in {"created_at", "updated_at", "customer_id"}
    )
    for name in ("bank_statements", "bank_transactions")
}


_APPLICATION_COLUMNS = tuple(
    column
    for column in ENTITIES["bank_applications"].column_names
    if column not in {"created_at", "updated_at"}
)
# Ids of transactions have their source in front here, and get it again where they are loaded.
_SURE_ENOUGH = """
    with sure as (
        select
            matches.*, substr(transaction_id, length(receipts.source_name || ':bank:') + 1) as booking,
            count(distinct matches.customer_id) over (partition by matches.transaction_id) as customers
        from intermediate.int_bank_matches as matches
        inner join intermediate.int_bank_receipts as receipts using (transaction_id)
        where receipts.source_name = $2 and matches.is_proposed and matches.confidence >= $3
            and contains(matches.document_id, ':invoice:')
    )
    select
        booking || '>' || open_item_id, booking, document_id, customer_id, proposed_amount::varchar, $1,
        currency_code, nullif(instalment_number, 0)::varchar, rule, confidence::varchar
    from sure where customers = 1 order by all
"""


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


# --- the formats ---


def read_statements(data: bytes, *, encoding: str = "utf-8-sig") -> list[Statement]:
    """The statements of a file, whatever its format.

    Raises:
        ValueError: it is none of the formats, or not whole.
    """
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:200]
    if start.startswith(b"<"):
        return _camt(data)
    text = data.decode(encoding)
    if start.startswith(b"01,"):
        return _guarded(_bai2, text)
    if b":20:" in start or start.startswith(b"{1:"):
        return _guarded(_mt940, text)
    raise ValueError(f"it is neither {_EXAMPLES}")


def _guarded(parse: Callable[[str], list[Statement]], text: str) -> list[Statement]:
    """The libraries raise whatever a broken file leads them to."""
    try:
        return parse(text)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _camt(data: bytes) -> list[Statement]:
    """ISO 20022 camt.053, any version: elements are found by name, whatever their namespace."""
    try:
        tree = etree.fromstring(data, parser=etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise ValueError(f"not whole XML ({error})") from error
    found = [_camt_statement(element) for element in tree.iter("{*}Stmt")]
    if not found:
        raise ValueError("XML without a statement (Stmt)")
    return found


def _camt_statement(statement: Any) -> Statement:
    balances = {}
    for balance in statement.findall("{*}Bal"):
        code = _first(balance, "Tp/CdOrPrtry/Cd") or _first(balance, "Tp/CdOrPrtry/Prtry")
        day = _camt_day(balance, "Dt")
        amount = _camt_amount(balance)
        # PRCD, the previous closing, is the opening where a bank gives no OPBD; the last of each kind counts.
        balances[code or ""] = (day, amount)
    opening = balances.get("OPBD") or balances.get("PRCD") or (None, None)
    closing = balances.get("CLBD") or (None, None)
    entries = tuple(entry for element in statement.findall("{*}Ntry") for entry in _camt_entries(element))
    closed_on = closing[0] or _camt_day(statement, "FrToDt/ToDtTm") or _camt_day(statement, "CreDtTm")
    if closed_on is None:
        raise ValueError("a statement without a closing balance, a period or a creation date")
    account = _first(statement, "Acct/Id/IBAN") or _first(statement, "Acct/Id/Othr/Id")
    if account is None:
        raise ValueError("a statement without an account")
    amount = statement.find("{*}Bal/{*}Amt")
    return Statement(
        account=account,
        number=_first(statement, "LglSeqNb")
        or _first(statement, "ElctrncSeqNb")
        or _first(statement, "Id")
        or "",
        currency=_first(statement, "Acct/Ccy") or (amount.get("Ccy") if amount is not None else None),
        opened_on=opening[0],
        closed_on=closed_on,
        opening=opening[1],
        closing=closing[1],
        entries=entries,
    )


def _camt_entries(entry: Any) -> Iterator[Entry]:
    """One entry, or the transactions of a batch where each has its own amount and they add up."""
    status = _first(entry, "Sts/Cd") or _first(entry, "Sts")
    if status not in {None, "BOOK"}:
        return  # pending: not yet the bank's word
    total = _camt_amount(entry)
    booked_on = _camt_day(entry, "BookgDt")
    if total is None or booked_on is None:
        raise ValueError("an entry without amount or booking date")
    common: dict[str, Any] = {
        "booked_on": booked_on,
        "valued_on": _camt_day(entry, "ValDt"),
        "is_reversal": _first(entry, "RvslInd") in {"true", "1"},
    }
    details = entry.findall("{*}NtryDtls/{*}TxDtls")
    amounts = [_camt_detail_amount(detail, total) for detail in details]
    if len(details) > 1 and None not in amounts and sum(filter(None, amounts)) == total:
        for detail, amount in zip(details, amounts, strict=True):
            yield Entry(amount=amount or Decimal(0), **common, **_camt_detail(detail, entry))
        return
    yield Entry(amount=total, **common, **_camt_detail(details[0] if len(details) == 1 else entry, entry))


def _camt_detail(detail: Any, entry: Any) -> dict[str, str | None]:
    came_in = (_first(entry, "CdtDbtInd") or "CRDT") == "CRDT"
    party, account = ("Dbtr", "DbtrAcct") if came_in else ("Cdtr", "CdtrAcct")
    lines = [
        *_all(detail, ".//{*}RmtInf/{*}Ustrd"),
        *_all(detail, ".//{*}RmtInf/{*}Strd/{*}CdtrRefInf/{*}Ref"),
        *_all(detail, ".//{*}RmtInf/{*}Strd/{*}RfrdDocInf/{*}Nb"),
    ]
    reference = next(iter(_all(detail, ".//{*}Refs/{*}EndToEndId")), None)
    name = next(iter(_all(detail, f".//{{*}}RltdPties/{{*}}{party}//{{*}}Nm")), None)
    number = [
        *_all(detail, f".//{{*}}RltdPties/{{*}}{account}/{{*}}Id/{{*}}IBAN"),
        *_all(detail, f".//{{*}}RltdPties/{{*}}{account}/{{*}}Id/{{*}}Othr/{{*}}Id"),
    ]
    return {
        "counterparty": name,
        "counterparty_account": next(iter(number), None),
        "reference": None if reference == "NOTPROVIDED" else reference,
        "bank_reference": next(iter(_all(detail, ".//{*}Refs/{*}AcctSvcrRef")), None)
        or _first(entry, "AcctSvcrRef"),
        "remittance": " ".join(lines) or _first(entry, "AddtlNtryInf"),
    }


def _camt_detail_amount(detail: Any, total: Decimal) -> Decimal | None:
    for place in ("Amt", "AmtDtls/TxAmt/Amt"):
        text = _first(detail, place)
        if text is not None:
            sign = {"CRDT": 1, "DBIT": -1}.get(_first(detail, "CdtDbtInd") or "", 1 if total >= 0 else -1)
            return sign * _number(text)
    return None


def _camt_amount(element: Any) -> Decimal | None:
    text = _first(element, "Amt")
    if text is None:
        return None
    return _number(text) * (-1 if _first(element, "CdtDbtInd") == "DBIT" else 1)


def _camt_day(element: Any, place: str) -> date | None:
    """A date, or the date of a moment as the bank wrote it."""
    text = _first(element, f"{place}/Dt") or _first(element, f"{place}/DtTm") or _first(element, place)
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def _first(element: Any, place: str) -> str | None:
    found = element.find("/".join(f"{{*}}{name}" for name in place.split("/")))
    text = (found.text or "").strip() if found is not None else ""
    return text or None


def _all(element: Any, path: str) -> list[str]:
    return [text for found in element.iterfind(path) if (text := (found.text or "").strip())]


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"'{text}' is not an amount") from None


def _mt940(text: str) -> list[Statement]:
    """SWIFT MT940. One block per statement: the library merges what a file holds."""
    blocks = [block for block in re.split(r"(?m)^(?=:20:)", text) if block.startswith(":20:")]
    return [_mt940_statement(block) for block in blocks]


def _mt940_statement(block: str) -> Statement:
    parsed = mt940.parse(block)
    data = parsed.data
    opening = data.get("final_opening_balance") or data.get("intermediate_opening_balance")
    closing = data.get("final_closing_balance") or data.get("intermediate_closing_balance")
    if opening is None or closing is None or "account_identification" not in data:
        raise ValueError("a statement without account, opening or closing balance (:25:, :60F:, :62F:)")
    number = "/".join(filter(None, (data.get("statement_number"), data.get("sequence_number"))))
    return Statement(
        account=str(data["account_identification"]).strip(),
        number=number,
        currency=str(closing.amount.currency),
        opened_on=_plain_day(opening.date),
        closed_on=_plain_day(closing.date),
        opening=opening.amount.amount,
        closing=closing.amount.amount,
        entries=tuple(_mt940_entry(one.data) for one in parsed),
    )


def _mt940_entry(data: dict[str, Any]) -> Entry:
    """RC takes back a credit and RD a debit: their sign is the opposite of the letter's."""
    size, status = abs(data["amount"].amount), str(data["status"])
    told = [data.get("purpose"), data.get("additional_purpose"), data.get("extra_details")]
    remittance = " ".join(str(text) for text in told if text) or str(data.get("transaction_details") or "")
    customer = data.get("customer_reference")
    return Entry(
        booked_on=_plain_day(data.get("entry_date") or data["date"]),
        valued_on=_plain_day(data["date"]),
        amount=size if status in {"C", "RD"} else -size,
        is_reversal=status.startswith("R"),
        counterparty=data.get("applicant_name") or data.get("recipient_name"),
        counterparty_account=data.get("gvc_applicant_iban"),
        reference=data.get("end_to_end_reference") or (None if customer == "NONREF" else customer),
        bank_reference=data.get("bank_reference"),
        remittance=" ".join(remittance.split()) or None,
    )


def _plain_day(day: Any) -> date:
    return date(day.year, day.month, day.day)


def _bai2(text: str) -> list[Statement]:
    """BAI2. Amounts have the currency's decimals without a point; totals of the file are checked."""
    parsed = bai2.parse_from_string(text, check_integrity=True)
    statements = []
    for group in parsed.children:
        for account in group.children:
            header = account.header
            currency = header.currency or group.header.currency
            scale = ISO_4217.get(str(currency or "USD"), 2)
            balances = {
                str(item.type_code.code): Decimal(int(item.amount)).scaleb(-scale)
                for item in header.summary_items
                if item.type_code is not None and item.amount is not None
            }
            day = _plain_day(group.header.as_of_date)
            statements.append(
                Statement(
                    account=str(header.customer_account_number),
                    number="",
                    currency=str(currency) if currency else None,
                    opened_on=day,
                    closed_on=day,
                    opening=balances.get("010"),
                    closing=balances.get("015"),
                    entries=tuple(_bai2_entry(one, day, scale) for one in account.children),
                )
            )
    return statements


def _bai2_entry(one: Any, day: date, scale: int) -> Entry:
    amount = Decimal(int(one.amount)).scaleb(-scale)
    is_credit = getattr(one.type_code.transaction, "value", None) == "credit"
    return Entry(
        booked_on=day,
        amount=amount if is_credit else -amount,
        reference=one.customer_reference or None,
        bank_reference=one.bank_reference or None,
        remittance=" ".join(str(one.text or "").split()) or None,
    )
