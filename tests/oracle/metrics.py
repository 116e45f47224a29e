"""Month-end metrics of a company, a segment, a customer and the group, recomputed from the documents.

Follows "Metrics" of docs/LEDGER.md. Everything is as known on the day of the run, in exact fractions of the
company currency (of the reporting currency for the group); only sales are rounded, as they are booked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from fractions import Fraction
from functools import cached_property

from tests.oracle.book import Book, convert, minor_unit, seen_at
from tests.oracle.calendars import MONTHS, ONE_DAY, Calendar, Period
from tests.oracle.documents import FOREVER, Document, DocumentKey, closing_rate, documents, public_id
from tests.oracle.entries import Entry, ledger_entries
from tests.oracle.formulas import Countback, cei, countback, dso, mean, ratio, turnover, weighted_days
from tests.oracle.ledger import Item, Settlement, View, fill, own_item_sign

Amount = Fraction | None  # None: a rate is missing


def month_ends(first: date, last: date) -> list[date]:
    """Every month end from the month of `first` to the last complete month on or before `last`."""
    return [period.last for period in MONTHS.complete(first, last)]


def total(amounts: Iterable[Amount]) -> Amount:
    """A sum is unknown as soon as one part of it is."""
    found = list(amounts)
    return None if None in found else sum((one for one in found if one is not None), Fraction(0))


@dataclass(frozen=True)
class Flow:
    """An amount of a customer on a day, in company currency."""

    company_id: str
    customer_id: str
    day: date
    amount: Amount


@dataclass(frozen=True)
class Payment:
    """A part of a cash application, as far as it settled one instalment."""

    company_id: str
    customer_id: str
    day: date
    amount: Amount
    days_to_pay: int
    days_late: int


@dataclass(frozen=True)
class PaidInvoice:
    """An invoice that was first settled in full on `day`, by cash alone."""

    company_id: str
    customer_id: str
    day: date
    days_to_pay: int
    days_late: int


@dataclass(frozen=True)
class Terms:
    """What the formulas of one scope and month are computed from."""

    days: int
    ar: Amount
    not_due: Amount
    opening: Amount
    year_ago: Amount
    daily_mean: Amount
    sales: Amount
    sales_90: Amount
    sales_12m: Amount
    collected: Amount
    falling_due: Amount
    history_months: int  # of the company, whatever the scope
    sales_by_month: tuple[tuple[Amount, int], ...]  # newest first, back to the start of history
    items: int
    overdue_items: int
    payments: tuple[tuple[Amount, int, int], ...]  # amount, days to pay, days late
    paid: tuple[tuple[int, int], ...]  # days to pay, days late

    @property
    def is_incomplete(self) -> bool:
        """An amount that most metrics of the month need is unknown."""
        return None in (self.ar, self.not_due, self.opening, self.sales)

    def converted(self, rate: Fraction | None) -> Terms:
        """Every amount at one rate."""
        changed: dict[str, object] = {
            one.name: times(getattr(self, one.name), rate) for one in fields(self) if one.type == "Amount"
        }
        changed["sales_by_month"] = tuple((times(amount, rate), days) for amount, days in self.sales_by_month)
        changed["payments"] = tuple((times(amount, rate), *rest) for amount, *rest in self.payments)
        return Terms(**{**self.__dict__, **changed})


def times(amount: Amount, rate: Fraction | None) -> Amount:
    """What is nothing needs no rate."""
    if amount == 0:
        return amount
    return None if amount is None or rate is None else amount * rate


def add_terms(parts: Sequence[Terms]) -> Terms:
    """The terms of several companies, in one currency, as one."""
    first = parts[0]
    summed: dict[str, object] = {}
    for one in fields(Terms):
        values = [getattr(part, one.name) for part in parts]
        if one.type == "Amount":
            summed[one.name] = total(values)
        elif one.type == "int":
            summed[one.name] = sum(values)
        else:
            summed[one.name] = tuple(entry for value in values for entry in value)
    longest = max((part.sales_by_month for part in parts), key=len)
    summed["days"] = first.days
    summed["history_months"] = max(part.history_months for part in parts)
    summed["sales_by_month"] = tuple(
        (total(part.sales_by_month[i][0] for part in parts if i < len(part.sales_by_month)), longest[i][1])
        for i in range(len(longest))
    )
    return Terms(**summed)  # type: ignore[arg-type]


@dataclass
class Metrics:
    """All that the month-end metrics of one book need, as known on the day of the run."""

    book: Book
    items_by_day: dict[date, list[Item]] = field(default_factory=dict)

    @cached_property
    def view(self) -> View:
        return View(self.book, self.book.run_day)

    @cached_property
    def entries(self) -> list[Entry]:
        return ledger_entries(self.view)

    @cached_property
    def settled_amounts(self) -> list[tuple[date, Document, Document, int]]:
        return list(_settled_amounts(self))

    def items(self, day: date) -> list[Item]:
        if day not in self.items_by_day:
            self.items_by_day[day] = self.view.open_items(day)
        return self.items_by_day[day]

    def company_value(self, company_id: str, minor: int | None) -> Amount:
        """Minor units of the company currency as an amount."""
        unit = minor_unit(self.book.config.companies[company_id])
        return None if minor is None else Fraction(minor, 10**unit)

    @staticmethod
    def booked(document: Document, minor: int) -> Amount:
        """Minor units of a document at its booking rate, not rounded."""
        amount = Fraction(minor, 10 ** minor_unit(document.currency))
        return None if document.rate is None else amount * document.rate

    # --- what the terms are made of ---

    @cached_property
    def first_months(self) -> dict[tuple[str, str], date]:
        """Per company and customer the day of the first entry the ledger ever had, later corrected or not."""
        known_days = {
            version.known_on
            for chains in self.book.chains.values()
            for chain in chains.values()
            for version in chain
            if version.known_on <= self.book.run_day
        }
        first: dict[tuple[str, str], date] = {}
        for known_at in known_days:
            for document in documents(self.book, known_at).values():
                if document.key[0] == "invoices" or own_item_sign(document):
                    key = (document.company_id, document.customer_id)
                    first[key] = min(first.get(key, FOREVER), document.date)
        return first

    @property
    def calendar(self) -> Calendar:
        return self.book.config.calendar

    def reported_periods(self, calendar: Calendar | None = None) -> list[Period]:
        """From the period of the first entry to the last complete one; in the company's own calendar."""
        firsts = self.first_months.values()
        return (calendar or self.calendar).complete(min(firsts), self.book.run_day) if firsts else []

    @cached_property
    def sales_flows(self) -> list[Flow]:
        found = []
        for document in self.view.documents.values():
            if document.document_type in ("invoice", "debit_memo", "credit_memo"):
                found += self._both_ends(document, document.date, document.end, self.booked_sale(document))
        return found

    def booked_sale(self, document: Document) -> Amount:
        """A sale as the books say it: each instalment in whole minor units of the company currency."""
        if document.rate is None:
            return None
        unit = minor_unit(self.book.config.companies[document.company_id])
        parts = [part.amount for part in document.instalments] or [-document.amount]
        booked = [convert(part, document.rate, minor_unit(document.currency), unit) for part in parts]
        return Fraction(sum(booked), 10**unit)

    @cached_property
    def collected_flows(self) -> list[Flow]:
        found = []
        for one in self.cash_applications:
            invoice = self.view.documents[one.invoice]
            found += self._both_ends(invoice, one.start, one.end, self.booked(invoice, one.amount))
        return found

    def _both_ends(self, owner: Document, start: date, end: date, amount: Amount) -> list[Flow]:
        if end < start:
            return []
        flows = [Flow(owner.company_id, owner.customer_id, start, amount)]
        if end != FOREVER:
            taken_back = None if amount is None else -amount
            flows.append(Flow(owner.company_id, owner.customer_id, end, taken_back))
        return flows

    @cached_property
    def cash_applications(self) -> list[Settlement]:
        return [one for one in self.view.settlements if one.kind == "receipt" and one.start < one.end]

    def falling_due(self, first: date, last: date) -> list[Flow]:
        """What was sold and fell due in the period, of invoices in effect at its end, less its credit memos.

        Earlier sales that fall due now are part of the opening receivable already.
        """
        found = []
        for document in self.view.documents.values():
            if not document.counts_on(last) or document.date < first:
                continue
            due = [(part.due_date, part.amount) for part in document.instalments]
            if document.document_type == "credit_memo":
                due = [(document.date, -document.amount)]
            for day, minor in due:
                if first <= day <= last:
                    amount = self.booked(document, minor)
                    found.append(Flow(document.company_id, document.customer_id, day, amount))
        return found

    @cached_property
    def payments(self) -> list[Payment]:
        found: list[Payment] = []
        for document in self.view.documents.values():
            if document.key[0] == "invoices":
                found += self._payments_of(document)
        return found

    def _payments_of(self, invoice: Document) -> list[Payment]:
        """Which instalments each cash application settled: what changes when it takes effect."""
        policy = self.book.config.allocation_policy
        settlements = [one for one in self.view.settlements if one.invoice == invoice.key]
        lasting = sorted(
            (one for one in settlements if one.start < one.end), key=lambda one: (one.start, one.identity)
        )
        found = []
        for one in lasting:
            if one.kind != "receipt":
                continue
            # Before it: what took effect on earlier days or earlier on the same day, and has not ended.
            before = [
                (other.amount + other.discount, other.instalment)
                for other in lasting
                if (other.start, other.identity) < (one.start, one.identity) and one.start <= other.end
            ]
            with_it = [*before, (one.amount, one.instalment)]
            automatic = self._automatic_before(invoice, one, with_it)
            was_open = fill(invoice, before + automatic, policy).open_amounts
            is_open = fill(invoice, with_it + automatic, policy).open_amounts
            for part, was, now in zip(invoice.instalments, was_open, is_open, strict=True):
                if was != now:
                    found.append(
                        Payment(
                            invoice.company_id,
                            invoice.customer_id,
                            one.start,
                            self.booked(invoice, was - now),
                            (one.start - invoice.date).days,
                            (one.start - part.due_date).days,
                        )
                    )
        return found

    def _automatic_before(
        self, invoice: Document, latest: Settlement, explicit: list[tuple[int, int | None]]
    ) -> list[tuple[int, int | None]]:
        """What the automatic credits before `latest` still give once the explicit settlements are in."""
        amounts = [
            credit.amount
            for credit in self.view.automatic_credits(invoice.key)
            if (max(credit.date, invoice.date), public_id(credit.key)) < (latest.start, latest.identity)
            and latest.start <= credit.end
        ]
        policy = self.book.config.allocation_policy
        with_all = fill(invoice, explicit + [(amount, None) for amount in amounts], policy)
        unused = with_all.excess - fill(invoice, explicit, policy).excess
        gives: list[tuple[int, int | None]] = []
        for amount in reversed(amounts):
            back = min(unused, amount)
            unused -= back
            gives.insert(0, (amount - back, None))
        return gives

    @cached_property
    def paid_invoices(self) -> list[PaidInvoice]:
        found = []
        for invoice in self.view.documents.values():
            if invoice.key[0] != "invoices" or invoice.date >= invoice.end:
                continue
            settlements = [one for one in self.view.settlements if one.invoice == invoice.key]
            credits = self.view.automatic_credits(invoice.key)
            days = {invoice.date, *(one.start for one in settlements), *(one.date for one in credits)}
            for day in sorted(days):
                if not invoice.counts_on(day) or any(self.view.settle(invoice, day)[0].open_amounts):
                    continue
                if self._touched_by_cash_alone(invoice, settlements, day):
                    last_due = max(part.due_date for part in invoice.instalments)
                    days_to_pay = (day - invoice.date).days
                    found.append(
                        PaidInvoice(
                            invoice.company_id, invoice.customer_id, day, days_to_pay, (day - last_due).days
                        )
                    )
                break
        return found

    def _touched_by_cash_alone(self, invoice: Document, settlements: list[Settlement], day: date) -> bool:
        others = [one for one in settlements if one.kind != "receipt" and one.counts_on(day)]
        automatic = [amount for _, amount in self.view.settle(invoice, day)[1] if amount]
        return not others and not automatic

    # --- scopes ---

    def segment(self, customer_id: str, day: date) -> str:
        """The customer's segment on a day; the first version also describes the time before it."""
        chain = seen_at(self.book.entity("customers").get((customer_id,), []), self.book.run_day)
        known = [version for version in chain if version.known_on <= day] or chain[:1]
        return (known[-1].row.get("segment") if known else None) or "unassigned"

    def scopes(self, company_id: str, day: date) -> dict[tuple[str, str], set[str]]:
        """(scope type, scope id) to its customers, on the last day of a period."""
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for (company, customer), first in self.first_months.items():
            if company == company_id and first <= day:
                found[("company", company_id)].add(customer)
                found[("customer", customer)].add(customer)
                found[("segment", self.segment(customer, day))].add(customer)
        return dict(found)

    def terms(
        self, company_id: str, customers: set[str], period: Period, calendar: Calendar | None = None
    ) -> Terms:
        """The terms of a set of customers of one company in one period of a calendar, its own or another."""
        calendar = calendar or self.calendar
        first, day = period.first, period.last
        before = first - ONE_DAY
        year_start = calendar.before(period, 11).first

        def own(one: Item | Flow | Payment | PaidInvoice) -> bool:
            return one.company_id == company_id and one.customer_id in customers

        def ar(on: date, counts: Callable[[Item], bool] = lambda _: True) -> Amount:
            items = [item for item in self.items(on) if own(item) and counts(item)]
            return total(self.company_value(company_id, item.company_amount) for item in items)

        def flow(flows: Iterable[Flow], start: date, end: date) -> Amount:
            return total(one.amount for one in flows if own(one) and start <= one.day <= end)

        began = min(one for key, one in self.first_months.items() if key[0] == company_id)
        firsts = [
            one for key, one in self.first_months.items() if key[0] == company_id and key[1] in customers
        ]
        history = calendar.complete(min(firsts), day)
        days_of_month = [first + timedelta(days=i) for i in range(period.days)]
        daily = total(ar(on) for on in days_of_month)
        items = [item for item in self.items(day) if own(item)]
        return Terms(
            days=self.book.config.days_of(period, calendar),
            ar=ar(day),
            not_due=ar(day, lambda item: item.days_past_due(day) <= 0),
            opening=ar(before),
            year_ago=ar(year_start - ONE_DAY),
            daily_mean=None if daily is None else daily / period.days,
            sales=flow(self.sales_flows, first, day),
            sales_90=flow(self.sales_flows, day - timedelta(days=89), day),
            sales_12m=flow(self.sales_flows, year_start, day),
            collected=flow(self.collected_flows, first, day),
            falling_due=flow(self.falling_due(first, day), first, day),
            sales_by_month=tuple(
                (flow(self.sales_flows, one.first, one.last), self.book.config.days_of(one, calendar))
                for one in reversed(history)
            ),
            history_months=len(calendar.complete(began, day)),
            items=len(items),
            overdue_items=sum(item.days_past_due(day) > 0 for item in items),
            payments=tuple(
                (one.amount, one.days_to_pay, one.days_late)
                for one in self.payments
                if own(one) and first <= one.day <= day
            ),
            paid=tuple(
                (one.days_to_pay, one.days_late)
                for one in self.paid_invoices
                if own(one) and first <= one.day <= day
            ),
        )

    def company_months(self, company_id: str, calendar: Calendar | None = None) -> dict[date, Terms]:
        """The terms of a whole company, by the last day of every reported period."""
        found = {}
        for period in self.reported_periods(calendar):
            customers = self.scopes(company_id, period.last)[("company", company_id)]
            found[period.last] = self.terms(company_id, customers, period, calendar)
        return found


