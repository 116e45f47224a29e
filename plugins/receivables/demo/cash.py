"""Cash: receipts for one or many invoices, short, over, on account, booked late, bounced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from receivables.demo.calibration import Pick
from receivables.demo.credits import plan_use, settle
from receivables.demo.customers import Customer
from receivables.demo.days import iso, nearest_working_day, working_day
from receivables.demo.money import amount_text, rate_text
from receivables.demo.world import Credit, Invoice, World

METHODS = {
    "HD-CN": Pick.of({"bank_transfer": 0.8, "bank_acceptance": 0.17, "cheque": 0.03}),
    "HD-EU": Pick.of({"bank_transfer": 0.82, "direct_debit": 0.15, "cheque": 0.03}),
}
METHODS_THAT_BOUNCE = {"HD-CN": ("bank_acceptance", "cheque"), "HD-EU": ("direct_debit", "cheque")}
BOUNCE_REASONS = ("insufficient_funds", "account_closed", "revoked_by_payer")
SHORT_BY = (50, 3_000)  # minor units lost to bank fees
UNEARNED_DISCOUNT = (0.01, 0.02)


@dataclass(slots=True)
class Line:
    """What a receipt pays of one invoice; `position` is the last instalment that it pays for."""

    invoice: Invoice
    cash: int
    discount: int
    line: int | None
    position: int


@dataclass(slots=True)
class Payer:
    """One customer's payments of one day in one currency: they come as one receipt."""

    customer: Customer
    currency: str
    lines: list[Line] = field(default_factory=list)
    promised: dict[str, int] = field(default_factory=dict)  # invoice -> relieved by the lines so far

    def left(self, invoice: Invoice) -> int:
        return invoice.open - self.promised.get(invoice.number, 0)

    def add(self, line: Line) -> None:
        self.lines.append(line)
        taken = self.promised.get(line.invoice.number, 0)
        self.promised[line.invoice.number] = taken + line.cash + line.discount


def receive_payments(world: World, payments: Sequence[Sequence[object]]) -> None:
    """Turn today's planned payments into receipts, one per customer and currency."""
    payers: dict[tuple[int, str], Payer] = {}
    for number, position, amount in payments:
        invoice = world.invoices.get(number)
        if invoice is None or invoice.open == 0:
            continue
        key = (invoice.customer, invoice.currency)
        if key not in payers:
            payers[key] = Payer(world.customer(invoice.customer), invoice.currency)
        if invoice.parts:
            _pay_instalments(payers[key], invoice, position)
        else:
            _pay_invoice(world, payers[key], invoice, amount)
    for payer in payers.values():
        if payer.lines:
            _receive(world, payer)


def _pay_instalments(payer: Payer, invoice: Invoice, position: int) -> None:
    """Pay every part up to a position that is still open, oldest first."""
    for line, _, _, open_amount in invoice.parts[: position + 1]:
        paid = sum(
            entry.cash for entry in payer.lines if entry.invoice is invoice and entry.position == line - 1
        )
        amount = min(open_amount - paid, payer.left(invoice))
        if amount > 0:
            payer.add(Line(invoice, amount, 0, line if invoice.names_parts else None, line - 1))


def _pay_invoice(world: World, payer: Payer, invoice: Invoice, amount: int) -> None:
    left = payer.left(invoice)
    if left <= 0:
        return
    if amount:
        payer.add(Line(invoice, min(amount, left), 0, None, -1))
    elif invoice.discount and world.today <= invoice.discount_until and left == invoice.amount:
        payer.add(Line(invoice, left - invoice.discount, invoice.discount, None, -1))
    else:
        payer.add(Line(invoice, left - _held_back(world, invoice, left), 0, None, -1))


def _held_back(world: World, invoice: Invoice, left: int) -> int:
    """What a last payment is short of, and how the company will deal with it."""
    rng = world.rng
    if world.chance("short_payment"):
        short = rng.randint(*SHORT_BY)
        if short * 20 < left:
            world.plan(
                working_day(world.today + rng.randint(4, 25)),
                "write_off",
                invoice.number,
                "small_difference",
                short,
            )
            return short
    elif world.chance("unearned_discount"):
        short = round(left * rng.uniform(*UNEARNED_DISCOUNT))
        if short:
            day = working_day(world.today + rng.randint(5, 30))
            world.plan(day, "concede_discount", invoice.number, "goodwill_discount", short)
        return short
    return 0


