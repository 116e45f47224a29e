"""One company, written down once: what every system has to say in its own tables."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal

FIRST, LAST = date(2025, 1, 2), date(2026, 1, 31)
RATES = (Decimal("1.0850"), Decimal("1.1025"), Decimal("1.0475"))


@dataclass(frozen=True)
class Document:
    """An invoice, a credit memo or a receipt; `rate` is its booking rate, None in the company's currency."""

    number: int
    customer: int
    day: date
    amount: Decimal
    rate: Decimal | None = None
    due: date | None = None

    @property
    def currency(self) -> str:
        return "USD" if self.rate is None else "EUR"


@dataclass(frozen=True)
class Application:
    """An amount of a receipt or credit memo, set against an invoice on the credit's day."""

    kind: str
    credit: int
    invoice: int
    amount: Decimal
    day: date


@dataclass(frozen=True)
class Refund:
    """Money paid back: the whole of a credit memo."""

    number: int
    memo: int
    day: date
    names_memo: bool = True


@dataclass(frozen=True)
class Repayment:
    """Money paid back: what a receipt has left over."""

    number: int
    receipt: int
    amount: Decimal
    day: date
    names_receipt: bool = True


@dataclass(frozen=True)
class WriteOff:
    """What is open of an invoice, given up."""

    number: int
    invoice: int
    amount: Decimal
    day: date


Plan = tuple[tuple[date, Decimal], ...]  # due date and amount of each instalment


@dataclass(frozen=True)
class Books:
    """The documents of the company. All numbers are unique."""

    customers: tuple[int, ...]
    invoices: dict[int, Document] = field(default_factory=dict)
    memos: dict[int, Document] = field(default_factory=dict)
    receipts: dict[int, Document] = field(default_factory=dict)
    applications: tuple[Application, ...] = ()
    refunds: tuple[Refund, ...] = ()
    repayments: tuple[Repayment, ...] = ()
    write_offs: tuple[WriteOff, ...] = ()
    plans: dict[int, Plan] = field(default_factory=dict)

    def applied(self, invoice: int) -> list[Application]:
        """The applications of an invoice, the earliest first."""
        found = [one for one in self.applications if one.invoice == invoice]
        return sorted(found, key=lambda one: (one.day, one.credit))

    def unapplied(self, receipt: int) -> Decimal:
        used = sum(one.amount for one in self.applications if (one.kind, one.credit) == ("receipt", receipt))
        return self.receipts[receipt].amount - used


def left(books: Books) -> dict[int, Decimal]:
    """What is open on each document, by its number: of a credit what is not used."""
    documents = (*books.invoices.values(), *books.memos.values(), *books.receipts.values())
    found = {one.number: one.amount for one in documents}
    for one in books.applications:
        found[one.invoice] -= one.amount
        found[one.credit] -= one.amount
    for refund in books.refunds:
        found[refund.memo] = Decimal(0)
    return found


def create(invoices: int, *, seed: int = 7) -> Books:
    """A year of business: part payments, money on account, credit memos, refunds, two currencies."""
    chance = random.Random(seed)
    customers = tuple(range(100, 130))
    bills: dict[int, Document] = {}
    for number in range(10_000, 10_000 + invoices):
        day = FIRST + timedelta(days=chance.randrange(360))
        rate = chance.choice(RATES) if chance.random() < 0.15 else None
        amount = Decimal(chance.randrange(1_000, 900_000)) / 100
        due = day + timedelta(days=chance.choice((14, 30, 45, 60)))
        bills[number] = Document(number, chance.choice(customers), day, amount, rate, due)
    books = Books(customers, bills)
    return _refunded(_paid(_credited(books, chance), chance), chance)


def _credited(books: Books, chance: random.Random) -> Books:
    memos: dict[int, Document] = {}
    applications = []
    for bill in books.invoices.values():
        if chance.random() < 0.06:
            number = 50_000 + len(memos)
            amount = (bill.amount * chance.choice((10, 25, 100)) / 100).quantize(Decimal("0.01"))
            day = bill.day + timedelta(days=chance.randrange(1, 10))
            memos[number] = Document(number, bill.customer, day, amount, bill.rate)
            if chance.random() < 0.8:
                applications.append(Application("credit_memo", number, bill.number, amount, day))
    return replace(books, memos=memos, applications=tuple(applications))


