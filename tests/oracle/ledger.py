"""Documents and applications to balances: every open item of one day, recomputed from scratch.

Follows "Applications", "Settling an invoice", "Views" and "Age" of docs/LEDGER.md.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from tests.oracle.book import Basis, Book, convert, minor_unit, round_half_up, to_minor
from tests.oracle.documents import (
    CREDIT_ENTITIES,
    Document,
    DocumentKey,
    closing_rate,
    documents,
    is_carried,
    life,
    public_id,
)

SETTLING_TYPES = ("write_off", "discount")


@dataclass(frozen=True)
class Settlement:
    """An amount set against an invoice on the days [start, end)."""

    invoice: DocumentKey
    amount: int
    discount: int
    start: date
    end: date
    instalment: int | None
    credit: DocumentKey | None  # the credit document that pays; None for a write-off or a discount document
    kind: str  # receipt, credit_memo, journal, write_off, discount
    identity: str  # the public id of the application or document: the order within a day

    def counts_on(self, day: date) -> bool:
        return self.start <= day < self.end


@dataclass(frozen=True)
class Item:
    """One open item on one day; `open_amount` in minor units of `currency`, what is owed is positive."""

    document: DocumentKey
    document_type: str
    instalment_number: int
    customer_id: str
    company_id: str
    currency: str
    document_date: date
    posting_date: date
    due_date: date
    is_credit_document: bool
    open_amount: int
    company_amount: int | None
    group_amount: int | None
    is_booking_rate_carried: bool
    is_rate_carried: bool  # of the closing rate

    @property
    def is_credit(self) -> bool:
        return self.open_amount < 0

    def days_past_due(self, day: date, basis: Basis = "due_date") -> int:
        if basis == "posting_date":
            start = self.posting_date
        elif basis == "invoice_date" or self.is_credit_document:
            start = self.document_date
        else:
            start = self.due_date
        return (day - start).days


@dataclass(frozen=True)
class Filling:
    """How an invoice is settled: the open amount per instalment, and what no instalment could take."""

    open_amounts: tuple[int, ...]
    excess: int


def fill(invoice: Document, settlements: list[tuple[int, int | None]], policy: str) -> Filling:
    """Steps 1 to 4 of "Settling an invoice": (amount, named instalment) pairs against the schedule."""
    parts = invoice.instalments
    numbers = {part.number for part in parts}
    named: dict[int, int] = defaultdict(int)
    unnamed = 0
    for amount, number in settlements:
        if number in numbers:
            named[number] += amount
        else:
            unnamed += amount
    rooms = [part.amount - min(named[part.number], part.amount) for part in parts]
    taken = _pro_rata(parts_of(invoice), rooms, unnamed) if policy == "pro_rata" else _fifo(rooms, unnamed)
    open_amounts = tuple(room - take for room, take in zip(rooms, taken, strict=True))
    filled = sum(part.amount for part in parts) - sum(open_amounts)
    return Filling(open_amounts, sum(amount for amount, _ in settlements) - filled)


def parts_of(invoice: Document) -> list[int]:
    return [part.amount for part in invoice.instalments]


def _fifo(rooms: list[int], amount: int) -> list[int]:
    taken = []
    for room in rooms:
        take = min(room, amount)
        amount -= take
        taken.append(take)
    return taken


def _pro_rata(parts: list[int], rooms: list[int], amount: int) -> list[int]:
    total = sum(parts)
    spread = min(amount, total)
    taken, running, given = [], 0, 0
    for part, room in zip(parts, rooms, strict=True):
        running += part
        reached = round_half_up(Fraction(spread * running, total)) if total else 0
        taken.append(min(reached - given, room))
        given = reached
    return taken


class View:
    """A book as known at one day. `restated`: applications count from the later of the document dates."""

    def __init__(self, book: Book, known_at: date, *, restated: bool = False) -> None:
        self.book = book
        self.known_at = known_at
        self.documents = documents(book, known_at)
        self.applied_credits: set[DocumentKey] = set()  # what the source applies itself, or once did
        self.settlements = [*self._applications(restated), *self._settling_adjustments()]
        self.refunds = self._refunds()

    def _applications(self, restated: bool) -> list[Settlement]:
        found = []
        for chain in self.book.entity("applications").values():
            believed = life(chain, self.known_at)
            if believed is None:
                continue
            row, removed_on, _ = believed
            credit_key = (CREDIT_ENTITIES[row["credit_type"]], row["credit_id"])
            invoice_key = ("invoices", row["invoice_id"])
            self.applied_credits.add(credit_key)
            credit, invoice = self.documents.get(credit_key), self.documents.get(invoice_key)
            if credit is None or invoice is None:
                continue
            starts = [credit.date, invoice.date] + ([] if restated else [row["applied_on"]])
            unit = minor_unit(invoice.currency)
            found.append(
                Settlement(
                    invoice=invoice_key,
                    amount=to_minor(row["amount"], unit),
                    discount=to_minor(row.get("discount_amount") or 0, unit),
                    start=max(starts),
                    end=min(removed_on, credit.end, invoice.end),
                    instalment=row.get("instalment_number"),
                    credit=credit_key,
                    kind=row["credit_type"],
                    identity=f"application:{row['application_id']}",
                )
            )
        return found

    def _settling_adjustments(self) -> list[Settlement]:
        found = []
        for document in self.documents.values():
            invoice_id = document.row.get("invoice_id")
            invoice = self.documents.get(("invoices", invoice_id))
            if document.document_type in SETTLING_TYPES and invoice is not None:
                start, end = max(document.date, invoice.date), min(document.end, invoice.end)
                found.append(
                    Settlement(
                        invoice=invoice.key,
                        amount=document.amount,
                        discount=0,
                        start=start,
                        end=end,
                        instalment=None,
                        credit=None,
                        kind=document.document_type,
                        identity=public_id(document.key),
                    )
                )
        return found

    def _refunds(self) -> list[tuple[DocumentKey, Document]]:
        """Refunds of a named credit document, with that document's key."""
        return [
            ((CREDIT_ENTITIES[document.row["credit_type"]], document.row["credit_id"]), document)
            for document in self.documents.values()
            if document.document_type == "refund" and document.row.get("credit_id")
        ]

    def automatic_credits(self, invoice: DocumentKey) -> list[Document]:
        """Credit memos and credit journals that name the invoice and have no application, oldest first."""
        named = [
            document
            for document in self.documents.values()
            if document.document_type in ("credit_memo", "journal_credit")
            and document.row.get("invoice_id") == invoice[1]
            and document.key not in self.applied_credits
        ]
        return sorted(named, key=lambda document: (document.date, public_id(document.key)))

    def settlements_on(self, invoice: DocumentKey, day: date) -> list[Settlement]:
        return [one for one in self.settlements if one.invoice == invoice and one.counts_on(day)]

    def settle(self, invoice: Document, day: date) -> tuple[Filling, list[tuple[Document, int]]]:
        """The invoice on one day: what is open, what is in excess, and what each automatic credit gives."""
        in_effect = self.settlements_on(invoice.key, day)
        explicit = [(one.amount + one.discount, one.instalment) for one in in_effect]
        automatic = [credit for credit in self.automatic_credits(invoice.key) if credit.counts_on(day)]
        policy = self.book.config.allocation_policy
        filling = fill(invoice, explicit + [(credit.amount, None) for credit in automatic], policy)
        excess = fill(invoice, explicit, policy).excess
        gives, unused = [], filling.excess - excess
        for credit in reversed(automatic):
            back = min(unused, credit.amount)
            unused -= back
            gives.insert(0, (credit, credit.amount - back))
        return Filling(filling.open_amounts, excess), gives

    def open_items(self, day: date) -> list[Item]:
        """Every item with a balance on `day`."""
        used: dict[DocumentKey, int] = defaultdict(int)
        items = []
        for document in self.documents.values():
            if document.key[0] != "invoices" or not document.counts_on(day):
                continue
            filling, gives = self.settle(document, day)
            for credit, amount in gives:
                used[credit.key] += amount
            for part, open_amount in zip(document.instalments, filling.open_amounts, strict=True):
                items.append(self._item(document, part.number, part.due_date, open_amount, day))
            items.append(self._item(document, 0, document.date, -filling.excess, day))
        for one in self.settlements:
            if one.credit is not None and one.counts_on(day):
                used[one.credit] += one.amount
        for credit_key, refund in self.refunds:
            credit = self.documents.get(credit_key)
            if refund.counts_on(day) and credit is not None and credit.counts_on(day):
                used[credit_key] += refund.amount
        for document in self.documents.values():
            sign = own_item_sign(document)
            if sign and document.counts_on(day):
                balance = sign * document.amount + used[document.key]
                due_date = document.due_date if sign > 0 and document.due_date else document.date
                items.append(self._item(document, 1, due_date, balance, day))
        return [item for item in items if item.open_amount != 0]

    def _item(self, document: Document, number: int, due_date: date, open_amount: int, day: date) -> Item:
        config = self.book.config
        unit = minor_unit(document.currency)
        company_currency = config.companies[document.company_id]
        closing = closing_rate(self.book, document.currency, config.reporting_currency, day)
        return Item(
            document=document.key,
            document_type=document.document_type,
            instalment_number=number,
            customer_id=document.customer_id,
            company_id=document.company_id,
            currency=document.currency,
            document_date=document.date,
            posting_date=document.posting_date,
            due_date=due_date,
            is_credit_document=number == 0 or own_item_sign(document) < 0,
            open_amount=open_amount,
            company_amount=converted(open_amount, document.rate, unit, minor_unit(company_currency)),
            group_amount=converted(open_amount, closing, unit, minor_unit(config.reporting_currency)),
            is_booking_rate_carried=document.is_rate_carried,
            is_rate_carried=is_carried(self.book, document.currency, config.reporting_currency, day),
        )


