"""What a demo company's documents say, measured from its tables alone."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from math import log
from statistics import mean, pstdev

USD = {"USD": 1.0, "EUR": 1 / 0.92, "CNY": 1 / 7.2}


def minor(text: str) -> int:
    """Whole minor units of a decimal text, exactly."""
    value = Fraction(text) * 100
    assert value.denominator == 1, text
    return int(value)


def booked(amount: int, rate: str) -> int:
    """An amount in the company's currency, rounded half up to its minor unit."""
    value = amount * Fraction(rate)
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


@dataclass
class Item:
    """An open item with the dated changes that the receivables rules give it."""

    company: str
    rate: str
    day: str
    void: str | None
    changes: list[tuple[str, int]]

    def open_amounts(self) -> list[tuple[str, int]]:
        """The open amount from each day on that changed it."""
        total, result = 0, []
        for day, amount in sorted(self.changes):
            total += amount
            result.append((day, total))
        return result


def open_items(connection: sqlite3.Connection) -> dict[tuple[str, str], Item]:
    """Every posted document with its ledger entries, by the rules: effective dates, voids, applications."""
    items = _documents(connection)
    for row in connection.execute("select * from settlement"):
        invoice, credit = items["INV", row["invoice_no"]], items[row["credit_kind"], row["credit_no"]]
        effective = max(invoice.day, credit.day, row["settled_on"])
        cash, discount = minor(row["amount"]), minor(row["discount_amount"])
        for item, amount in ((invoice, -(cash + discount)), (credit, cash)):
            item.changes.append((effective, amount))
        ended = min((day for day in (invoice.void, credit.void) if day), default=None)
        if ended:
            invoice.changes.append((max(ended, effective), cash + discount))
            credit.changes.append((max(ended, effective), -cash))
    for row in connection.execute("select * from ar_adjustment where adj_type in ('WOFF', 'DISC', 'RFND')"):
        assert row["doc_status"] == "POSTED"
        if row["adj_type"] == "RFND":
            item, amount = items[row["credit_kind"], row["credit_no"]], minor(row["amount"])
        else:
            item, amount = items["INV", row["invoice_no"]], -minor(row["amount"])
        assert row["fx_rate"] == item.rate
        item.changes.append((max(row["adj_date"], item.day), amount))
    return items


def _documents(connection: sqlite3.Connection) -> dict[tuple[str, str], Item]:
    queries = {
        (
            "INV",
            1,
        ): "select doc_no, company_code, fx_rate, doc_date, void_date, gross_amount from sales_invoice",
        (
            "CN",
            -1,
        ): "select doc_no, company_code, fx_rate, doc_date, void_date, gross_amount from credit_note",
        (
            "RCPT",
            -1,
        ): "select receipt_no, company_code, fx_rate, receipt_date, void_date, amount from cash_receipt",
        ("JNL", -1): "select adj_no, company_code, fx_rate, adj_date, void_date, amount from ar_adjustment",
        ("DEBIT", 1): "select adj_no, company_code, fx_rate, adj_date, void_date, amount from ar_adjustment",
    }
    filters = {
        "INV": "doc_status in ('POSTED', 'VOID')",
        "JNL": "adj_type = 'JCR'",
        "DEBIT": "adj_type = 'JDR'",
    }
    items = {}
    for (kind, sign), query in queries.items():
        for number, company, rate, day, void, amount in connection.execute(
            f"{query} where {filters.get(kind, 'true')}"
        ):
            changes = [(day, sign * minor(amount))]
            if void:
                changes.append((max(void, day), -sign * minor(amount)))
            items[kind, number] = Item(company, rate, day, void, changes)
    return items


