"""Invoices: new ones, drafts, orders that become invoices, voids; and when the customer will pay."""

from __future__ import annotations

from dataclasses import dataclass, replace

from receivables.demo.calibration import Pick
from receivables.demo.credits import settle
from receivables.demo.customers import ADDED_DAYS_SPREAD, CURRENCY_OF_COMPANY, Customer
from receivables.demo.days import (
    is_month_end,
    iso,
    last_working_day,
    nearest_working_day,
    weekday,
    working_day,
)
from receivables.demo.money import NOMINAL_PER_USD, amount_text, rate_text, tax_within
from receivables.demo.world import Invoice, World

DISCOUNT_BASIS_POINTS = 200
DISCOUNT_DAYS = 10
INVOICES_AT_ONCE = Pick.of({1: 0.35, 2: 0.25, 3: 0.2, 4: 0.12, 6: 0.08})
# Invoices that are void, lost, in parts or paid at once are never disputed: the others make up for them.
DISPUTABLE_SHARE = 0.9
DISPUTED_PART = (0.03, 0.3)
FULL_CREDIT_SHARE = 0.08
INSTALMENTS_FROM_USD = 15_000
SEMIMONTHLY_DAYS = (10, 25)


@dataclass(frozen=True, slots=True)
class Sale:
    """What is to be invoiced; `credit` is an advance that was paid for it, `replaces` a void invoice."""

    customer: int
    doc_day: int
    currency: str
    amount: int
    reference: str | None = None
    credit: str | None = None
    replaces: str | None = None


def new_sales(world: World) -> None:
    """Take today's share of the invoices, often several of one customer."""
    left = _sales_today(world)
    while left > 0:
        customer = world.book.draw(world.rng)
        batch = min(left, INVOICES_AT_ONCE(world.rng))
        for _ in range(batch):
            currency = _currency(world, customer)
            amount = customer.draw_amount(world.rng, currency)
            _start_sale(world, customer, Sale(customer.index, world.today, currency, amount))
        left -= batch


def _sales_today(world: World) -> int:
    """How many: the part of the planned number that today's month and weekday carry, exact over the pace."""
    parameters = world.parameters
    before = world.invoiced_weight * parameters.invoices // world.pace_weight
    world.invoiced_weight += world.day_weight(world.today)
    return world.invoiced_weight * parameters.invoices // world.pace_weight - before


def _currency(world: World, customer: Customer) -> str:
    if customer.second_currency and world.rng.random() < 0.3:
        return customer.second_currency
    return customer.currency


def _start_sale(world: World, customer: Customer, sale: Sale) -> None:
    """Some are ordered, paid or drafted first, some are booked late."""
    rng, today = world.rng, world.today
    late = "late_invoice_at_month_end" if is_month_end(today, within=3) else "late_invoice"
    if world.chance("order_first"):
        take_order(world, customer, sale)
    elif world.chance("advance"):
        world.plan(today, "advance", sale.customer, sale.currency, sale.amount)
    elif world.chance("draft"):
        draft_invoice(world, sale)
    elif world.chance(late):
        world.plan(working_day(today + rng.randint(1, 9)), "invoice", *_details(sale))
    else:
        record_invoice(world, sale)


def _details(sale: Sale) -> tuple[object, ...]:
    return (
        sale.customer, sale.doc_day, sale.currency, sale.amount, sale.reference, sale.credit, sale.replaces,
    )  # fmt: skip


# Orders and advances


def take_order(world: World, customer: Customer, sale: Sale) -> None:
    number, moment = world.number("SO", customer.company), world.stamp(customer.company)
    amount = amount_text(sale.amount)
    world.database.insert(
        "sales_order_open", number, customer.code, customer.company, iso(world.today), sale.currency,
        amount, amount, "OPEN", moment, moment,
    )  # fmt: skip
    delivery = nearest_working_day(world.today + world.rng.randint(4, 40))
    world.plan(delivery, "deliver", number, sale.customer, sale.currency, sale.amount)