def converted(minor: int, rate: Fraction | None, from_unit: int, to_unit: int) -> int | None:
    return None if rate is None else convert(minor, rate, from_unit, to_unit)


def own_item_sign(document: Document) -> int:
    """+1 or −1 for a document that is one item by itself; 0 for an invoice and for what only settles."""
    kind = document.document_type
    if kind in ("credit_memo", "receipt", "journal_credit"):
        return -1
    if kind == "journal_debit":
        return 1
    if kind == "refund":
        return 0 if document.row.get("credit_id") else 1
    if kind in SETTLING_TYPES:
        return 0 if document.row.get("invoice_id") else -1
    return 0


def open_items(book: Book, day: date, known_at: date, view: str = "known") -> list[Item]:
    """The open items of `day` as known at `known_at`; `view` is known or restated."""
    return View(book, known_at, restated=view == "restated").open_items(day)


@dataclass
class Cell:
    """The amounts of one ageing cell; a converted amount is None when a rate is missing."""

    open_amount: int = 0
    company_amount: int | None = 0
    group_amount: int | None = 0
    debit_amount: int = 0
    credit_amount: int = 0
    item_count: int = 0
    is_conversion_incomplete: bool = False
    is_booking_rate_carried: bool = False
    is_rate_carried: bool = False

    def add(self, item: Item) -> None:
        self.open_amount += item.open_amount
        self.company_amount = plus(self.company_amount, item.company_amount)
        self.group_amount = plus(self.group_amount, item.group_amount)
        self.debit_amount += max(item.open_amount, 0)
        self.credit_amount += min(item.open_amount, 0)
        self.item_count += 1
        missing = item.company_amount is None or item.group_amount is None
        self.is_conversion_incomplete = self.is_conversion_incomplete or missing
        self.is_booking_rate_carried = self.is_booking_rate_carried or item.is_booking_rate_carried
        self.is_rate_carried = self.is_rate_carried or item.is_rate_carried


def plus(left: int | None, right: int | None) -> int | None:
    """A sum is unknown as soon as one part of it is."""
    return None if left is None or right is None else left + right


CellKey = tuple[str, str, str, str]  # company, customer, currency, bucket


def aging(
    book: Book, day: date, known_at: date, *, basis: Basis = "due_date", view: str = "known"
) -> dict[CellKey, Cell]:
    """The open items of `day` by company, customer, currency and bucket."""
    cells: dict[CellKey, Cell] = defaultdict(Cell)
    for item in open_items(book, day, known_at, view):
        bucket = book.config.bucket(item.days_past_due(day, basis))
        cells[(item.company_id, item.customer_id, item.currency, bucket)].add(item)
    return dict(cells)