def receivable_balances(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """The receivable balance of each company at the end of each day, in minor units of its currency."""
    moves: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for item in open_items(connection).values():
        before = 0
        for day, amount in item.open_amounts():
            value = booked(amount, item.rate) if amount >= 0 else -booked(-amount, item.rate)
            moves[item.company][day] += value - before
            before = value
    balances = {}
    totals: dict[str, int] = defaultdict(int)
    for company, day in connection.execute(
        "select company_code, balance_date from gl_balance order by company_code, balance_date"
    ):
        totals[company] += moves[company].pop(day, 0)
        balances[company, day] = totals[company]
    assert not any(day_moves for day_moves in moves.values()), "an entry lies outside the days of the ledger"
    return balances


@dataclass
class SettledInvoice:
    days_late: int
    payments: int
    is_disputed: bool


def settled_invoices(connection: sqlite3.Connection, issued_before: str) -> list[SettledInvoice]:
    """Invoices without instalments, fully settled by receipts that held, issued before a day.

    Only those old enough to have been paid are counted: near the end of the history mostly early payments
    are in.
    """
    rows = connection.execute(
        """
        select
            sales_invoice.due_date, max(settlement.settled_on),
            sum(settlement.credit_kind = 'RCPT'),
            sales_invoice.doc_no in (select invoice_no from dispute)
        from sales_invoice
        join settlement on settlement.invoice_no = sales_invoice.doc_no
        where doc_status = 'POSTED' and doc_date < ?
            and doc_no not in (select doc_no from invoice_schedule)
            and doc_no not in (select invoice_no from ar_adjustment where reason = 'bad_debt')
            and doc_no not in (
                select invoice_no from settlement join cash_receipt on receipt_no = credit_no
                where doc_status = 'VOID'
            )
        group by sales_invoice.doc_no
        having sum(settlement.credit_kind = 'RCPT') > 0
        """,
        (issued_before,),
    )
    return [
        SettledInvoice((date.fromisoformat(paid) - date.fromisoformat(due)).days, payments, bool(disputed))
        for due, paid, payments, disputed in rows
    ]


def quantile(values: Iterable[float], level: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(level * len(ordered)))]


def share(flags: Iterable[bool]) -> float:
    return mean(map(float, flags))


def measure(connection: sqlite3.Connection) -> dict[str, float]:
    """The key figures that the calibration states, under names of their own."""
    connection.row_factory = sqlite3.Row
    (last_day,) = connection.execute("select max(balance_date) from gl_balance").fetchone()
    settled = settled_invoices(connection, str(date.fromisoformat(last_day) - timedelta(days=180)))
    late = [invoice.days_late for invoice in settled]
    return {
        "late_share": share(days > 0 for days in late),
        "on_due_day_share": share(days == 0 for days in late),
        "early_share": share(days < 0 for days in late),
        **{f"days_late_{level}": quantile(late, level) for level in (0.05, 0.25, 0.5, 0.75, 0.9, 0.95)},
        "late_share_disputed": share(invoice.days_late > 0 for invoice in settled if invoice.is_disputed),
        "late_share_undisputed": share(
            invoice.days_late > 0 for invoice in settled if not invoice.is_disputed
        ),
        **{
            f"payments_{count}": share(invoice.payments == count for invoice in settled)
            for count in (1, 2, 3)
        },
        **_amounts(connection),
        **_shares(connection),
        **_calendar(connection),
    }


def _amounts(connection: sqlite3.Connection) -> dict[str, float]:
    amounts, by_customer = [], defaultdict(float)
    for customer, amount, currency in connection.execute(
        "select customer_code, gross_amount, currency from sales_invoice where doc_type = 'INV'"
    ):
        amounts.append(log(float(amount) * USD[currency]))
        by_customer[customer] += float(amount) * USD[currency]
    ranked = sorted(by_customer.values(), reverse=True)
    return {
        "amount_mu": mean(amounts),
        "amount_sigma": pstdev(amounts),
        "top_fifth_share": sum(ranked[: len(ranked) // 5]) / sum(ranked),
    }


def _shares(connection: sqlite3.Connection) -> dict[str, float]:
    queries = {
        "disputed_share": "select (select count(distinct invoice_no) from dispute) * 1.0 / count(*)"
        " from sales_invoice where doc_status = 'POSTED'",
        "customer_wins_share": "select avg(outcome = 'customer_right') from dispute where outcome > ''",
        "invoices_per_receipt": "select avg(number) from (select count(distinct invoice_no) as number"
        " from settlement where credit_kind = 'RCPT' group by credit_no)",
        "multi_currency_share": "select avg(number > 1) from (select count(distinct currency) as number"
        " from sales_invoice group by customer_code having count(*) > 10)",
    }
    return {name: float(connection.execute(query).fetchone()[0]) for name, query in queries.items()}


def _calendar(connection: sqlite3.Connection) -> dict[str, float]:
    """Shares by weekday (Monday is 0), and each month against the mean month."""
    issued = [date.fromisoformat(row[0]) for row in connection.execute("select doc_date from sales_invoice")]
    paid = [date.fromisoformat(row[0]) for row in connection.execute("select receipt_date from cash_receipt")]
    return {
        **{f"issued_on_{day}": share(moment.weekday() == day for moment in issued) for day in range(7)},
        **{f"paid_on_{day}": share(moment.weekday() == day for moment in paid) for day in range(7)},
        **{
            f"month_{month}": 12 * share(moment.month == month for moment in issued) for month in range(1, 13)
        },
    }
