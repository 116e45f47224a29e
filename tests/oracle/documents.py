"""Versions of rows to documents: what a view known at K believes about each document.

Follows "Knowledge" and "Documents" of docs/LEDGER.md, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from tests.oracle.book import (
    Book,
    Row,
    Version,
    current_row,
    minor_unit,
    round_half_up,
    seen_at,
    to_minor,
)

FOREVER = date(9999, 12, 31)

DOCUMENT_ENTITIES = {
    "invoices": ("invoice_id", "invoice_date"),
    "credit_memos": ("credit_memo_id", "credit_memo_date"),
    "receipts": ("receipt_id", "receipt_date"),
    "adjustments": ("adjustment_id", "adjustment_date"),
}
CREDIT_ENTITIES = {"receipt": "receipts", "credit_memo": "credit_memos", "journal": "adjustments"}

DocumentKey = tuple[str, str]  # (entity, id)


def public_id(key: DocumentKey) -> str:
    """The id that the tables show, without the name of the source in front."""
    return f"{key[0].removesuffix('s')}:{key[1]}"


@dataclass(frozen=True)
class Instalment:
    number: int
    due_date: date
    amount: int


@dataclass(frozen=True)
class Document:
    """A document in the facts that the view believes; it counts on the days [date, end)."""

    key: DocumentKey
    document_type: str
    customer_id: str
    company_id: str
    currency: str
    date: date
    posting_date: date
    due_date: date | None
    amount: int
    rate: Fraction | None
    is_rate_carried: bool
    end: date
    row: Row
    instalments: tuple[Instalment, ...] = ()

    def counts_on(self, day: date) -> bool:
        return self.date <= day < self.end


def _is_ended(version: Version) -> bool:
    return version.removed or version.row.get("status") == "void"


def life(chain: list[Version], known_at: date) -> tuple[Row, date, date] | None:
    """The facts of a row, the day that ends it, and the last day on which its facts were current.

    None: the row is unknown, a draft, or was void without a day when it was first seen.
    """
    seen = seen_at(chain, known_at)
    ended: list[Version] = []
    while seen and _is_ended(seen[-1]):
        ended.insert(0, seen.pop())
    if seen and seen[-1].row.get("status") == "draft":
        return None
    if not ended:
        return (seen[-1].row, FOREVER, known_at) if seen else None
    if seen:
        facts_until = date.fromordinal(ended[0].known_on.toordinal() - 1)
        return seen[-1].row, _end(ended), facts_until
    voids = [version for version in ended if version.row.get("voided_on")]
    return (voids[-1].row, _end(ended), known_at) if voids else None


def _end(ended: list[Version]) -> date:
    """The day that the newest end names itself, else the earliest of all ends."""
    own_day = ended[-1].row.get("voided_on")
    return own_day or min(version.row.get("voided_on") or version.known_on for version in ended)


def documents(book: Book, known_at: date) -> dict[DocumentKey, Document]:
    """Every document that was posted, as known at `known_at`.

    Rates and the company of a customer are no facts of a document: they are those of the run.
    """
    found = {}
    for entity, (id_column, date_column) in DOCUMENT_ENTITIES.items():
        for (identifier,), chain in book.entity(entity).items():
            believed = life(chain, known_at)
            if believed is None:
                continue
            row, end, facts_until = believed
            document = _document(book, entity, (id_column, date_column), row, end)
            if end < document.date:
                continue
            if entity == "invoices":
                schedule = _schedule(book, identifier, document, facts_until)
                document = replace(document, instalments=schedule)
            found[(entity, identifier)] = document
    return found


def _document(book: Book, entity: str, columns: tuple[str, str], row: Row, end: date) -> Document:
    config = book.config
    day = row[columns[1]]
    currency = row.get("currency_code") or config.default_currency
    company = row.get("company_id") or customer_company(book, row["customer_id"])
    document_type = {
        "invoices": row.get("document_type") or "invoice",
        "credit_memos": "credit_memo",
        "receipts": "receipt",
    }.get(entity) or row["adjustment_type"]
    return Document(
        key=(entity, row[columns[0]]),
        document_type=document_type,
        customer_id=row["customer_id"],
        company_id=company,
        currency=currency,
        date=day,
        posting_date=row.get("posting_date") or day,
        due_date=row.get("due_date"),
        amount=to_minor(row["amount"], minor_unit(currency)),
        rate=booking_rate(book, currency, config.companies[company], day, row.get("exchange_rate")),
        is_rate_carried=not row.get("exchange_rate")
        and is_carried(book, currency, config.companies[company], day),
        end=end,
        row=row,
    )


def customer_company(book: Book, customer_id: str) -> str:
    """The first company that the source named: a later move must not move old documents."""
    chain = seen_at(book.entity("customers").get((customer_id,), []), book.run_day)
    named = [version.row["company_id"] for version in chain if version.row.get("company_id")]
    return named[0] if named else book.config.default_company


def ultimate_parent(book: Book, customer_id: str) -> str:
    """The customer at the top, by today's parents; a circle ends after ten steps, or where it began."""
    top = customer_id
    for _ in range(10):
        row = current_row(book.entity("customers").get((top,), []), book.run_day) or {}
        parent = row.get("parent_customer_id")
        if parent is None or parent == customer_id:
            break
        top = parent
    return top


def booking_rate(book: Book, source: str, target: str, day: date, stated: Decimal | None) -> Fraction | None:
    """The document's own rate, else the newest on or before its date; 1 for the same currency only."""
    if stated and source != target:
        return Fraction(stated)
    return closing_rate(book, source, target, day)


def newest_rate(book: Book, source: str, target: str, day: date) -> Fraction | None:
    rates = book.quotes.get((source, target), {})
    days = [rate_date for rate_date in rates if rate_date <= day]
    return rates[max(days)] if days else None


def closing_rate(book: Book, source: str, target: str, day: date) -> Fraction | None:
    """The newest rate on or before `day`; the inverse of the opposite rate for a pair that nobody quotes.

    A rate has twelve decimals, an inverse too.
    """
    if source == target:
        return Fraction(1)
    if (source, target) in book.quotes:
        return newest_rate(book, source, target, day)
    opposite = newest_rate(book, target, source, day)
    return None if opposite is None else Fraction(round_half_up(10**12 / opposite), 10**12)


def is_carried(book: Book, source: str, target: str, day: date) -> bool:
    """Whether the rate of `day` is one of an earlier day: nobody quoted the pair on the day itself."""
    if closing_rate(book, source, target, day) is None or source == target:
        return False
    pair = (source, target) if (source, target) in book.quotes else (target, source)
    return day not in book.quotes[pair]


def _schedule(book: Book, invoice_id: str, invoice: Document, known_at: date) -> tuple[Instalment, ...]:
    """The instalments by due date; one over the whole amount when the schedule does not add up."""
    rows = [
        row
        for key, chain in book.entity("instalments").items()
        if key[0] == invoice_id and (row := current_row(chain, known_at)) is not None
    ]
    unit = minor_unit(invoice.currency)
    parts = [
        Instalment(row["instalment_number"], row["due_date"], to_minor(row["amount"], unit)) for row in rows
    ]
    if not parts or sum(part.amount for part in parts) != invoice.amount:
        return (Instalment(1, invoice.due_date or invoice.date, invoice.amount),)
    return tuple(sorted(parts, key=lambda part: (part.due_date, part.number)))