def _paid(books: Books, chance: random.Random) -> Books:
    """Each customer pays what is open in one currency: one to three invoices at a time, sometimes a part."""
    rest = {bill.number: bill.amount for bill in books.invoices.values()}
    for one in books.applications:
        rest[one.invoice] -= one.amount
    waiting: dict[tuple[int, Decimal | None], list[Document]] = defaultdict(list)
    for bill in sorted(books.invoices.values(), key=lambda bill: (bill.day, bill.number)):
        waiting[bill.customer, bill.rate].append(bill)
    receipts: dict[int, Document] = {}
    applications = list(books.applications)
    for (customer, rate), bills in waiting.items():
        while bills:
            taken, bills = bills[: chance.randrange(1, 4)], bills[chance.randrange(1, 4) :]
            taken = [bill for bill in taken if rest[bill.number] > 0]
            if not taken or chance.random() < 0.12:
                continue
            day = max(bill.day for bill in taken) + timedelta(days=chance.randrange(10, 75))
            if day > LAST:
                continue
            number = 70_000 + len(receipts)
            parts = []
            for bill in taken:
                share = chance.choice((1, 1, 1, 2))
                amount = (rest[bill.number] / share).quantize(Decimal("0.01"))
                parts.append(Application("receipt", number, bill.number, amount, day))
                rest[bill.number] -= amount
            extra = Decimal(chance.randrange(100, 5000)) / 100 if chance.random() < 0.05 else Decimal(0)
            total = sum((part.amount for part in parts), extra)
            receipts[number] = Document(number, customer, day, total, rate)
            applications += parts
    return replace(books, receipts=receipts, applications=tuple(applications))


def _refunded(books: Books, chance: random.Random) -> Books:
    applied = {one.credit for one in books.applications if one.kind == "credit_memo"}
    free = [memo for memo in books.memos.values() if memo.number not in applied]
    refunds = [
        Refund(90_000 + position, memo.number, memo.day + timedelta(days=chance.randrange(1, 20)))
        for position, memo in enumerate(free[::2])
    ]
    return replace(books, refunds=tuple(refunds))


def with_everything(books: Books, *, seed: int = 8) -> Books:
    """The same business with payment plans, repayments of what was paid too much, and written-off rests."""
    chance = random.Random(seed)
    plans: dict[int, Plan] = {}
    write_offs = []
    applications: dict[int, list[Application]] = defaultdict(list)
    for one in books.applications:
        applications[one.invoice].append(one)
    for bill in books.invoices.values():
        if chance.random() < 0.2 and bill.due:
            first = (bill.amount / 3).quantize(Decimal("0.01"))
            half = bill.day + (bill.due - bill.day) / 2
            plans[bill.number] = ((half, first), (bill.due, bill.amount - first))
        applied = applications[bill.number]
        rest = bill.amount - sum((one.amount for one in applied), Decimal(0))
        given_up = max([bill.day, *(one.day for one in applied)]) + timedelta(days=chance.randrange(60, 120))
        if rest > 0 and given_up <= LAST and chance.random() < 0.15:
            write_offs.append(WriteOff(30_000 + len(write_offs), bill.number, rest, given_up))
    repayments = [
        Repayment(40_000 + one.number, one.number, rest, one.day + timedelta(days=chance.randrange(1, 30)))
        for one in books.receipts.values()
        if (rest := books.unapplied(one.number)) and chance.random() < 0.5
    ]
    return replace(books, plans=plans, write_offs=tuple(write_offs), repayments=tuple(repayments))


def without_plans(books: Books) -> Books:
    """What a system says whose invoices have one due date."""
    return replace(books, plans={})


def without_write_offs(books: Books) -> Books:
    """What a system says that has no document for a debt that was given up, or publishes none."""
    return replace(books, write_offs=())


def refunds_that_name_nothing(books: Books) -> Books:
    """What a system says whose refunds tell customer and amount, not what they pay back."""
    return replace(
        books,
        refunds=tuple(replace(one, names_memo=False) for one in books.refunds),
        repayments=tuple(replace(one, names_receipt=False) for one in books.repayments),
    )


def memos_on_their_own(books: Books) -> Books:
    """What a system says that does not tell which invoice a credit memo was set against."""
    return replace(books, applications=tuple(one for one in books.applications if one.kind != "credit_memo"))


def without_refunds(books: Books) -> Books:
    """What a system says that knows no refunds of credit memos."""
    return replace(books, refunds=())


def one_charge_per_invoice(books: Books) -> Books:
    """What Stripe can say: one currency, money only for an invoice, and that as one charge for each."""
    invoices = {number: bill for number, bill in books.invoices.items() if bill.rate is None}
    memos = {number: memo for number, memo in books.memos.items() if memo.rate is None}
    receipts: dict[int, Document] = {}
    applications = []
    for one in books.applications:
        if one.invoice not in invoices:
            continue
        if one.kind == "receipt":
            number = 700_000 + len(receipts)
            receipts[number] = Document(number, invoices[one.invoice].customer, one.day, one.amount)
            one = replace(one, credit=number)
        applications.append(one)
    return Books(books.customers, invoices, memos, receipts, tuple(applications))
