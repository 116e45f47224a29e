"""The state of the demo company between two days: open documents, what is to happen, ledger and rates.

The state of a day and the seed decide the next day, so a company that is moved forward day by day and one
that is made in one go are the same.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import astuple, dataclass
from math import exp
from random import Random
from typing import Any

from receivables.demo.calibration import Calibration, load_calibration
from receivables.demo.customers import CURRENCY_OF_COMPANY, OPENED_BEFORE_START, Customer, CustomerBook
from receivables.demo.database import Database
from receivables.demo.days import (
    BOOKS_CLOSED,
    RATES_PUBLISHED,
    is_rate_day,
    iso,
    month_of,
    office_second,
    timestamp,
    weekday,
)
from receivables.demo.money import NOMINAL_PER_USD, RATE_UNIT, amount_text, converted, rate_text

COMPANIES = tuple(CURRENCY_OF_COMPANY)
COMPANY_NAMES = {
    "HD-CN": ("Huadong Precision (Suzhou) Co.", "华东精密（苏州）有限公司", "Asia/Shanghai"),
    "HD-EU": ("Huadong Europe GmbH", "Huadong Europe GmbH", "Europe/Berlin"),
}
RECEIVABLE_ACCOUNT = {"HD-CN": "1122", "HD-EU": "1400"}

# How far back anything is ever booked; rates and balances are kept this long.
DAYS_KEPT = 45

FIRST_RATES = {"EUR": 7.80, "USD": 7.20}  # in CNY
DAILY_RATE_MOVE = 0.0022
PULL_TO_FIRST_RATE = 0.004
RATE_HISTORY = 14  # days of rates before the first business day


@dataclass(slots=True)
class Invoice:
    """An invoice that is open, not yet posted, or may reopen because a receipt can still bounce."""

    number: str
    customer: int
    currency: str
    amount: int
    open: int
    rate: int
    doc_day: int
    due_day: int
    pay_day: int  # the next planned payment; 0: none
    discount: int  # cash discount that will be taken; 0: none
    discount_until: int
    parts: list[list[int]]  # instalments as [line, due day, amount, open]; empty without
    names_parts: bool
    is_posted: bool
    takes_credits: bool  # not void or lost, so credits may be set against it
    held: int  # receipts that may still bounce


@dataclass(slots=True)
class Credit:
    """The unused part of a receipt (RCPT), credit note (CN) or credit journal (JNL)."""

    number: str
    kind: str
    customer: int
    currency: str
    open: int
    rate: int
    attempts: int


@dataclass(frozen=True)
class Parameters:
    """What a company is made from; the same parameters give the same company."""

    seed: int
    start: int
    invoices: int
    pace_days: int
    customers: int


class World:
    """One company group on one day, and the helpers that every event uses."""

    def __init__(self, parameters: Parameters, database: Database) -> None:
        self.parameters = parameters
        self.database = database
        self.calibration: Calibration = load_calibration()
        self.book = CustomerBook(
            seed=parameters.seed,
            start=parameters.start,
            number=parameters.customers,
            pace_days=parameters.pace_days,
            calibration=self.calibration,
        )
        self.today = parameters.start - 1
        self.rng = Random(parameters.seed)
        self.invoices: dict[str, Invoice] = {}
        self.credits: dict[str, Credit] = {}
        self.agenda: dict[int, list[list[Any]]] = {}
        self.numbers: dict[str, int] = {}
        first = parameters.start
        self.pace_weight = sum(self.day_weight(day) for day in range(first, first + parameters.pace_days))
        self.invoiced_weight = 0
        self.levels = dict(FIRST_RATES)
        self.rates: dict[int, dict[str, int]] = {}
        self.balances: dict[str, list[int]] = {company: [] for company in COMPANIES}
        self._moves: dict[str, dict[int, int]] = {company: defaultdict(int) for company in COMPANIES}
        self.paid_together: dict[tuple[int, int], int] = {}  # of today: customer and due day -> payment day
        self.open_invoices: dict[int, dict[str, Invoice]] = defaultdict(dict)

    # The day

    def open_for_business(self) -> None:
        """What is there before the first day: the companies, and rates to begin with."""
        start = self.parameters.start
        moment = timestamp(start - OPENED_BEFORE_START, RATES_PUBLISHED)
        for company, (name, name_local, zone) in COMPANY_NAMES.items():
            self.database.insert(
                "company", company, name, name_local, CURRENCY_OF_COMPANY[company], zone, moment, moment
            )
        for day in range(start - RATE_HISTORY, start):
            self.publish_rates(day)

    def begin(self, day: int) -> None:
        self.today = day
        self.rng = Random(f"{self.parameters.seed}|{day}")
        self.paid_together.clear()
        self.publish_rates(day)

    def plan(self, day: int, kind: str, *details: Any) -> None:
        """Let something happen on a later day."""
        self.agenda.setdefault(max(day, self.today + 1), []).append([kind, *details])

    def day_weight(self, day: int) -> int:
        """How many invoices a day gets, relative to other days: by month and weekday, in whole numbers."""
        month, weekday_shares = self.calibration.month_weights, self.calibration.weekday_weights
        return month[month_of(day) - 1] * weekday_shares[weekday(day)]

    def chance(self, name: str) -> bool:
        return self.rng.random() < self.calibration.chance(name)

    def number(self, prefix: str, company: str) -> str:
        """The next document number of a series: one per kind, company and year."""
        series = f"{prefix}{COMPANIES.index(company) + 1}{iso(self.today)[2:4]}"
        self.numbers[series] = self.numbers.get(series, 0) + 1
        return f"{series}{self.numbers[series]:07d}"

    def stamp(self, company: str) -> str:
        """A moment of today in the company's office hours."""
        return timestamp(self.today, office_second(company, self.rng))

    def customer(self, index: int) -> Customer:
        return self.book.customers[index]

    def expected_sales(self, customer: Customer, *, days: int) -> float:
        """What a customer usually buys in some days, in minor units of its currency."""
        pace = self.parameters.invoices / self.parameters.pace_days
        mean = (
            exp(customer.amount_mu + customer.amount_sigma**2 / 2) * 100 * NOMINAL_PER_USD[customer.currency]
        )
        return pace * days * self.book.share(customer) * mean

    # Open documents

    def add_invoice(self, invoice: Invoice) -> None:
        self.invoices[invoice.number] = invoice
        self.open_invoices[invoice.customer][invoice.number] = invoice

    def drop_when_done(self, invoice: Invoice) -> None:
        if invoice.open == 0 and invoice.held == 0:
            self.invoices.pop(invoice.number, None)
            self.open_invoices[invoice.customer].pop(invoice.number, None)

    def change_invoice(self, invoice: Invoice, change: int) -> None:
        """Move an invoice's open amount from today on, at the invoice's own rate."""
        before = converted(invoice.open, invoice.rate)
        invoice.open += change
        self.move_balance(
            self.customer(invoice.customer).company, converted(invoice.open, invoice.rate) - before
        )
        self.drop_when_done(invoice)

    def enter_invoice(self, invoice: Invoice) -> None:
        """Book a newly posted invoice from its document date on, which may lie before today."""
        company = self.customer(invoice.customer).company
        self.move_balance(company, converted(invoice.open, invoice.rate), invoice.doc_day)

    def enter_journal(self, customer: Customer, amount: int, rate: int, day: int) -> None:
        """Book a debit journal from a day on, or take it back with a negative amount."""
        booked = converted(abs(amount), rate)
        self.move_balance(customer.company, booked if amount > 0 else -booked, day)

    def add_credit(self, credit: Credit, day: int) -> None:
        self.credits[credit.number] = credit
        company = self.customer(credit.customer).company
        self.move_balance(company, -converted(credit.open, credit.rate), day)

    def use_credit(self, credit: Credit, amount: int) -> None:
        before = converted(credit.open, credit.rate)
        credit.open -= amount
        self.move_balance(
            self.customer(credit.customer).company, before - converted(credit.open, credit.rate)
        )
        if credit.open == 0:
            del self.credits[credit.number]

    # The general ledger

    def move_balance(self, company: str, amount: int, day: int | None = None) -> None:
        """Change a company's receivable account from a day on (today unless booked back)."""
        self._moves[company][self.today if day is None else day] += amount

    def close_books(self) -> None:
        """Write today's balance, and the balances of past days that today's bookings reached."""
        moment = timestamp(self.today, BOOKS_CLOSED)
        for company in COMPANIES:
            self._close_company(company, moment)
        for day in [day for day in self.rates if day < self.today - DAYS_KEPT]:
            del self.rates[day]

    def _close_company(self, company: str, moment: str) -> None:
        moves, history, account = self._moves[company], self.balances[company], RECEIVABLE_ACCOUNT[company]
        carried = 0
        for day in range(min(moves, default=self.today), self.today):
            carried += moves.get(day, 0)
            if carried:
                position = day - self.today
                history[position] += carried
                key = {"company_code": company, "balance_date": iso(day), "account": account}
                self.database.update(
                    "gl_balance", key, balance=amount_text(history[position]), updated_at=moment
                )
        history.append((history[-1] if history else 0) + moves.get(self.today, 0))
        del history[:-DAYS_KEPT]
        moves.clear()
        self.database.insert(
            "gl_balance", company, iso(self.today), account, CURRENCY_OF_COMPANY[company],
            amount_text(history[-1]), moment, moment,
        )  # fmt: skip

    # Rates

    def rate(self, currency: str, company: str, day: int) -> int:
        """Units of the company's currency for one unit of a currency, in millionths: the last published."""
        target = CURRENCY_OF_COMPANY[company]
        if currency == target:
            return RATE_UNIT
        while day not in self.rates:
            day -= 1
        return self.rates[day][currency + target]

    def publish_rates(self, day: int) -> None:
        """Each rate walks at random, pulled a little to where it began so that years stay believable."""
        if not is_rate_day(day):
            return
        rng = Random(f"{self.parameters.seed}|rates|{day}")
        for currency, first in FIRST_RATES.items():
            level = self.levels[currency]
            moved = level * (1 + rng.gauss(0.0, DAILY_RATE_MOVE)) + PULL_TO_FIRST_RATE * (first - level)
            self.levels[currency] = round(moved, 4)
        euro, dollar = self.levels["EUR"], self.levels["USD"]
        quotes = {"EURCNY": euro, "USDCNY": dollar, "CNYEUR": 1 / euro, "USDEUR": dollar / euro}
        self.rates[day] = {pair: round(quote * RATE_UNIT) for pair, quote in quotes.items()}
        moment = timestamp(day, RATES_PUBLISHED)
        for pair, quote in self.rates[day].items():
            self.database.insert(
                "fx_rate", iso(day), pair[:3], pair[3:], "closing", rate_text(quote), moment, moment
            )

    # Between two calls

    def dump(self) -> str:
        """Everything that the next day depends on and the parameters do not say."""
        return json.dumps(
            {
                "today": self.today,
                "invoices": [astuple(invoice) for invoice in self.invoices.values()],
                "credits": [astuple(credit) for credit in self.credits.values()],
                "agenda": sorted(self.agenda.items()),
                "numbers": dict(sorted(self.numbers.items())),
                "invoiced_weight": self.invoiced_weight,
                "levels": self.levels,
                "rates": sorted(self.rates.items()),
                "balances": self.balances,
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )

    def restore(self, text: str) -> None:
        state = json.loads(text)
        self.today = state["today"]
        self.book.join(self.today)
        for values in state["invoices"]:
            self.add_invoice(Invoice(*values))
        self.credits = {credit.number: credit for credit in (Credit(*values) for values in state["credits"])}
        self.agenda = dict(state["agenda"])
        self.numbers = state["numbers"]
        self.invoiced_weight = state["invoiced_weight"]
        self.levels = state["levels"]
        self.rates = dict(state["rates"])
        self.balances = state["balances"]