def group_terms(parts: Sequence[tuple[Book, str, Terms]], day: date) -> Terms:
    """The terms of several companies at the closing rates of the month end."""
    converted = []
    for book, company_id, terms in parts:
        config = book.config
        rate = closing_rate(book, config.companies[company_id], config.reporting_currency, day)
        converted.append(terms.converted(rate))
    return add_terms(converted)


# --- the published metrics; every one is None when it cannot be computed ---

Value = Fraction | int | str | None


def ar_dso(terms: Terms) -> dict[str, Value]:
    if terms.is_incomplete or terms.ar is None or terms.not_due is None or terms.sales is None:
        return {"flag": "conversion_incomplete", "dso": None, "dso_signed": None, "best_possible_dso": None}
    amounts: dict[str, Value] = {
        "ar_amount": terms.ar,
        "not_due_amount": terms.not_due,
        "net_sales_amount": terms.sales,
    }
    signed = dso(terms.ar, terms.sales, terms.days)
    best = dso(terms.not_due, terms.sales, terms.days)
    if signed is None or best is None:
        null = dict.fromkeys(
            (
                "dso",
                "dso_signed",
                "dso_rolling_90",
                "dso_countback",
                "best_possible_dso",
                "average_days_delinquent",
            )
        )
        return {**null, **amounts, "flag": "no_sales_in_period"}
    back = _countback(terms)
    rolling = None if terms.sales_90 is None else dso(terms.ar, terms.sales_90, 90)
    flag = "credit_balance" if terms.ar < 0 else None
    if flag is None and back.days is None:
        flag = "insufficient_history"
    return {
        "dso": max(signed, Fraction(0)),
        "dso_signed": signed,
        "dso_rolling_90": None if rolling is None else max(rolling, Fraction(0)),
        "dso_countback": back.days,
        "countback_days_covered": back.days_covered,
        "countback_uncovered_amount": back.uncovered,
        "best_possible_dso": best,
        "average_days_delinquent": signed - best,
        **amounts,
        "flag": flag,
    }


