"""Balances to entries: what each event changed of each open item, as known on the day of the run.

Follows "Settling an invoice" and "Entries" of docs/LEDGER.md: an invoice is replayed event by event, and an
entry is the difference that an event made. Used where an amount depends on how it was booked, entry by entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from tests.oracle.documents import FOREVER, Document, DocumentKey, public_id
from tests.oracle.ledger import SETTLING_TYPES, Settlement, View, fill, own_item_sign

# The order within a day: posted, applied, un-applied, the invoice's own end.
POSTED, APPLIED, UNAPPLIED, ENDED = range(4)


@dataclass(frozen=True)
class Entry:
    """A signed change in minor units of one open item of `document`."""

    document: DocumentKey
    item: int  # the instalment; 0 = what was settled in excess; 1 for a document that is one item
    entry_type: str
    day: date
    is_end: bool
    amount: int


def ledger_entries(view: View) -> list[Entry]:
    """Every entry that the view believes, the sides of applications among them."""
    found: list[Entry] = []
    for document in view.documents.values():
        if document.key[0] == "invoices":
            found += _Replay(view, document).entries()
        elif sign := own_item_sign(document):
            kind, amount = document.document_type, sign * document.amount
            found += _both_ends(document.key, kind, document.date, document.end, amount)
    for credit_key, refund in view.refunds:
        credit = view.documents.get(credit_key)
        if credit is not None:
            start, end = max(refund.date, credit.date), min(refund.end, credit.end)
            if start < end:
                found += _both_ends(credit_key, "refund", start, end, refund.amount)
    for one in view.settlements:
        if one.credit is not None and one.start < one.end:
            found += _both_ends(one.credit, "application", one.start, one.end, one.amount)
    return [entry for entry in found if entry.amount]


def _both_ends(document: DocumentKey, kind: str, start: date, end: date, amount: int) -> Iterator[Entry]:
    yield Entry(document, 1, kind, start, is_end=False, amount=amount)
    if end != FOREVER:
        yield Entry(document, 1, kind, end, is_end=True, amount=-amount)


@dataclass(frozen=True)
class _Event:
    """Something that changes how far an invoice is settled."""

    day: date
    rank: int
    identity: str  # the order within a day and rank
    entry_type: str
    amount: int = 0  # settled; negative when a settlement ends
    instalment: int | None = None
    memo: Document | None = None  # the credit that the invoice takes by itself

    @property
    def order(self) -> tuple[date, int, str]:
        return self.day, self.rank, self.identity


class _Replay:
    """One invoice from its posting to its end."""

    def __init__(self, view: View, invoice: Document) -> None:
        self.invoice = invoice
        self.policy = view.book.config.allocation_policy
        self.memos = view.automatic_credits(invoice.key)
        self.settlements = [
            one for one in view.settlements if one.invoice == invoice.key and one.start < one.end
        ]
        self.is_posted = False
        self.settled: list[tuple[int, int | None]] = []
        self.in_effect: list[Document] = []  # of the memos, oldest first
        self.items: dict[tuple[DocumentKey, int], int] = {}

    def entries(self) -> Iterator[Entry]:
        for event in sorted(self._events(), key=lambda event: event.order):
            before = self._taken_back()
            settled_before = list(self.settled)
            self._apply(event)
            after = self._taken_back()
            # A settlement that pushes a memo out settles in full, and one that ends opens in full: that
            # the memo gives way, or comes back, is an entry of the memo's own, just before, or just after.
            more, less = sum(after.values()), sum(before.values())
            if event.memo is None and event.rank == APPLIED and more > less:
                yield from self._entries(event, self._between(settled_before, after), "application")
                yield from self._entries(event, self._balances(after), event.entry_type)
            elif event.memo is None and event.rank == UNAPPLIED and more < less:
                yield from self._entries(event, self._between(self.settled, before), event.entry_type)
                yield from self._entries(event, self._balances(after), "application")
            else:
                yield from self._entries(event, self._balances(after), event.entry_type)

    def _events(self) -> Iterator[_Event]:
        invoice, kind = self.invoice, self.invoice.document_type
        yield _Event(invoice.date, POSTED, "", kind)
        if invoice.end != FOREVER:
            yield _Event(invoice.end, ENDED, "", kind)
        for one in self.settlements:
            kind = one.kind if one.kind in SETTLING_TYPES else "application"
            yield from _applied_and_ended(one, "", kind, one.amount)
            if one.discount:
                yield from _applied_and_ended(one, ":discount", "discount", one.discount)
        for memo in self.memos:
            start, end = max(memo.date, invoice.date), min(memo.end, invoice.end)
            if start < end:
                identity = f"{public_id(memo.key)}:automatic"
                yield _Event(start, APPLIED, f"{identity}:applied", "application", memo.amount, memo=memo)
                if end != FOREVER:
                    yield _Event(end, UNAPPLIED, f"{identity}:ended", "application", -memo.amount, memo=memo)

    def _apply(self, event: _Event) -> None:
        if event.rank in (POSTED, ENDED):
            self.is_posted = event.rank == POSTED
        elif event.memo is None:
            self.settled.append((event.amount, event.instalment))
        elif event.rank == APPLIED:
            self.in_effect = [memo for memo in self.memos if memo in (*self.in_effect, event.memo)]
        else:
            self.in_effect.remove(event.memo)

    def _taken_back(self) -> dict[DocumentKey, int]:
        """What no instalment can take of each memo in effect, the last one first."""
        unused = self._fill([*self.settled, *((memo.amount, None) for memo in self.in_effect)])[1]
        unused -= self._fill(self.settled)[1]
        found = {}
        for memo in reversed(self.in_effect):
            found[memo.key] = min(unused, memo.amount)
            unused -= found[memo.key]
        return found

    def _fill(self, settled: list[tuple[int, int | None]]) -> tuple[tuple[int, ...], int]:
        """The open amounts, and what settles beyond them; an invoice that does not count takes nothing."""
        if not self.is_posted:
            return tuple(0 for _ in self.invoice.instalments), sum(amount for amount, _ in settled)
        filling = fill(self.invoice, settled, self.policy)
        return filling.open_amounts, filling.excess

    def _balances(self, taken_back: dict[DocumentKey, int]) -> dict[tuple[DocumentKey, int], int]:
        """Every item after an event; what is taken back of a memo lowers what the invoice used of it."""
        memos = [(memo.amount, None) for memo in self.in_effect]
        open_amounts, excess = self._fill([*self.settled, *memos])
        found = self._named(open_amounts, excess - sum(taken_back.values()))
        for memo in self.in_effect:
            found[(memo.key, 1)] = memo.amount - taken_back[memo.key]
        return found

    def _between(
        self, settled: list[tuple[int, int | None]], taken_back: dict[DocumentKey, int]
    ) -> dict[tuple[DocumentKey, int], int]:
        """The same between the two steps of an event, the memos already or still without `taken_back`."""
        gives = [(memo.amount - taken_back[memo.key], None) for memo in self.in_effect]
        found = self._named(*self._fill([*settled, *gives]))
        for memo, (amount, _) in zip(self.in_effect, gives, strict=True):
            found[(memo.key, 1)] = amount
        return found

    def _named(self, open_amounts: tuple[int, ...], excess: int) -> dict[tuple[DocumentKey, int], int]:
        key = self.invoice.key
        numbers = [part.number for part in self.invoice.instalments]
        parts = {(key, number): amount for number, amount in zip(numbers, open_amounts, strict=True)}
        return {**parts, (key, 0): -excess}

    def _entries(
        self, event: _Event, items: dict[tuple[DocumentKey, int], int], entry_type: str
    ) -> Iterator[Entry]:
        for document, number in {**self.items, **items}:
            change = items.get((document, number), 0) - self.items.get((document, number), 0)
            if change:
                is_end = event.rank in (UNAPPLIED, ENDED)
                yield Entry(document, number, entry_type, event.day, is_end, change)
        self.items = items


def _applied_and_ended(one: Settlement, suffix: str, kind: str, amount: int) -> Iterator[_Event]:
    applied, ended = f"{one.identity}:applied{suffix}", f"{one.identity}:ended{suffix}"
    yield _Event(one.start, APPLIED, applied, kind, amount, one.instalment)
    if one.end != FOREVER:
        yield _Event(one.end, UNAPPLIED, ended, kind, -amount, one.instalment)
