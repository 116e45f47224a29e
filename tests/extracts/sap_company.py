"""A company in SAP's own tables with every kind of document, and the balance by SAP's rule on any day.

Amounts stand as SAP stores them: two decimals for every currency (JPY 1000 as 10.00), no sign.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

FIRST, LAST = date(2025, 1, 2), date(2025, 12, 31)
OPEN = "00000000"
DECIMALS = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}
LOCAL_RATES = {
    "EUR": Decimal(1), "USD": Decimal("0.91"), "JPY": Decimal("0.61"), "KWD": Decimal("0.298"),
}  # fmt: skip
CURRENCIES = ("EUR", "EUR", "EUR", "USD", "JPY", "KWD")

Line = dict[str, str]


def stored(day: date) -> str:
    return f"{day:%Y%m%d}"


@dataclass
class SapCompany:
    """The ledger lines of one company code, and the headers of its documents."""

    chance: random.Random = field(default_factory=lambda: random.Random(11))
    lines: list[Line] = field(default_factory=list)
    headers: dict[str, Line] = field(default_factory=dict)
    number: int = 0

    def document(self, day: date, kind: str) -> str:
        self.number += 1
        belnr = f"{self.number:010d}"
        self.headers[belnr] = {
            "MANDT": "800", "BUKRS": "1000", "GJAHR": str(day.year), "BELNR": belnr, "BLART": kind,
            "BUDAT": stored(day), "CPUDT": stored(day), "CPUTM": f"{8 + self.number % 10:02d}0000",
            "STBLG": "", "STJAH": "0000", "XREVERSAL": "", "KURSF": "0.00000", "HWAER": "EUR",
        }  # fmt: skip
        return belnr

    def line(self, belnr: str, customer: int, key: str, amount: Decimal, currency: str, **other: str) -> Line:
        header = self.headers[belnr]
        position = 1 + sum(line["BELNR"] == belnr for line in self.lines)
        # DMBTR is rounded to the two decimals of the company's euro; WRBTR is shifted, the rate is not.
        shown = amount.scaleb(2 - DECIMALS[currency])
        line = {
            "MANDT": "800", "BUKRS": "1000", "KUNNR": f"{customer:010d}", "GJAHR": header["GJAHR"],
            "BELNR": belnr, "BUZEI": f"{position:03d}", "BSCHL": key, "BLART": header["BLART"],
            "SHKZG": "S" if key in ("01", "05", "06", "09") else "H", "WRBTR": f"{amount:.2f}",
            "DMBTR": f"{shown * LOCAL_RATES[currency]:.2f}", "WAERS": currency, "BUDAT": header["BUDAT"],
            "BLDAT": header["BUDAT"], "CPUDT": header["CPUDT"], "ZFBDT": header["BUDAT"], "ZTERM": "Z030",
            "ZBD1T": "14", "ZBD2T": "30", "ZBD3T": "0", "UMSKZ": "", "REBZG": "", "REBZJ": "0000",
            "REBZZ": "000", "REBZT": "", "RSTGR": "", "WSKTO": "0.00", "BSTAT": "", "AUGDT": OPEN,
            "AUGBL": "", "XBLNR": f"X{belnr}",
        } | other  # fmt: skip
        self.lines.append(line)
        return line

    def clear(self, belnr: str, day: date, *lines: Line) -> None:
        for line in lines:
            line.update(AUGBL=belnr, AUGDT=stored(day))

    def reverse(self, line: Line, day: date) -> None:
        """Post the opposite document; both are cleared against each other."""
        belnr = self.document(day, "AB")
        keys = {"01": "12", "11": "02", "15": "05"}
        other = self.line(
            belnr, int(line["KUNNR"]), keys[line["BSCHL"]], Decimal(line["WRBTR"]), line["WAERS"]
        )
        other["SHKZG"] = "H" if line["SHKZG"] == "S" else "S"
        first, second = self.headers[line["BELNR"]], self.headers[belnr]
        first.update(STBLG=belnr, STJAH=str(day.year), XREVERSAL="1")
        second.update(STBLG=line["BELNR"], STJAH=line["GJAHR"], XREVERSAL="2")
        self.clear(belnr, day, line, other)

    def points_at(self, invoice: Line, *, kind: str = "Z") -> Line:
        return {
            "REBZG": invoice["BELNR"], "REBZJ": invoice["GJAHR"], "REBZZ": invoice["BUZEI"], "REBZT": kind,
        }  # fmt: skip


def create(invoices: int = 260) -> SapCompany:
    """Each invoice has one of the fates that an item can have in SAP."""
    company = SapCompany()
    fates = (
        _stays_open, _paid_in_full, _paid_with_another, _paid_in_parts, _residual, _discount, _credited,
        _credited_in_part, _written_off, _refunded, _reversed, _bounced, _down_payment, _doubtful,
        _other_currency, _other_side_missing, _on_account, _requested, _reserve,
    )  # fmt: skip
    for position in range(invoices):
        chance = company.chance
        day = FIRST + timedelta(days=chance.randrange(300))
        currency = CURRENCIES[position % len(CURRENCIES)]
        amount = Decimal(chance.randrange(10_000, 500_000)) / 100
        belnr = company.document(day, "RV")
        invoice = company.line(belnr, 100 + position % 17, "01", amount, currency)
        fates[position % len(fates)](company, invoice, day)
    return company


def _later(company: SapCompany, day: date, *, most: int = 60) -> date:
    return min(LAST, day + timedelta(days=company.chance.randrange(1, most)))


def _amount(line: Line) -> Decimal:
    return Decimal(line["WRBTR"])


def _like(
    company: SapCompany, belnr: str, line: Line, key: str, amount: Decimal | None = None, **other: str
) -> Line:
    """A line for the same customer in the same currency."""
    size = _amount(line) if amount is None else amount
    return company.line(belnr, int(line["KUNNR"]), key, size, line["WAERS"], **other)


def _stays_open(company: SapCompany, invoice: Line, day: date) -> None:
    """Nothing happens."""


def _paid_in_full(company: SapCompany, invoice: Line, day: date) -> None:
    paid = _later(company, day)
    belnr = company.document(paid, "DZ")
    company.clear(belnr, paid, invoice, _like(company, belnr, invoice, "15"))


def _paid_with_another(company: SapCompany, invoice: Line, day: date) -> None:
    other = _like(company, company.document(day, "RV"), invoice, "01", Decimal("77.00"))
    paid = _later(company, day)
    belnr = company.document(paid, "DZ")
    payment = _like(company, belnr, invoice, "15", _amount(invoice) + Decimal("77.00"))
    company.clear(belnr, paid, invoice, other, payment)


def _paid_in_parts(company: SapCompany, invoice: Line, day: date) -> None:
    """A part that points at the invoice; for every second invoice the rest, which clears both."""
    first = _later(company, day)
    part = _like(
        company, company.document(first, "DZ"), invoice, "15", Decimal("30.00"), **company.points_at(invoice)
    )
    if company.number % 2:
        last = _later(company, first)
        belnr = company.document(last, "DZ")
        rest = _like(company, belnr, invoice, "15", _amount(invoice) - Decimal("30.00"))
        company.clear(belnr, last, invoice, part, rest)


def _residual(company: SapCompany, invoice: Line, day: date) -> None:
    """Short by 20: the invoice is cleared, the 20 are a new item of the payment."""
    paid = _later(company, day)
    belnr = company.document(paid, "DZ")
    payment = _like(company, belnr, invoice, "15")
    residual = _like(company, belnr, invoice, "06", Decimal("20.00"), **company.points_at(invoice, kind="V"))
    company.clear(belnr, paid, invoice, payment)
    if company.number % 2:
        last = _later(company, paid)
        end = company.document(last, "DZ")
        company.clear(end, last, residual, _like(company, end, invoice, "15", Decimal("20.00")))


def _discount(company: SapCompany, invoice: Line, day: date) -> None:
    paid = _later(company, day, most=14)
    belnr = company.document(paid, "DZ")
    company.clear(belnr, paid, invoice, _like(company, belnr, invoice, "15", WSKTO="3.00"))


def _credited(company: SapCompany, invoice: Line, day: date) -> None:
    noted = _later(company, day)
    memo = _like(company, company.document(noted, "DG"), invoice, "11")
    cleared = _later(company, noted)
    company.clear(company.document(cleared, "AB"), cleared, invoice, memo)


def _credited_in_part(company: SapCompany, invoice: Line, day: date) -> None:
    noted = _later(company, day)
    belnr = company.document(noted, "DG")
    _like(company, belnr, invoice, "11", Decimal("15.00"), **company.points_at(invoice, kind="G"))


def _written_off(company: SapCompany, invoice: Line, day: date) -> None:
    gone = _later(company, day)
    belnr = company.document(gone, "AB")
    company.clear(belnr, gone, invoice, _like(company, belnr, invoice, "17", RSTGR="099"))


def _refunded(company: SapCompany, invoice: Line, day: date) -> None:
    """A credit memo that is paid out: the outgoing payment clears it; the invoice stays."""
    noted = _later(company, day)
    memo = _like(company, company.document(noted, "DG"), invoice, "11", Decimal("40.00"))
    paid = _later(company, noted)
    belnr = company.document(paid, "DZ")
    company.clear(belnr, paid, memo, _like(company, belnr, invoice, "05", Decimal("40.00")))


def _reversed(company: SapCompany, invoice: Line, day: date) -> None:
    company.reverse(invoice, _later(company, day))


def _bounced(company: SapCompany, invoice: Line, day: date) -> None:
    """The payment is reversed; its clearing was reset before, so the invoice is open again."""
    paid = _later(company, day)
    payment = _like(company, company.document(paid, "DZ"), invoice, "15")
    company.reverse(payment, _later(company, paid))


def _down_payment(company: SapCompany, invoice: Line, day: date) -> None:
    """Money before the invoice (special ledger A), brought over and cleared later."""
    early = max(FIRST, day - timedelta(days=20))
    down = _like(company, company.document(early, "DZ"), invoice, "19", Decimal("25.00"), UMSKZ="A")
    if company.number % 2:
        moved = _later(company, day)
        belnr = company.document(moved, "DA")
        taken = _like(company, belnr, invoice, "09", Decimal("25.00"), UMSKZ="A")
        _like(company, belnr, invoice, "16", Decimal("25.00"), **company.points_at(invoice))
        company.clear(belnr, moved, down, taken)


def _doubtful(company: SapCompany, invoice: Line, day: date) -> None:
    """Moved to the special ledger D in one document: still owed."""
    moved = _later(company, day)
    belnr = company.document(moved, "SA")
    company.clear(belnr, moved, invoice, _like(company, belnr, invoice, "17"))
    _like(company, belnr, invoice, "09", UMSKZ="D")


def _other_currency(company: SapCompany, invoice: Line, day: date) -> None:
    """Cleared with a payment in another currency: balanced in the company's currency only."""
    paid = _later(company, day)
    belnr = company.document(paid, "DZ")
    other = "USD" if invoice["WAERS"] == "EUR" else "EUR"
    payment = company.line(belnr, int(invoice["KUNNR"]), "15", Decimal("500.00"), other)
    company.clear(belnr, paid, invoice, payment)