def _countback(terms: Terms) -> Countback:
    """Up to the first month whose sales are unknown: what lies before it cannot be counted."""
    months = []
    for amount, days in terms.sales_by_month:
        if amount is None:
            break
        months.append((amount, days))
    return countback(terms.ar or Fraction(0), months)


def ar_turnover(terms: Terms) -> dict[str, Value]:
    if terms.opening is None or terms.ar is None or terms.sales is None or terms.is_incomplete:
        return {"flag": "conversion_incomplete", "turnover": None, "turnover_days": None}
    average = (terms.opening + terms.ar) / 2
    turned = turnover(terms.sales, average)
    flag = "no_receivables" if average <= 0 else None
    year = None
    if terms.sales_12m is not None and terms.year_ago is not None and terms.history_months >= 12:
        year = turnover(terms.sales_12m, (terms.year_ago + terms.ar) / 2)
    return {
        "turnover": turned,
        "turnover_on_daily_average": (
            None if terms.daily_mean is None else turnover(terms.sales, terms.daily_mean)
        ),
        "turnover_days": Fraction(terms.days) / turned if turned else None,
        "turnover_12m": year,
        "net_sales_amount": terms.sales,
        "opening_ar_amount": terms.opening,
        "closing_ar_amount": terms.ar,
        "flag": "no_sales_in_period" if terms.sales <= 0 else flag,
    }


