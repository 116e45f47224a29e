"""Hypothesis strategies for whole companies: every document type, in any order, changed in any way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.oracle.book import Book, Config, Key, Row, Version, minor_unit, to_decimal, to_minor
from tests.oracle.calendars import MONTHS, Calendar
from tests.oracle.documents import CREDIT_ENTITIES

RUN_DAY = date(2024, 7, 10)
FIRST_DAY = date(2023, 12, 20)
LONG_AGO = date(2023, 5, 25)  # for the companies whose history is longer than a year
REPORTING_CURRENCY = "EUR"
COMPANY_CURRENCIES = ("EUR", "EUR", "USD", "JPY", "KWD")
DOCUMENT_CURRENCIES = ("EUR", "USD", "JPY", "KWD", "CHF")
CALENDARS = (*[MONTHS] * 4, Calendar("4-4-5", 1), Calendar("4-5-4", 2), Calendar("5-4-4", 7))
SEGMENTS = ("retail", "industry", "public", None)


def _rates() -> dict[Key, list[Version]]:
    """One table for all companies: weekly, some pairs only the other way round, CHF only from March on.

    Nobody quotes CHF to anything but EUR, nor JPY to KWD: documents in these may stay without a rate.
    """
    pairs = {
        ("USD", "EUR"): ("0.92", date(2023, 1, 2)),
        ("EUR", "USD"): ("1.085", date(2023, 1, 2)),
        ("EUR", "JPY"): ("161.37", date(2023, 1, 3)),
        ("EUR", "KWD"): ("0.3331", date(2023, 1, 4)),
        ("USD", "JPY"): ("148.2", date(2023, 1, 2)),
        ("USD", "KWD"): ("0.30655", date(2023, 1, 2)),
        ("CHF", "EUR"): ("1.0412", date(2024, 3, 4)),
    }
    chains: dict[Key, list[Version]] = {}
    for position, ((source, target), (first_rate, first_day)) in enumerate(pairs.items()):
        rate, day = Decimal(first_rate), first_day
        for week in range(100):
            swing = 1 + Decimal((week * 7 + position) % 13 - 6) / 1000
            quoted = (rate * swing).quantize(Decimal("0.00001"))
            row = {"rate_date": day, "from_currency": source, "to_currency": target, "rate": quoted}
            versions = [Version(row, date(2023, 1, 1))]
            if week == 60:
                versions.append(Version({**row, "rate": quoted + Decimal("0.01")}, date(2024, 5, 5)))
            chains[(day, source, target, None)] = versions
            day += timedelta(days=7)
            if day > RUN_DAY:
                break
    return chains


RATES = _rates()


@dataclass
class _Company:
    """A company while it is being drawn."""

    draw: DrawFn
    book: Book
    first_day: date
    always_convertible: bool
    customers: list[str] = field(default_factory=list)
    currencies: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.book.config.default_company

    def chance(self, percent: int) -> bool:
        return self.draw(st.integers(1, 100)) > 100 - percent

    def day(self, last: date = RUN_DAY + timedelta(days=10)) -> date:
        return self.first_day + timedelta(days=self.draw(st.integers(0, (last - self.first_day).days)))

    def recorded(self, day: date) -> date:
        """Mostly on its day, sometimes late, sometimes ahead."""
        if self.chance(70):
            return day
        return day + timedelta(days=self.draw(st.integers(-15, 40)))

    def amount(self, currency: str, highest: int = 400) -> Decimal:
        whole = self.draw(st.integers(1, highest)) * 10 ** minor_unit(currency)
        cents = self.draw(st.sampled_from((0, 0, 0, 1, 5, 33, 99)))
        return to_decimal(whole + (cents if minor_unit(currency) else 0), minor_unit(currency))

    def document(self, kind: str, number: int, currency: str) -> Row:
        """What every document has: its number, customer, date, amount, currency, rate and status."""
        day = self.day(RUN_DAY - timedelta(days=60)) if self.chance(80) else self.day()
        row: Row = {
            f"{kind}_id": f"{self.name}.{kind[0].upper()}{number}",
            "customer_id": self.draw(st.sampled_from(self.customers)),
            f"{kind}_date": day,
            "amount": self.amount(currency),
            "currency_code": currency,
        }
        if self.chance(80):
            row["company_id"] = self.name
        if self.chance(15):
            row["posting_date"] = day + timedelta(days=self.draw(st.integers(-3, 10)))
        if currency != self.book.config.default_currency and (self.always_convertible or self.chance(60)):
            row["exchange_rate"] = Decimal(self.draw(st.integers(1, 3000))) / 1000
        if self.chance(8):
            row["status"] = self.draw(st.sampled_from(("draft", "void", "posted")))
            if row["status"] == "void" and self.chance(50):
                row["voided_on"] = day + timedelta(days=self.draw(st.integers(-5, 60)))
        return row

    def add(self, entity: str, row: Row, recorded: date) -> None:
        self.book.add(entity, row, recorded)


@st.composite
def companies(draw: DrawFn, *, name: str, always_convertible: bool = False) -> Book:
    """A company of a few documents over some months, and what was done to them afterwards."""
    currency = draw(st.sampled_from(COMPANY_CURRENCIES))
    config = Config(
        companies={name: currency},
        default_company=name,
        default_currency=currency,
        reporting_currency=REPORTING_CURRENCY,
        allocation_policy=draw(st.sampled_from(("fifo", "fifo", "pro_rata"))),
        calendar=draw(st.sampled_from(CALENDARS)),
    )
    book = Book(config, RUN_DAY, {"exchange_rates": RATES})
    first_day = LONG_AGO if draw(st.integers(1, 10)) == 10 else FIRST_DAY
    company = _Company(draw, book, first_day, always_convertible)
    others = [one for one in DOCUMENT_CURRENCIES if one != currency]
    foreign = draw(st.lists(st.sampled_from(others), max_size=2, unique=True))
    company.currencies = [currency, currency, *foreign]
    _add_customers(company)
    _add_invoices(company)
    _add_credits(company)
    _add_adjustments(company)
    _add_applications(company)
    _change(company)
    _add_parents(company)
    return book


def _add_customers(company: _Company) -> None:
    for number in range(company.draw(st.integers(1, 3))):
        customer_id = f"{company.name}.C{number}"
        company.customers.append(customer_id)
        row = {
            "customer_id": customer_id,
            "customer_name": customer_id,
            "company_id": company.name,
            "segment": company.draw(st.sampled_from(SEGMENTS)),
        }
        known = company.first_day
        company.add("customers", row, known)
        while company.chance(25):
            known += timedelta(days=company.draw(st.integers(1, 60)))
            company.add("customers", {**row, "segment": company.draw(st.sampled_from(SEGMENTS))}, known)


def _add_parents(company: _Company) -> None:
    """Now and then a customer belongs to another, to itself, in a circle, or to one that nobody delivered."""
    for chain in company.book.chains["customers"].values():
        if company.chance(40):
            parent = company.draw(st.sampled_from([*company.customers, f"{company.name}.HOLDING"]))
            chain[-1] = replace(chain[-1], row={**chain[-1].row, "parent_customer_id": parent})


def _add_invoices(company: _Company) -> None:
    for number in range(company.draw(st.integers(1, 5))):
        row = company.document("invoice", number, company.draw(st.sampled_from(company.currencies)))
        if company.chance(80):
            row["due_date"] = row["invoice_date"] + timedelta(days=company.draw(st.integers(-5, 60)))
        if company.chance(15):
            row["document_type"] = company.draw(st.sampled_from(("invoice", "debit_memo")))
        recorded = company.recorded(row["invoice_date"])
        company.add("invoices", row, recorded)
        if company.chance(45):
            _add_schedule(company, row, recorded)


def _add_schedule(company: _Company, invoice: Row, recorded: date) -> None:
    """Two to four instalments; now and then they do not add up to the invoice."""
    unit = minor_unit(invoice["currency_code"])
    left = to_minor(invoice["amount"], unit)
    count = company.draw(st.integers(2, 4))
    due = invoice["invoice_date"]
    for number in range(1, count + 1):
        part = left if number == count else left * company.draw(st.integers(10, 60)) // 100
        left -= part
        due += timedelta(days=company.draw(st.integers(0, 45)))
        if company.chance(4):
            part += 1
        row = {
            "invoice_id": invoice["invoice_id"],
            "instalment_number": number,
            "due_date": due,
            "amount": to_decimal(max(part, 1), unit),
        }
        company.add("instalments", row, recorded)


def _add_credits(company: _Company) -> None:
    invoices = [chain[0].row for chain in company.book.entity("invoices").values()]
    for number in range(company.draw(st.integers(1, 4))):
        row = company.document("receipt", number, _currency_like(company, invoices))
        company.add("receipts", row, company.recorded(row["receipt_date"]))
    for number in range(company.draw(st.integers(0, 2))):
        row = company.document("credit_memo", number, _currency_like(company, invoices))
        _name_invoice(company, row, invoices, percent=70)
        company.add("credit_memos", row, company.recorded(row["credit_memo_date"]))


def _currency_like(company: _Company, rows: list[Row]) -> str:
    return str(company.draw(st.sampled_from([row["currency_code"] for row in rows])))


def _name_invoice(company: _Company, row: Row, invoices: list[Row], *, percent: int) -> None:
    same = [one["invoice_id"] for one in invoices if one["currency_code"] == row["currency_code"]]
    if same and company.chance(percent):
        row["invoice_id"] = company.draw(st.sampled_from(same))
    elif company.chance(3):
        row["invoice_id"] = f"{company.name}.UNKNOWN"


def _add_adjustments(company: _Company) -> None:
    invoices = [chain[0].row for chain in company.book.entity("invoices").values()]
    types = ("write_off", "discount", "journal_debit", "journal_credit", "refund")
    for number in range(company.draw(st.integers(0, 3))):
        row = company.document("adjustment", number, _currency_like(company, invoices))
        row["adjustment_type"] = company.draw(st.sampled_from(types))
        if row["adjustment_type"] == "refund":
            credits = _credits(company, row["currency_code"], ("receipt", "credit_memo"))
            if credits and company.chance(70):
                row["credit_type"], row["credit_id"] = company.draw(st.sampled_from(credits))
        else:
            _name_invoice(company, row, invoices, percent=60)
        if row["adjustment_type"] == "journal_debit" and company.chance(50):
            row["due_date"] = row["adjustment_date"] + timedelta(days=company.draw(st.integers(-40, 40)))
        company.add("adjustments", row, company.recorded(row["adjustment_date"]))


def _credits(company: _Company, currency: str, types: tuple[str, ...]) -> list[tuple[str, str]]:
    """(credit type, id) of every credit document in a currency."""
    found = []
    for kind, entity in CREDIT_ENTITIES.items():
        for (identifier,), chain in company.book.entity(entity).items():
            row = chain[0].row
            is_credit = kind != "journal" or row["adjustment_type"] == "journal_credit"
            if kind in types and is_credit and row["currency_code"] == currency:
                found.append((kind, identifier))
    return found


def _add_applications(company: _Company) -> None:
    invoices = [chain[0].row for chain in company.book.entity("invoices").values()]
    for number in range(company.draw(st.integers(1, 7))):
        invoice = company.draw(st.sampled_from(invoices))
        currency = invoice["currency_code"]
        credits = _credits(company, currency, ("receipt", "credit_memo", "journal"))
        if not credits:
            continue
        kind, identifier = company.draw(st.sampled_from(credits))
        credit = company.book.chains[CREDIT_ENTITIES[kind]][(identifier,)][0].row
        both = max(invoice["invoice_date"], *(credit[name] for name in _DATES if name in credit))
        applied_on = both + timedelta(days=company.draw(st.sampled_from((0, 0, 1, 20, -30, 45))))
        unit = minor_unit(currency)
        # Amounts that meet something exactly are the ones with edges; the others come from the whole range.
        meets = (invoice["amount"], credit["amount"], min(invoice["amount"], credit["amount"]))
        amount = company.draw(st.sampled_from(meets)) if company.chance(70) else company.amount(currency, 200)
        row: Row = {
            "application_id": f"{company.name}.P{number}",
            "credit_type": kind,
            "credit_id": identifier,
            "invoice_id": invoice["invoice_id"] if company.chance(97) else f"{company.name}.UNKNOWN",
            "amount": amount,
            "applied_on": applied_on,
        }
        if company.chance(20):
            row["discount_amount"] = to_decimal(company.draw(st.integers(1, 500)), unit)
        if company.chance(25):
            row["instalment_number"] = company.draw(st.integers(1, 5))
        company.add("applications", row, company.recorded(applied_on))


CHANGEABLE = ("invoices", "instalments", "credit_memos", "receipts", "applications", "adjustments")


def _change(company: _Company) -> None:
    """Void, remove, restore and edit rows, each some days after its last version; two may fall on one day."""
    keys = [(entity, key) for entity in CHANGEABLE for key in company.book.entity(entity)]
    for _ in range(company.draw(st.integers(0, 6))):
        entity, key = company.draw(st.sampled_from(keys))
        chain = company.book.chains[entity][key]
        lag = company.draw(st.sampled_from((0, 1, 3, 10, 30, 75)))
        day = chain[-1].known_on + timedelta(days=max(lag, 1) if len(chain) == 1 else lag)
        last_row = next(version.row for version in reversed(chain) if not version.removed)
        what = company.draw(st.sampled_from(("edit", "edit", "void", "remove", "restore")))
        if what == "remove" and not chain[-1].removed:
            company.book.remove(entity, key, day)
        elif what == "void" and entity not in ("instalments", "applications"):
            company.book.add(entity, _voided(company, entity, last_row), day)
        elif what == "restore":
            company.book.add(entity, {**last_row, **_posted(entity)}, day)
        else:
            company.book.add(entity, {**last_row, **_edit(company, entity, last_row)}, day)


def _posted(entity: str) -> Row:
    return {} if entity in ("instalments", "applications") else {"status": "posted", "voided_on": None}


def _voided(company: _Company, entity: str, row: Row) -> Row:
    changed = {**row, "status": "void", "voided_on": None}
    if company.chance(60):
        dated = next(row[name] for name in _DATES if name in row)
        changed["voided_on"] = dated + timedelta(days=company.draw(st.integers(-5, 90)))
    return changed


_DATES = ("invoice_date", "credit_memo_date", "receipt_date", "adjustment_date")


def _edit(company: _Company, entity: str, row: Row) -> Row:
    """One changed column."""
    columns = [name for name in ("amount", "due_date", *_DATES, "applied_on", "customer_id") if name in row]
    if entity not in ("instalments", "applications"):
        columns += ["status", "posting_date"]
    if entity in ("credit_memos", "adjustments") and "invoice_id" in row:
        columns.append("invoice_id")
    if entity == "applications":
        columns += ["instalment_number", "discount_amount"]
    column = company.draw(st.sampled_from(columns))
    return {column: _edited(company, entity, column, row)}


def _edited(company: _Company, entity: str, column: str, row: Row) -> Any:
    if column == "amount":
        factor = company.draw(st.sampled_from((Decimal("0.5"), Decimal(2), Decimal("1.1"))))
        unit = minor_unit(_currency_of(company, entity, row))
        return to_decimal(max(int(row["amount"] * factor * 10**unit), 1), unit)
    if column == "discount_amount":
        return to_decimal(company.draw(st.integers(1, 300)), minor_unit(_currency_of(company, entity, row)))
    if column == "customer_id":
        return company.draw(st.sampled_from(company.customers))
    if column == "status":
        return company.draw(st.sampled_from(("draft", "posted")))
    if column == "instalment_number":
        return company.draw(st.sampled_from((None, 1, 2, 3)))
    if column == "invoice_id":
        return None
    base = row.get(column) or next(row[name] for name in _DATES if name in row)
    return base + timedelta(days=company.draw(st.integers(-30, 30)))


def _currency_of(company: _Company, entity: str, row: Row) -> str:
    if "currency_code" in row:
        return str(row["currency_code"])
    chain = company.book.entity("invoices").get((row["invoice_id"],))
    return str(chain[0].row["currency_code"]) if chain else "JPY"
