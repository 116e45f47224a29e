"""Credits: receipts, credit notes and journals, and what is set against invoices from them."""

from __future__ import annotations

from receivables.demo.days import iso, working_day
from receivables.demo.money import amount_text, rate_text, tax_within
from receivables.demo.world import Credit, Invoice, World

APPROVERS = {"HD-CN": "Gao Wei 高伟", "HD-EU": "Dr. Petra Lang"}
ATTEMPTS_BEFORE_REFUND = 3
DAYS_BETWEEN_ATTEMPTS = 15


def settle(
    world: World,
    credit: Credit,
    invoice: Invoice,
    cash: int,
    *,
    moment: str,
    discount: int = 0,
    line: int | None = None,
) -> None:
    """Set an amount of a credit against an invoice, recorded today."""
    company = world.customer(invoice.customer).company
    world.database.insert(
        "settlement",
        world.number("ST", company),
        credit.kind,
        credit.number,
        invoice.number,
        line,
        amount_text(cash),
        amount_text(discount),
        iso(world.today),
        rate_text(credit.rate),
        moment,
        moment,
    )
    world.change_invoice(invoice, -(cash + discount))
    world.use_credit(credit, cash)


def record_credit_note(
    world: World, index: int, currency: str, amount: int, reason: str, *, invoice: Invoice | None = None
) -> Credit:
    """Issue a credit note; one without an invoice is sometimes dated a few days back."""
    customer, rng = world.customer(index), world.rng
    is_late = invoice is None and world.chance("late_receipt")
    doc_day = world.today - rng.randint(1, 3) if is_late else world.today
    number, moment = world.number("CN", customer.company), world.stamp(customer.company)
    rate = world.rate(currency, customer.company, doc_day)
    tax = tax_within(amount, customer.tax_rate)
    world.database.insert(
        "credit_note", number, customer.code, customer.company, iso(doc_day), iso(world.today), currency,
        amount_text(amount), amount_text(tax), rate_text(rate), invoice.number if invoice else None, reason,
        "POSTED", None, moment, moment,
    )  # fmt: skip
    credit = Credit(number, "CN", index, currency, amount, rate, 0)
    world.add_credit(credit, doc_day)
    if invoice is not None:
        settle(world, credit, invoice, amount, moment=moment)
    return credit


def return_goods(world: World, index: int, currency: str, amount: int) -> None:
    credit = record_credit_note(world, index, currency, amount, "goods_returned")
    plan_use(world, credit, 5, 30)


def grant_bonus(world: World, index: int) -> None:
    """A quarter's volume bonus: a credit note that names no invoice."""
    customer = world.customer(index)
    amount = round(world.expected_sales(customer, days=91) * world.rng.uniform(0.01, 0.02))
    if amount >= 10_000:
        plan_use(world, record_credit_note(world, index, customer.currency, amount, "volume_bonus"), 3, 25)
    world.plan(working_day(world.today + 91), "bonus", index)


def plan_use(world: World, credit: Credit, earliest: int, latest: int) -> None:
    world.plan(working_day(world.today + world.rng.randint(earliest, latest)), "apply_credit", credit.number)


def apply_credit(world: World, number: str) -> None:
    """Set an unused credit against the customer's oldest open invoices; what nothing takes is paid back."""
    credit = world.credits.get(number)
    if credit is None:
        return
    moment = world.stamp(world.customer(credit.customer).company)
    for invoice in list(world.open_invoices[credit.customer].values()):
        if credit.open and _takes(invoice, credit):
            settle(world, credit, invoice, min(credit.open, invoice.open), moment=moment)
    if not credit.open:
        return
    credit.attempts += 1
    if credit.attempts < ATTEMPTS_BEFORE_REFUND:
        world.plan(working_day(world.today + DAYS_BETWEEN_ATTEMPTS), "apply_credit", number)
    elif credit.kind != "JNL":
        refund(world, number)


def _takes(invoice: Invoice, credit: Credit) -> bool:
    is_open = invoice.is_posted and invoice.open > 0 and invoice.takes_credits
    return is_open and invoice.currency == credit.currency and not invoice.parts


def refund(world: World, number: str) -> None:
    """Pay an unused credit back to the customer."""
    credit = world.credits.get(number)
    if credit is None:
        return
    _adjust(
        world, "RF", "RFND", credit.customer, credit.currency, credit.open, credit.rate,
        reason="credit_balance_refunded", credit=credit,
    )  # fmt: skip
    world.use_credit(credit, credit.open)