def ar_collection_effectiveness(terms: Terms) -> dict[str, Value]:
    item_rate = ratio(terms.overdue_items, terms.items)
    ar, opening, not_due, sales = terms.ar, terms.opening, terms.not_due, terms.sales
    if ar is None or opening is None or not_due is None or sales is None:
        return {"flag": "conversion_incomplete", "cei": None, "overdue_item_rate": item_rate}
    effectiveness = cei(opening, sales, 1, ar, not_due)
    year = None
    if terms.sales_12m is not None and terms.year_ago is not None and terms.history_months >= 12:
        year = cei(terms.year_ago, terms.sales_12m, 12, ar, not_due)
    recovery = None
    if terms.collected is not None and terms.falling_due is not None:
        recovery = ratio(terms.collected, opening + terms.falling_due)
    return {
        "cei": effectiveness,
        "cei_12m": year,
        "recovery_rate": recovery,
        "overdue_rate": ratio(ar - not_due, ar),
        "overdue_item_rate": item_rate,
        "collected_amount": terms.collected,
        "opening_ar_amount": opening,
        "closing_ar_amount": ar,
        "closing_not_due_amount": not_due,
        "net_sales_amount": sales,
        "flag": "nothing_was_collectible" if effectiveness is None else None,
    }


def ar_payment_behaviour(terms: Terms) -> dict[str, Value]:
    to_pay = [(amount, days) for amount, days, _ in terms.payments]
    late = [(amount, days) for amount, _, days in terms.payments]
    is_known = all(amount is not None for amount, _ in to_pay)
    return {
        "days_to_pay": mean([days for days, _ in terms.paid]),
        "days_to_pay_weighted": weighted_days(to_pay) if is_known else None,  # type: ignore[arg-type]
        "days_late": mean([days for _, days in terms.paid]),
        "days_late_weighted": weighted_days(late) if is_known else None,  # type: ignore[arg-type]
        "late_share": ratio(sum(days > 0 for _, days in terms.paid), len(terms.paid)),
        "settled_invoice_count": len(terms.paid),
    }