def deliver(world: World, number: str, index: int, currency: str, amount: int) -> None:
    company = world.customer(index).company
    is_cancelled = world.chance("order_cancelled")
    world.database.update(
        "sales_order_open",
        {"order_no": number},
        open_amount=amount_text(0),
        order_status="CANCELLED" if is_cancelled else "INVOICED",
        updated_at=world.stamp(company),
    )
    if not is_cancelled:
        record_invoice(world, Sale(index, world.today, currency, amount, reference=number))


# Recording


def record_invoice(world: World, sale: Sale) -> None:
    """Post an invoice today, dated today or booked back."""
    customer = world.customer(sale.customer)
    is_plain = sale.reference is None and sale.credit is None and sale.replaces is None
    if is_plain and world.chance("debit_memo"):
        sale = replace(sale, amount=max(2_000, sale.amount // 12))
        invoice = _write_invoice(world, sale, "DM", [])
    else:
        parts = _instalments(world, customer, sale) if sale.credit is None else []
        invoice = _write_invoice(world, sale, "INV", parts)
    _post(world, invoice, advance=sale.credit, may_be_void=not invoice.parts and sale.credit is None)


def draft_invoice(world: World, sale: Sale) -> None:
    """Write a draft dated on the day it is meant to be posted; it has no part in the ledger until then."""
    doc_day = working_day(world.today + world.rng.randint(1, 10))
    invoice = _write_invoice(world, replace(sale, doc_day=doc_day), "INV", [], is_draft=True)
    world.plan(doc_day, "cancel_draft" if world.chance("draft_cancelled") else "post_draft", invoice.number)


def post_draft(world: World, number: str) -> None:
    invoice = world.invoices[number]
    moment = world.stamp(world.customer(invoice.customer).company)
    world.database.update(
        "sales_invoice",
        {"doc_no": number},
        doc_status="POSTED",
        posting_date=iso(world.today),
        posted_at=moment,
        sent_at=moment,
        updated_at=moment,
    )
    _post(world, invoice, advance=None, may_be_void=False)


def cancel_draft(world: World, number: str) -> None:
    invoice = world.invoices[number]
    moment = world.stamp(world.customer(invoice.customer).company)
    world.database.update("sales_invoice", {"doc_no": number}, doc_status="CANCELLED", updated_at=moment)
    world.drop_when_done(invoice)


def void_invoice(world: World, number: str) -> None:
    """Take back an invoice that nobody has paid, and mostly issue the right one."""
    invoice = world.invoices[number]
    customer = world.customer(invoice.customer)
    world.database.update(
        "sales_invoice",
        {"doc_no": number},
        doc_status="VOID",
        void_date=iso(world.today),
        updated_at=world.stamp(customer.company),
    )
    world.change_invoice(invoice, -invoice.open)
    if world.chance("void_replaced"):
        amount = max(2_000, round(invoice.amount * world.rng.choice((1.0, 1.0, 0.9, 0.95, 1.05))))
        sale = Sale(customer.index, world.today, invoice.currency, amount, replaces=number)
        record_invoice(world, sale)


def _write_invoice(
    world: World, sale: Sale, doc_type: str, parts: list[list[int]], *, is_draft: bool = False
) -> Invoice:
    customer = world.customer(sale.customer)
    invoice = Invoice(
        number=world.number("DM" if doc_type == "DM" else "SI", customer.company),
        customer=customer.index,
        currency=sale.currency,
        amount=sale.amount,
        open=0,
        rate=world.rate(sale.currency, customer.company, sale.doc_day),
        doc_day=sale.doc_day,
        due_day=parts[-1][1] if parts else sale.doc_day + customer.terms_days,
        pay_day=0,
        discount=0,
        discount_until=0,
        parts=parts,
        names_parts=customer.names_instalments,
        is_posted=False,
        takes_credits=True,
        held=0,
    )
    world.add_invoice(invoice)
    moment = world.stamp(customer.company)
    posted = None if is_draft else moment
    world.database.insert(
        "sales_invoice",
        invoice.number,
        doc_type,
        customer.code,
        customer.company,
        iso(invoice.doc_day),
        None if is_draft else iso(world.today),
        iso(invoice.due_day),
        invoice.currency,
        amount_text(invoice.amount),
        amount_text(tax_within(invoice.amount, customer.tax_rate)),
        rate_text(invoice.rate),
        "DRAFT" if is_draft else "POSTED",
        None,
        posted,
        customer.terms_days,
        amount_text(DISCOUNT_BASIS_POINTS) if customer.discount else None,
        DISCOUNT_DAYS if customer.discount else None,
        sale.reference or f"PO-{world.rng.randint(100_000, 999_999)}",
        f"HT-{customer.code[1:]}-{iso(invoice.doc_day)[:4]}" if customer.segment == "key_account" else None,
        customer.salesperson,
        sale.replaces,
        posted,
        moment,
        moment,
    )
    for line, due_day, amount, _ in parts:
        world.database.insert(
            "invoice_schedule", invoice.number, line, iso(due_day), amount_text(amount), moment, moment
        )
    return invoice


def _instalments(world: World, customer: Customer, sale: Sale) -> list[list[int]]:
    """Equal monthly parts, the rounding in the last one.

    Only in the company's own currency: there the balance in company currency is the same whether a reader
    rounds each instalment or the whole invoice.
    """
    is_large = sale.amount > 100 * INSTALMENTS_FROM_USD * NOMINAL_PER_USD[sale.currency]
    if sale.currency != CURRENCY_OF_COMPANY[customer.company] or not is_large:
        return []
    if not world.chance("instalments"):
        return []
    count = world.rng.randint(2, 4)
    each = sale.amount // count
    return [
        [line, sale.doc_day + 30 * line, amount, amount]
        for line, amount in enumerate([each] * (count - 1) + [sale.amount - each * (count - 1)], start=1)
    ]


# Posting: what will happen to the invoice


def _post(world: World, invoice: Invoice, *, advance: str | None, may_be_void: bool) -> None:
    """Enter the invoice into the ledger and decide its fate: void, lost, or paid on some day."""
    customer = world.customer(invoice.customer)
    invoice.is_posted = True
    invoice.open = invoice.amount
    world.enter_invoice(invoice)
    if may_be_void and world.chance("void_invoice"):
        invoice.takes_credits = False
        world.plan(working_day(world.today + world.rng.randint(1, 6)), "void_invoice", invoice.number)
        return
    if advance is not None:
        credit = world.credits[advance]
        settle(world, credit, invoice, min(credit.open, invoice.open), moment=world.stamp(customer.company))
    if world.rng.random() < customer.payment_class.bad_debt_share:
        invoice.takes_credits = False
        lost = working_day(invoice.due_day + world.rng.randint(130, 200))
        world.plan(lost, "write_off", invoice.number, "bad_debt")
    elif invoice.parts:
        _plan_instalments(world, customer, invoice)
    else:
        _plan_payment(world, customer, invoice)
    is_watched = customer.payment_class.name in ("late", "very_late")
    first = invoice.due_day - 3 if is_watched else invoice.due_day + 7
    if not invoice.pay_day or invoice.pay_day > first:
        world.plan(working_day(first), "dun", invoice.number, 0 if is_watched else 1)


def _plan_instalments(world: World, customer: Customer, invoice: Invoice) -> None:
    for position, (_, due_day, _, _) in enumerate(invoice.parts):
        day = _pay_day(world, customer, due_day + round(_days_late(world, customer)))
        invoice.pay_day = invoice.pay_day or day
        world.plan(day, "pay", invoice.number, position, 0)


def _plan_payment(world: World, customer: Customer, invoice: Invoice) -> None:
    rng = world.rng
    last_discount_day = last_working_day(invoice.doc_day + DISCOUNT_DAYS)
    if customer.discount and last_discount_day > world.today and world.chance("discount_taken"):
        invoice.discount = invoice.amount * DISCOUNT_BASIS_POINTS // 10_000
        invoice.discount_until = invoice.doc_day + DISCOUNT_DAYS
        earliest = min(last_discount_day, max(world.today + 1, invoice.doc_day + 5))
        invoice.pay_day = last_working_day(rng.randint(earliest, last_discount_day))
        world.plan(invoice.pay_day, "pay", invoice.number, -1, 0)
        return
    if rng.random() < world.calibration.figures["disputes"]["share"] / DISPUTABLE_SHARE:
        added = max(0.0, rng.gauss(world.calibration.figures["disputes"]["added_days"], ADDED_DAYS_SPREAD))
        target = invoice.due_day + round(added + _days_late(world, customer))
        invoice.pay_day = _pay_day(world, customer, target)
        plan_dispute(world, invoice)
    else:
        invoice.pay_day = _usual_pay_day(world, customer, invoice)
    _plan_parts(world, customer, invoice)


def _usual_pay_day(world: World, customer: Customer, invoice: Invoice) -> int:
    """When an undisputed invoice is paid: mostly together with the others of the same day."""
    together = world.paid_together.get((customer.index, invoice.due_day))
    if together is not None and world.chance("batch_paid_together"):
        return together
    on_due_day = customer.payment_class.name in ("prompt", "slightly_late") and not customer.run
    if on_due_day and invoice.due_day > world.today and world.chance("payment_on_due_day"):
        day = nearest_working_day(invoice.due_day)
    else:
        day = _pay_day(world, customer, invoice.due_day + round(_days_late(world, customer)))
    world.paid_together[customer.index, invoice.due_day] = day
    return day


def _plan_parts(world: World, customer: Customer, invoice: Invoice) -> None:
    """One payment mostly; else parts before the last one, which pays whatever is open then."""
    rng = world.rng
    payments = world.calibration.payments_per_invoice(rng)
    if payments > 1:
        invoice.pay_day = _pay_day(world, customer, invoice.pay_day - rng.randint(4, 15))
    day = invoice.pay_day
    for _ in range(payments - 1):
        fraction = min(max(world.calibration.first_part.draw(rng), 0.05), 0.95)
        world.plan(
            day, "pay", invoice.number, -1, max(100, round(invoice.amount * fraction / (payments - 1)))
        )
        day = _pay_day(world, customer, day + rng.randint(6, 24))
    world.plan(day, "pay", invoice.number, -1, 0)


def _days_late(world: World, customer: Customer) -> float:
    return world.rng.gauss(customer.mean_days_late, customer.noise)


def _pay_day(world: World, customer: Customer, target: int) -> int:
    """The day the customer pays: its next to nearest payment run, or a weekday near the target."""
    target = max(target, world.today + 1)
    if customer.run == "weekly":
        day = target + (customer.run_weekday - weekday(target) + 3) % 7 - 3
    elif customer.run == "semimonthly":
        day = _nearest_run(target)
    else:
        day = _likely_weekday(world, target)
    return day if day > world.today else working_day(world.today + 1)


def _nearest_run(target: int) -> int:
    near = range(target - 8, target + 9)
    runs = [working_day(day) for day in near if int(iso(day)[8:]) in SEMIMONTHLY_DAYS]
    return min(runs, key=lambda day: (abs(day - target), day), default=working_day(target))


def _likely_weekday(world: World, target: int) -> int:
    shares = world.calibration.payment_weekdays
    days = (target - 1, target, target + 1)
    weights = [shares[weekday(day)] * near for day, near in zip(days, (0.6, 3.0, 0.6), strict=True)]
    return world.rng.choices(days, weights)[0]


# Disputes are decided with the payment that they delay.


def plan_dispute(world: World, invoice: Invoice) -> None:
    rng = world.rng
    opened = min(world.today + rng.randint(2, 20), invoice.pay_day - 1)
    closed = max(opened + 1, invoice.pay_day - rng.randint(1, 6))
    wins = rng.random() < world.calibration.figures["disputes"]["customer_wins_share"]
    full = rng.random() < FULL_CREDIT_SHARE
    part = 1.0 if full else rng.uniform(*DISPUTED_PART)
    amount = max(100, round(invoice.amount * part))
    world.plan(working_day(opened), "open_dispute", invoice.number, amount, closed, wins)