def write_off(world: World, number: str, reason: str, limit: int | None = None) -> None:
    """Take what is left of an invoice out of the receivables; a small difference only while it is one."""
    _relieve(world, number, "WO", "WOFF", reason, limit)


def concede_discount(world: World, number: str, reason: str, limit: int) -> None:
    """Accept a discount that the customer took without being entitled to it."""
    _relieve(world, number, "DC", "DISC", reason, limit)


def _relieve(world: World, number: str, prefix: str, kind: str, reason: str, limit: int | None) -> None:
    invoice = world.invoices.get(number)
    # More open than was left over: a bounced receipt reopened the invoice, and it will be paid again.
    if invoice is None or invoice.open == 0 or (limit is not None and invoice.open > limit):
        return
    _adjust(
        world, prefix, kind, invoice.customer, invoice.currency, invoice.open, invoice.rate,
        reason=reason, invoice=invoice,
    )  # fmt: skip
    world.change_invoice(invoice, -invoice.open)


def record_credit_journal(world: World, index: int, currency: str, amount: int) -> None:
    """Net a payable to the customer against its receivable, by journal."""
    customer = world.customer(index)
    is_late = world.chance("late_receipt")
    day = max(world.today - world.rng.randint(1, 3), world.parameters.start) if is_late else world.today
    rate = world.rate(currency, customer.company, day)
    number = _adjust(
        world, "JC", "JCR", index, currency, amount, rate, reason="netted_with_payable", day=day
    )  # fmt: skip
    credit = Credit(number, "JNL", index, currency, amount, rate, 0)
    world.add_credit(credit, day)
    plan_use(world, credit, 1, 12)


def record_accruals(world: World) -> None:
    """Accrue freight and interest at the last month's end, days into the new month; reversed soon after."""
    rng = world.rng
    month_end = world.today - int(iso(world.today)[8:])
    share = world.calibration.chance("debit_journals_per_customer_and_month")
    for _ in range(max(1, round(share * len(world.book.customers)))):
        customer = world.book.draw(rng)
        amount = max(10_000, customer.draw_amount(rng, customer.currency) // 20)
        rate = world.rate(customer.currency, customer.company, month_end)
        number = _adjust(
            world, "JD", "JDR", customer.index, customer.currency, amount, rate,
            reason=rng.choice(("freight_accrued", "interest_accrued")), day=month_end, due_day=month_end + 30,
        )  # fmt: skip
        world.enter_journal(customer, amount, rate, month_end)
        world.plan(
            working_day(world.today + rng.randint(4, 12)),
            "reverse_accrual",
            number,
            customer.index,
            amount,
            rate,
        )
    plan_accruals(world)


def plan_accruals(world: World) -> None:
    """On the first working day from the second of the next month on."""
    first = world.today - int(iso(world.today)[8:]) + 32
    world.plan(working_day(first - int(iso(first)[8:]) + 2), "accruals")


def reverse_accrual(world: World, number: str, index: int, amount: int, rate: int) -> None:
    customer = world.customer(index)
    world.database.update(
        "ar_adjustment",
        {"adj_no": number},
        doc_status="VOID",
        void_date=iso(world.today),
        updated_at=world.stamp(customer.company),
    )
    world.enter_journal(customer, -amount, rate, world.today)


def _adjust(
    world: World,
    prefix: str,
    kind: str,
    index: int,
    currency: str,
    amount: int,
    rate: int,
    *,
    reason: str,
    day: int | None = None,
    due_day: int | None = None,
    invoice: Invoice | None = None,
    credit: Credit | None = None,
) -> str:
    customer = world.customer(index)
    number, moment = world.number(prefix, customer.company), world.stamp(customer.company)
    world.database.insert(
        "ar_adjustment",
        number,
        kind,
        customer.code,
        customer.company,
        iso(day or world.today),
        iso(world.today),
        iso(due_day) if due_day else None,
        currency,
        amount_text(amount),
        rate_text(rate),
        invoice.number if invoice else None,
        credit.kind if credit else None,
        credit.number if credit else None,
        reason,
        APPROVERS[customer.company],
        "POSTED",
        None,
        moment,
        moment,
    )
    return number