def roll_forward(metrics: Metrics, company_id: str, currency: str, period: Period) -> dict[str, int]:
    """Opening to closing of one period, in minor units of one currency, from the documents alone."""
    first, day = period.first, period.last
    sums: dict[str, int] = defaultdict(int)

    def book(column: str, sign: int, start: date, end: date, minor: int) -> None:
        """Add what begins in the month to its column, and what ends in it to the reversals."""
        if end < start:
            return
        if first <= start <= day:
            sums[column] += minor
        if first <= end <= day:
            sums["reversals_amount"] -= sign * minor

    columns = {
        "invoice": ("invoices_amount", 1),
        "debit_memo": ("invoices_amount", 1),
        "credit_memo": ("credit_memos_amount", -1),
        "receipt": ("receipts_amount", -1),
        "discount": ("discounts_amount", -1),
        "write_off": ("write_offs_amount", -1),
        "refund": ("refunds_amount", 1),
    }
    view = metrics.view
    for document in view.documents.values():
        if (document.company_id, document.currency) != (company_id, currency):
            continue
        kind = document.document_type
        if kind in columns and (document.key[0] == "invoices" or own_item_sign(document)):
            book(*columns[kind], document.date, document.end, document.amount)
        elif kind in ("journal_debit", "journal_credit"):
            sign = own_item_sign(document)
            book("journals_amount", 1, document.date, document.end, sign * document.amount)
    for one in view.settlements:
        invoice = view.documents[one.invoice]
        if (invoice.company_id, invoice.currency) == (company_id, currency) and one.start < one.end:
            if one.kind in ("write_off", "discount"):
                book(*columns[one.kind], one.start, one.end, one.amount)
            book("discounts_amount", -1, one.start, one.end, one.discount)
    for credit_key, refund in view.refunds:
        credit = view.documents.get(credit_key)
        if credit is not None and (credit.company_id, credit.currency) == (company_id, currency):
            start, end = max(refund.date, credit.date), min(refund.end, credit.end)
            if start < end:
                book("refunds_amount", 1, start, end, refund.amount)

    def balance(on: date) -> int:
        items = metrics.items(on)
        return sum(
            item.open_amount for item in items if (item.company_id, item.currency) == (company_id, currency)
        )

    sums["opening_amount"], sums["closing_amount"] = balance(first - ONE_DAY), balance(day)
    return dict(sums)


