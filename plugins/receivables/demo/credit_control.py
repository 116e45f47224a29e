"""Credit control: disputes, dunning, promises and credit limits."""

from __future__ import annotations

from receivables.demo.credits import APPROVERS, plan_use, record_credit_note
from receivables.demo.customers import Customer
from receivables.demo.days import iso, office_second, timestamp, working_day
from receivables.demo.money import amount_text
from receivables.demo.world import World

# Days after the due date, stage, channel.
DUNNING = (
    (-3, "REMINDER", "email"),
    (7, "CALL", "phone"),
    (21, "LETTER", "email"),
    (75, "LEGAL", "post"),
    (110, "AGENCY", "post"),
)
CALL = 1
CALL_OUTCOMES = ("no_answer", "will_check", "invoice_missing", "waiting_for_approval")
DISPUTE_REASONS = ("price", "quantity", "quality", "delivery", "missing_order_number")
LIMIT_UNIT = 1_000_000  # minor units to which limits are rounded
LIMIT_CHANGES = (0.7, 0.85, 1.1, 1.25, 1.5)


def open_dispute(world: World, number: str, amount: int, closes: int, customer_wins: bool) -> None:
    invoice = world.invoices.get(number)
    if invoice is None or invoice.open == 0:
        return
    company = world.customer(invoice.customer).company
    dispute, moment = world.number("DP", company), world.stamp(company)
    amount = min(amount, invoice.open)
    world.database.insert(
        "dispute", dispute, number, iso(world.today), None, amount_text(amount), invoice.currency,
        world.rng.choice(DISPUTE_REASONS), None, moment, moment,
    )  # fmt: skip
    details = (dispute, number, invoice.customer, invoice.currency, amount, customer_wins)
    world.plan(working_day(closes), "close_dispute", *details)


def close_dispute(
    world: World, dispute: str, number: str, index: int, currency: str, amount: int, customer_wins: bool
) -> None:
    """Close a dispute; a customer who is right gets a credit note, for the invoice while that is open."""
    world.database.update(
        "dispute",
        {"dispute_no": dispute},
        closed_on=iso(world.today),
        outcome="customer_right" if customer_wins else "company_right",
        updated_at=world.stamp(world.customer(index).company),
    )
    if not customer_wins:
        return
    invoice = world.invoices.get(number)
    if invoice is not None and invoice.open > 0:
        record_credit_note(world, index, currency, min(amount, invoice.open), "dispute", invoice=invoice)
    else:
        plan_use(world, record_credit_note(world, index, currency, amount, "dispute"), 3, 25)


def dun(world: World, number: str, step: int) -> None:
    """Take the next step for an invoice that is still open, and plan the one after it."""
    invoice = world.invoices.get(number)
    if invoice is None or invoice.open == 0:
        return
    customer = world.customer(invoice.customer)
    _, stage, channel = DUNNING[step]
    promises = step == CALL and world.chance("promise_at_call")
    outcome = "promised" if promises else world.rng.choice(CALL_OUTCOMES) if step == CALL else "sent"
    event, moment = world.number("DE", customer.company), world.stamp(customer.company)
    world.database.insert(
        "dunning_event", event, customer.code, number, iso(world.today), stage, channel, customer.collector,
        outcome, moment, moment,
    )  # fmt: skip
    if promises:
        promised = _promised_day(world, invoice.pay_day)
        world.database.insert(
            "promise", world.number("PR", customer.company), customer.code, number, iso(world.today),
            iso(promised), amount_text(invoice.open), invoice.currency, moment, moment,
        )  # fmt: skip
    if step + 1 < len(DUNNING):
        world.plan(working_day(invoice.due_day + DUNNING[step + 1][0]), "dun", number, step + 1)


def _promised_day(world: World, pay_day: int) -> int:
    """A day by which the customer will have paid, or too early a one."""
    soon = world.today + world.rng.randint(2, 10)
    if pay_day > world.today and world.chance("promise_kept"):
        return max(soon, pay_day + world.rng.randint(0, 3))
    return min(soon, pay_day - 1) if pay_day > world.today + 1 else soon


# Customers and their limits


def welcome(world: World) -> None:
    """Open the accounts of the customers who join today, with their first limit and what recurs for them."""
    for customer in world.book.join(world.today):
        limit = _first_limit(world, customer) if customer.has_limit else None
        moment = timestamp(customer.opened, office_second(customer.company, world.rng))
        _write_customer(world, customer, limit, moment)
        if limit is not None:
            _write_limit(world, customer, customer.opened, limit, moment)
            world.plan(
                working_day(world.today + world.rng.randint(60, 420)), "review_limit", customer.index, limit
            )
        if customer.is_bonus:
            world.plan(working_day(world.today + world.rng.randint(20, 110)), "bonus", customer.index)


def _first_limit(world: World, customer: Customer) -> int:
    usual = world.expected_sales(customer, days=customer.terms_days + 20)
    return max(1, round(usual * world.rng.uniform(0.9, 2.6) / LIMIT_UNIT)) * LIMIT_UNIT + 4 * LIMIT_UNIT


def review_limit(world: World, index: int, limit: int) -> None:
    customer = world.customer(index)
    changed = max(1, round(limit * world.rng.choice(LIMIT_CHANGES) / LIMIT_UNIT)) * LIMIT_UNIT
    _write_limit(world, customer, world.today, changed, world.stamp(customer.company))
    world.plan(working_day(world.today + world.rng.randint(240, 420)), "review_limit", index, changed)


def _write_customer(world: World, customer: Customer, limit: int | None, moment: str) -> None:
    named = customer.named
    is_chinese = named.country == "CN"
    world.database.insert(
        "customer",
        customer.code,
        named.name,
        named.name_en,
        customer.company,
        customer.parent,
        customer.segment,
        named.industry,
        named.country,
        named.region,
        customer.currency,
        customer.terms_days,
        "2.00" if customer.discount else None,
        10 if customer.discount else None,
        amount_text(limit) if limit is not None else None,
        customer.rating,
        customer.collector,
        customer.salesperson,
        f"ap.{named.mailbox}.{customer.code.lower()}@example.{'cn' if is_chinese else 'com'}",
        "zh" if is_chinese else "en",
        1,
        moment,
        moment,
    )


def _write_limit(world: World, customer: Customer, day: int, limit: int, moment: str) -> None:
    world.database.insert(
        "credit_limit", customer.code, iso(day), amount_text(limit), customer.currency, customer.rating,
        APPROVERS[customer.company], moment, moment,
    )  # fmt: skip