def _receive(world: World, payer: Payer) -> None:
    rng, customer = world.rng, payer.customer
    bounces = world.chance("bounced")
    extra = 0 if bounces else _overpaid(world, payer)
    cash = sum(line.cash for line in payer.lines) + extra
    method = rng.choice(METHODS_THAT_BOUNCE[customer.company]) if bounces else METHODS[customer.company](rng)
    day = _receipt_day(world, max(line.invoice.doc_day for line in payer.lines))
    credit, moment = record_receipt(world, customer, payer.currency, cash, method, day)
    if bounces:
        _plan_bounce(world, payer, credit.number)
    for line in payer.lines:
        _take_from_part(line)
        settle(world, credit, line.invoice, line.cash, discount=line.discount, line=line.line, moment=moment)
    if extra:
        if world.chance("overpayment_refunded"):
            world.plan(working_day(world.today + rng.randint(8, 30)), "refund", credit.number)
        else:
            plan_use(world, credit, 7, 45)
    if world.chance("credit_journal"):
        amount = max(5_000, round(cash * rng.uniform(0.02, 0.1)))
        world.plan(
            working_day(world.today + rng.randint(1, 10)),
            "credit_journal",
            customer.index,
            payer.currency,
            amount,
        )
    for line in payer.lines:
        if world.chance("return_after_payment"):
            amount = max(1_000, round(line.cash * rng.uniform(0.05, 0.4)))
            day = working_day(world.today + rng.randint(4, 40))
            world.plan(day, "return_goods", customer.index, payer.currency, amount)


def _overpaid(world: World, payer: Payer) -> int:
    """A rounded-up amount, or an invoice paid twice."""
    if not world.chance("overpayment"):
        return 0
    if world.rng.random() < 0.4:
        return payer.lines[0].cash
    total = sum(line.cash for line in payer.lines)
    return 10_000 - total % 10_000 + 10_000 * world.rng.randrange(5)


def _receipt_day(world: World, newest: int) -> int:
    """The day the bank says; some receipts are entered days later."""
    if not world.chance("late_receipt"):
        return world.today
    return max(world.today - world.rng.randint(1, 6), newest)


def record_receipt(
    world: World, customer: Customer, currency: str, amount: int, method: str, day: int
) -> tuple[Credit, str]:
    number, moment = world.number("RC", customer.company), world.stamp(customer.company)
    bank_ref = f"{iso(day).replace('-', '')}{world.rng.randrange(10**8):08d}"
    rate = world.rate(currency, customer.company, day)
    world.database.insert(
        "cash_receipt", number, customer.code, customer.company, iso(day), iso(world.today), currency,
        amount_text(amount), rate_text(rate), method, bank_ref, "POSTED", None, None, moment, moment,
    )  # fmt: skip
    credit = Credit(number, "RCPT", customer.index, currency, amount, rate, 0)
    world.add_credit(credit, day)
    return credit, moment


def receive_advance(world: World, index: int, currency: str, amount: int) -> None:
    """Cash on account, for goods that are invoiced some days later, often for more than was paid."""
    customer, rng = world.customer(index), world.rng
    credit, _ = record_receipt(world, customer, currency, amount, "bank_transfer", world.today)
    day = nearest_working_day(world.today + rng.randint(4, 25))
    invoiced = round(amount * rng.choice((1.0, 1.0, 1.5, 2.0)))
    world.plan(day, "invoice", index, day, currency, invoiced, None, credit.number, None)


def _take_from_part(line: Line) -> None:
    if line.invoice.parts:
        line.invoice.parts[line.position][3] -= line.cash


def _plan_bounce(world: World, payer: Payer, number: str) -> None:
    for line in payer.lines:
        line.invoice.held += 1
    lines = [[line.invoice.number, line.cash + line.discount, line.position] for line in payer.lines]
    day = working_day(world.today + world.rng.randint(3, 12))
    world.plan(day, "bounce", number, payer.customer.index, lines)


def bounce(world: World, number: str, index: int, lines: list[list[object]]) -> None:
    """Void a receipt whose money did not come: its invoices reopen today, and are paid again later."""
    customer = world.customer(index)
    world.database.update(
        "cash_receipt",
        {"receipt_no": number},
        doc_status="VOID",
        void_date=iso(world.today),
        void_reason=world.rng.choice(BOUNCE_REASONS),
        updated_at=world.stamp(customer.company),
    )
    again = working_day(world.today + world.rng.randint(5, 20))
    for invoice_number, amount, position in lines:
        invoice = world.invoices[invoice_number]
        world.change_invoice(invoice, amount)
        invoice.held -= 1
        invoice.discount = 0
        invoice.pay_day = again
        if invoice.parts:
            invoice.parts[position][3] += amount
        world.plan(again, "pay", invoice_number, position, 0)