# Per entry type the column of the roll-forward, and the sign that it shows a receivable with.
COLUMNS = {
    "invoice": ("invoices", 1),
    "debit_memo": ("invoices", 1),
    "credit_memo": ("credit_memos", -1),
    "receipt": ("receipts", -1),
    "discount": ("discounts", -1),
    "write_off": ("write_offs", -1),
    "refund": ("refunds", 1),
    "journal_debit": ("journals", 1),
    "journal_credit": ("journals", 1),
}


def company_roll_forward(
    metrics: Metrics, company_id: str, currency: str, period: Period
) -> dict[str, int] | None:
    """The roll-forward in company currency, in its minor units; None when a rate that it needs is missing.

    Opening and closing are the items', each rounded once; every entry is booked by itself; exchange is what
    each application settled × (rate of payment − rate of invoice); what is left between them is rounding.
    """
    view, config = metrics.view, metrics.book.config
    unit, company_unit = minor_unit(currency), minor_unit(config.companies[company_id])
    sums: dict[str, int] = defaultdict(int)

    def is_own(document: Document) -> bool:
        return (document.company_id, document.currency) == (company_id, currency)

    def booked(minor: int, rate: Fraction) -> int:
        return convert(minor, rate, unit, company_unit)

    for entry in metrics.entries:
        document = view.documents[entry.document]
        if not is_own(document) or not period.first <= entry.day <= period.last:
            continue
        if document.rate is None:
            return None
        if entry.entry_type != "application":
            column, sign = ("reversals", 1) if entry.is_end else COLUMNS[entry.entry_type]
            sums[column] += sign * booked(entry.amount, document.rate)
    for day, credit, invoice, amount in metrics.settled_amounts:
        if is_own(invoice) and period.first <= day <= period.last:
            if credit.rate is None or invoice.rate is None:
                return None
            sums["exchange"] += booked(amount, credit.rate - invoice.rate)
    for name, day in (("opening", period.first - ONE_DAY), ("closing", period.last)):
        for item in metrics.items(day):
            if (item.company_id, item.currency) == (company_id, currency):
                if item.company_amount is None:
                    return None
                sums[name] += item.company_amount
    added = ("opening", "invoices", "refunds", "journals", "reversals", "exchange")
    taken_off = ("credit_memos", "receipts", "discounts", "write_offs")
    explained = sum(sums[name] for name in added) - sum(sums[name] for name in taken_off)
    sums["rounding"] = sums["closing"] - explained
    return {name: amount for name, amount in sums.items() if amount}


def _settled_amounts(metrics: Metrics) -> Iterable[tuple[date, Document, Document, int]]:
    """Every change of what a credit document gives to an invoice: day, credit, invoice, minor units."""
    view = metrics.view
    for one in view.settlements:
        if one.credit is not None and one.start < one.end:
            credit, invoice = view.documents[one.credit], view.documents[one.invoice]
            yield one.start, credit, invoice, one.amount
            if one.end != FOREVER:
                yield one.end, credit, invoice, -one.amount
    for invoice in view.documents.values():
        credits = view.automatic_credits(invoice.key) if invoice.key[0] == "invoices" else []
        if not credits:
            continue
        settlements = [one for one in view.settlements if one.invoice == invoice.key]
        days = {day for one in settlements for day in (one.start, one.end)}
        days |= {day for one in (invoice, *credits) for day in (one.date, one.end)}
        given: dict[DocumentKey, int] = defaultdict(int)
        for day in sorted(days - {FOREVER}):
            gives = {}
            if invoice.counts_on(day):
                gives = {credit.key: amount for credit, amount in view.settle(invoice, day)[1]}
            for credit in credits:
                change = gives.get(credit.key, 0) - given[credit.key]
                given[credit.key] += change
                if change:
                    yield day, credit, invoice, change