def _other_side_missing(company: SapCompany, invoice: Line, day: date) -> None:
    """Cleared by something that the extract does not hold (archived, or on a vendor's account)."""
    gone = _later(company, day)
    company.clear(company.document(gone, "AB"), gone, invoice)


def _on_account(company: SapCompany, invoice: Line, day: date) -> None:
    belnr = company.document(_later(company, day), "DZ")
    _like(company, belnr, invoice, "15", Decimal("12.00"))


def _requested(company: SapCompany, invoice: Line, day: date) -> None:
    """A down payment request is a statistic (F), as is every noted item (BSTAT S)."""
    _like(company, company.document(day, "DA"), invoice, "09", Decimal("99.00"), UMSKZ="F")
    _like(company, company.document(day, "DA"), invoice, "09", Decimal("98.00"), BSTAT="S")


def _reserve(company: SapCompany, invoice: Line, day: date) -> None:
    """A reserve for bad debt (E) is no claim of the customer's."""
    _like(company, company.document(_later(company, day), "SA"), invoice, "19", Decimal("50.00"), UMSKZ="E")


def tables(company: SapCompany) -> dict[str, list[Line]]:
    """What the extract delivers."""
    customers = sorted({line["KUNNR"] for line in company.lines})
    return {
        "BSID": [line for line in company.lines if line["AUGDT"] == OPEN],
        "BSAD": [line for line in company.lines if line["AUGDT"] != OPEN],
        "BKPF": list(company.headers.values()),
        "KNA1": [{"MANDT": "800", "KUNNR": one, "NAME1": f"Kunde {one}", "LAND1": "DE"} for one in customers],
        "KNB1": [{"MANDT": "800", "KUNNR": one, "BUKRS": "1000", "ZTERM": "Z030"} for one in customers],
        "T001": [{"MANDT": "800", "BUKRS": "1000", "WAERS": "EUR"}],
        "T052": [{"MANDT": "800", "ZTERM": "Z030", "ZTAG1": "14", "ZTAG2": "30", "ZTAG3": "0"}],
        "TCURX": [{"CURRKEY": "JPY", "CURRDEC": "0"}, {"CURRKEY": "KWD", "CURRDEC": "3"}],
    }


def balances(company: SapCompany, day: date) -> dict[tuple[str, str], Decimal]:
    """Σ of what is open at the end of a day by (customer, currency): BSID ∪ BSAD, posted, not cleared.

    Down payment requests, noted items and reserves are none of it.
    """
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in company.lines:
        if line["UMSKZ"] in ("F", "E") or line["BSTAT"] == "S":
            continue
        if line["BUDAT"] <= stored(day) and (line["AUGDT"] == OPEN or line["AUGDT"] > stored(day)):
            amount = _amount(line).scaleb(2 - DECIMALS[line["WAERS"]])
            found[line["KUNNR"], line["WAERS"]] += amount if line["SHKZG"] == "S" else -amount
    return {key: amount for key, amount in found.items() if amount}
