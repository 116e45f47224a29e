"""The demo company as an ERPNext site keeps it: its tables, its columns, its payment ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.databases.company import Company, Row, at_noon, early_discount

ZONE = "Asia/Shanghai"
_FROM_UTC = timedelta(hours=8)
_STANDARD = "name:key creation:time modified:time modified_by:link owner:link docstatus:check idx:int"
_CHILD = f"{_STANDARD} parent:link parentfield:link parenttype:link"
# The columns that a version 15 has, as far as receivables go.
TABLES = {
    "tabCompany": f"{_STANDARD} default_currency:link write_off_account:link default_discount_account:link"
    " exchange_gain_loss_account:link",
    "tabCustomer": f"{_STANDARD} customer_name:link customer_group:link territory:link default_currency:link"
    " disabled:check account_manager:link language:link payment_terms:link",
    "tabCustomer Credit Limit": f"{_CHILD} company:link credit_limit:money",
    "tabSales Invoice": f"{_STANDARD} customer:link company:link posting_date:date due_date:date"
    " currency:link conversion_rate:money party_account_currency:link is_return:check return_against:link"
    " is_debit_note:check is_pos:check total_taxes_and_charges:money base_total_taxes_and_charges:money"
    " grand_total:money base_grand_total:money rounded_total:money base_rounded_total:money"
    " outstanding_amount:money paid_amount:money base_paid_amount:money change_amount:money"
    " base_change_amount:money"
    " write_off_amount:money base_write_off_amount:money po_no:link status:link amended_from:link",
    "tabPayment Schedule": f"{_CHILD} payment_term:link due_date:date invoice_portion:money"
    " payment_amount:money base_payment_amount:money paid_amount:money outstanding:money"
    " discount_type:link discount:money discount_date:date",
    "tabPayment Entry": f"{_STANDARD} payment_type:link party_type:link party:link company:link"
    " posting_date:date paid_from_account_currency:link paid_amount:money base_paid_amount:money"
    " received_amount:money source_exchange_rate:money unallocated_amount:money mode_of_payment:link"
    " reference_no:link remarks:text",
    "tabPayment Entry Reference": f"{_CHILD} reference_doctype:link reference_name:link payment_term:link"
    " allocated_amount:money exchange_rate:money",
    "tabPayment Entry Deduction": f"{_CHILD} account:link amount:money is_exchange_gain_loss:check",
    "tabJournal Entry": f"{_STANDARD} voucher_type:link company:link posting_date:date cheque_no:link"
    " remark:text",
    "tabJournal Entry Account": f"{_CHILD} account:link party_type:link party:link account_currency:link"
    " exchange_rate:money debit_in_account_currency:money credit_in_account_currency:money"
    " reference_type:link reference_name:link",
    "tabPayment Ledger Entry": f"{_STANDARD} posting_date:date company:link account_type:link account:link"
    " party_type:link party:link due_date:date voucher_type:link voucher_no:link against_voucher_type:link"
    " against_voucher_no:link amount:money account_currency:link amount_in_account_currency:money"
    " delinked:check",
    "tabCurrency Exchange": f"{_STANDARD} date:date from_currency:link to_currency:link exchange_rate:money",
}
TYPES = {
    "mysql": {
        "key": "varchar(140) not null primary key", "link": "varchar(140)", "time": "datetime(6)",
        "money": "decimal(21,9) not null default 0", "check": "tinyint(4) not null default 0",
        "int": "int(8) not null default 0", "date": "date", "text": "text",
    },
    "postgresql": {
        "key": "varchar(140) not null primary key", "link": "varchar(140)", "time": "timestamp(6)",
        "money": "decimal(21,9) not null default 0", "check": "smallint not null default 0",
        "int": "bigint not null default 0", "date": "date", "text": "text",
    },
}  # fmt: skip
CANCELLED = 2


def columns(table: str) -> list[str]:
    return [word.split(":")[0] for word in TABLES[table].split()]


def statements(engine: str) -> Iterator[str]:
    """Create the tables."""
    for table, words in TABLES.items():
        described = ", ".join(
            f'"{name}" {TYPES[engine][kind]}' for name, kind in (word.split(":") for word in words.split())
        )
        yield f'create table "{table}" ({described})'


class Site:
    """Collects the rows of an ERPNext site; `prefix` replaces HD in the names of its companies."""

    def __init__(self, company: Company, *, prefix: str) -> None:
        self._source = company
        self._prefix = prefix
        self.rows: dict[str, list[Row]] = defaultdict(list)
        self._numbers: dict[str, int] = defaultdict(int)
        self._currencies = {row["code"]: row["currency"] for row in company["company"]}
        for fill in (
            self._masters, self._invoices, self._credit_notes, self._payments, self._refunds, self._journals,
            self._rates, self._open_amounts,
        ):  # fmt: skip
            fill()

    def company(self, code: str) -> str:
        return code.replace("HD-", f"{self._prefix}-")

    def add(self, table: str, name: str, created: datetime, modified: datetime, **values: Any) -> None:
        self.rows[table].append(
            {
                "name": name,
                "creation": created + _FROM_UTC,
                "modified": modified + _FROM_UTC,
                "modified_by": "Administrator",
                "owner": "Administrator",
                **values,
            }
        )

    def _name(self, kind: str) -> str:
        self._numbers[kind] += 1
        return f"{kind}-{self._numbers[kind]:06}"

    def _ledger(
        self, document: Row, voucher: tuple[str, str], against: tuple[str, str], amount: Decimal, *,
        created: datetime, voided: datetime | None = None, due: date | None = None,
    ) -> None:  # fmt: skip
        """A row of the payment ledger; of a cancelled voucher unlinked, and turned beside it."""
        if voided is not None:
            created = min(created, voided - timedelta(minutes=1))
        for sign, moment in ((1, created), (-1, voided)):
            if moment is None:
                continue
            self.add(
                "tabPayment Ledger Entry", self._name("ple"), moment, voided or moment, docstatus=1,
                posting_date=document["day"], company=self.company(document["company_code"]),
                account_type="Receivable", account="Debtors", party_type="Customer",
                party=document["customer_code"], due_date=due, voucher_type=voucher[0], voucher_no=voucher[1],
                against_voucher_type=against[0], against_voucher_no=against[1],
                amount=round(sign * amount * document["fx_rate"], 2), account_currency=document["currency"],
                amount_in_account_currency=sign * amount, delinked=0 if voided is None else 1,
            )  # fmt: skip

    # --- documents ---

    def _masters(self) -> None:
        for row in self._source["company"]:
            self.add(
                "tabCompany", self.company(row["code"]), row["created_at"], row["updated_at"],
                default_currency=row["currency"], write_off_account="Write Off",
                default_discount_account="Discounts", exchange_gain_loss_account="Exchange",
            )  # fmt: skip
        for row in self._source["customer"]:
            self.add(
                "tabCustomer", row["code"], row["created_at"], row["updated_at"], customer_name=row["name"],
                customer_group=row["segment"], territory=row["region"], default_currency=row["currency"],
                disabled=1 - row["active"], account_manager=row["salesperson"], language=row["language"],
            )  # fmt: skip
            if row["credit_limit"] is not None:
                self.add(
                    "tabCustomer Credit Limit", self._name("limit"), row["created_at"], row["updated_at"],
                    parent=row["code"], parenttype="Customer", parentfield="credit_limits", idx=1,
                    company=self.company(row["company_code"]), credit_limit=row["credit_limit"],
                )  # fmt: skip

    def _state(self, row: Row, *, created: datetime) -> tuple[int, datetime, datetime | None]:
        """docstatus, modified, and the moment of the cancellation."""
        if row["doc_status"] in {"DRAFT", "CANCELLED"}:
            return 0, row["updated_at"], None
        if row["doc_status"] == "VOID":
            moment = max(row["updated_at"], created + timedelta(minutes=5))
            return CANCELLED, moment, moment
        return 1, created, None

    def _sales_invoice(self, row: Row, *, created: datetime, sign: int, **values: Any) -> datetime | None:
        docstatus, modified, voided = self._state(row, created=created)
        gross, tax, rate = sign * row["gross_amount"], sign * row["tax_amount"], row["fx_rate"]
        self.add(
            "tabSales Invoice", row["doc_no"], created, modified, docstatus=docstatus,
            customer=row["customer_code"], company=self.company(row["company_code"]),
            posting_date=row["doc_date"], currency=row["currency"], conversion_rate=rate,
            party_account_currency=row["currency"], total_taxes_and_charges=tax,
            base_total_taxes_and_charges=round(tax * rate, 2), grand_total=gross,
            base_grand_total=round(gross * rate, 2), **values,
        )  # fmt: skip
        return voided

    def _invoices(self) -> None:
        parts: dict[str, list[Row]] = defaultdict(list)
        for row in self._source["invoice_schedule"]:
            parts[row["doc_no"]].append(row)
        for row in self._source["sales_invoice"]:
            created = row["posted_at"] or row["created_at"]
            voided = self._sales_invoice(
                row, created=created, sign=1, due_date=row["due_date"], po_no=row["customer_ref"],
                is_debit_note=int(row["doc_type"] == "DM"),
            )  # fmt: skip
            for part in parts[row["doc_no"]]:
                self.add(
                    "tabPayment Schedule", self._name("part"), created, created, parent=row["doc_no"],
                    parenttype="Sales Invoice", parentfield="payment_schedule", idx=part["line_no"],
                    payment_term=f"Part {part['line_no']}", due_date=part["due_date"],
                    payment_amount=part["amount"], base_payment_amount=part["amount"],
                )  # fmt: skip
            if (granted := early_discount(row)) and not parts[row["doc_no"]]:
                until, discount = granted
                percent = Decimal(row["discount_percent"])
                # ERPNext rounds half up: a percentage says the same only where that makes no difference.
                is_exact = (row["gross_amount"] * percent / 100).quantize(discount, ROUND_HALF_UP) == discount
                self.add(
                    "tabPayment Schedule", self._name("part"), created, created, parent=row["doc_no"],
                    parenttype="Sales Invoice", parentfield="payment_schedule", idx=1,
                    due_date=row["due_date"], payment_amount=row["gross_amount"],
                    base_payment_amount=round(row["gross_amount"] * row["fx_rate"], 2), discount_date=until,
                    discount_type="Percentage" if is_exact else "Amount",
                    discount=percent if is_exact else discount,
                )  # fmt: skip
            if row["doc_status"] in {"POSTED", "VOID"}:
                self._ledger(
                    {**row, "day": row["doc_date"]}, ("Sales Invoice", row["doc_no"]),
                    ("Sales Invoice", row["doc_no"]), row["gross_amount"], created=created, voided=voided,
                    due=row["due_date"],
                )  # fmt: skip

    def _credit_notes(self) -> None:
        settled = self._source.settlements_by("credit_no")
        for row in self._source["credit_note"]:
            self._sales_invoice(
                row, created=row["created_at"], sign=-1, is_return=1, return_against=row["invoice_no"],
                due_date=row["doc_date"],
            )  # fmt: skip
            own = ("Sales Invoice", row["doc_no"])
            dated = {**row, "day": row["doc_date"]}
            against = ("Sales Invoice", row["invoice_no"]) if row["invoice_no"] else own
            self._ledger(dated, own, against, -row["gross_amount"], created=row["created_at"])
            if row["invoice_no"] is None:
                for settlement in settled[row["doc_no"]]:
                    self._carry_over(row, settlement)

    def _carry_over(self, memo: Row, settlement: Row) -> None:
        """What the reconciliation tool writes: a journal that takes a return to an invoice."""
        name, moment = self._name("ACC-JV-CN"), at_noon(settlement["settled_on"])
        document = {**memo, "day": settlement["settled_on"]}
        self._journal(
            name, document, "Credit Note", moment,
            [("Debtors", settlement["amount"], 0), ("Debtors", 0, settlement["amount"])],
        )  # fmt: skip
        for against, amount in (
            (memo["doc_no"], settlement["amount"]),
            (settlement["invoice_no"], -settlement["amount"]),
        ):
            self._ledger(
                document, ("Journal Entry", name), ("Sales Invoice", against), amount, created=moment
            )  # fmt: skip

    def _payments(self) -> None:
        settled = self._source.settlements_by("credit_no")
        for row in self._source["cash_receipt"]:
            document = {**row, "day": row["receipt_date"]}
            docstatus, modified, voided = self._state(row, created=row["created_at"])
            self._payment_entry(row["receipt_no"], document, "Receive", row["amount"], docstatus, modified)
            left, discounts = row["amount"], Decimal(0)
            own = ("Payment Entry", row["receipt_no"])
            for number, settlement in enumerate(settled[row["receipt_no"]], start=1):
                whole = settlement["amount"] + settlement["discount_amount"]
                moment = at_noon(settlement["settled_on"], minutes=-number)
                line = settlement["schedule_line"]
                self.add(
                    "tabPayment Entry Reference", self._name("ref"), moment, moment, parent=row["receipt_no"],
                    parenttype="Payment Entry", parentfield="references", idx=number,
                    reference_doctype="Sales Invoice", reference_name=settlement["invoice_no"],
                    payment_term=f"Part {line}" if line else None, allocated_amount=whole,
                    exchange_rate=row["fx_rate"],
                )  # fmt: skip
                self._ledger(
                    document, own, ("Sales Invoice", settlement["invoice_no"]), -whole, created=moment,
                    voided=voided,
                )  # fmt: skip
                left -= settlement["amount"]
                discounts += settlement["discount_amount"]
            if left:
                self._ledger(document, own, own, -left, created=row["created_at"], voided=voided)
            if discounts:
                self.add(
                    "tabPayment Entry Deduction", self._name("ded"), row["created_at"], row["created_at"],
                    parent=row["receipt_no"], parenttype="Payment Entry", parentfield="deductions", idx=1,
                    account="Discounts", amount=round(discounts * row["fx_rate"], 9),
                )  # fmt: skip

    def _payment_entry(
        self, name: str, row: Row, kind: str, amount: Decimal, docstatus: int, modified: datetime
    ) -> None:
        self.add(
            "tabPayment Entry", name, row["created_at"], modified, docstatus=docstatus, payment_type=kind,
            party_type="Customer", party=row["customer_code"], company=self.company(row["company_code"]),
            posting_date=row["day"], paid_from_account_currency=row["currency"], paid_amount=amount,
            base_paid_amount=round(amount * row["fx_rate"], 2), source_exchange_rate=row["fx_rate"],
            mode_of_payment=row.get("method"), reference_no=row.get("bank_ref"), remarks=row.get("reason"),
        )  # fmt: skip

    def _refunds(self) -> None:
        for row in self._source["ar_adjustment"]:
            if row["adj_type"] != "RFND":
                continue
            document = {**row, "day": row["adj_date"]}
            self._payment_entry(row["adj_no"], document, "Pay", row["amount"], 1, row["created_at"])
            doctype = "Payment Entry" if row["credit_kind"] == "RCPT" else "Sales Invoice"
            self._ledger(
                document, ("Payment Entry", row["adj_no"]), (doctype, row["credit_no"]), row["amount"],
                created=row["created_at"],
            )  # fmt: skip

    # --- journals ---

    def _journal(
        self, name: str, row: Row, kind: str, created: datetime, lines: list[tuple[str, Any, Any]],
        *, docstatus: int = 1, modified: datetime | None = None,
    ) -> None:  # fmt: skip
        self.add(
            "tabJournal Entry", name, created, modified or created, docstatus=docstatus, voucher_type=kind,
            company=self.company(row["company_code"]), posting_date=row["day"], remark=row.get("reason"),
        )  # fmt: skip
        for number, (account, debit, credit) in enumerate(lines, start=1):
            is_party = account == "Debtors"
            self.add(
                "tabJournal Entry Account", f"{name}-{number}", created, created, parent=name,
                parenttype="Journal Entry", parentfield="accounts", idx=number, account=account,
                party_type="Customer" if is_party else None, party=row["customer_code"] if is_party else None,
                account_currency=row["currency"], exchange_rate=row["fx_rate"],
                debit_in_account_currency=debit, credit_in_account_currency=credit,
            )  # fmt: skip

    def _journals(self) -> None:
        settled = self._source.settlements_by("credit_no")
        for row in self._source["ar_adjustment"]:
            if row["adj_type"] == "RFND":
                continue
            name, amount, created = row["adj_no"], row["amount"], row["created_at"]
            document, own = {**row, "day": row["adj_date"]}, ("Journal Entry", row["adj_no"])
            docstatus, modified, voided = self._state(row, created=created)
            kind, contra = {
                "WOFF": ("Write Off Entry", "Write Off"),
                "DISC": ("Journal Entry", "Discounts"),
                "JDR": ("Journal Entry", "Sales"),
                "JCR": ("Journal Entry", "Creditors"),
            }[row["adj_type"]]
            is_debit = row["adj_type"] == "JDR"
            lines = [("Debtors", amount, 0), (contra, 0, amount)]
            if not is_debit:
                lines = [("Debtors", 0, amount), (contra, amount, 0)]
            self._journal(name, document, kind, created, lines, docstatus=docstatus, modified=modified)
            if is_debit:
                self._ledger(document, own, own, amount, created=created, voided=voided, due=row["due_date"])
                continue
            if row["invoice_no"]:
                self._ledger(document, own, ("Sales Invoice", row["invoice_no"]), -amount, created=created)
                continue
            for settlement in settled[name]:
                self._ledger(
                    document, own, ("Sales Invoice", settlement["invoice_no"]), -settlement["amount"],
                    created=at_noon(settlement["settled_on"]),
                )  # fmt: skip
                amount -= settlement["amount"]
            if amount:
                self._ledger(document, own, own, -amount, created=created, voided=voided)

    def _rates(self) -> None:
        for row in self._source["fx_rate"]:
            self.add(
                "tabCurrency Exchange", self._name("rate"), row["created_at"], row["updated_at"],
                date=row["rate_date"], from_currency=row["from_ccy"], to_currency=row["to_ccy"],
                exchange_rate=row["rate"],
            )  # fmt: skip

    def _open_amounts(self) -> None:
        """What ERPNext keeps as open on each invoice, return and payment."""
        rest: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for row in self.rows["tabPayment Ledger Entry"]:
            if not row["delinked"]:
                against = (row["against_voucher_type"], row["against_voucher_no"])
                rest[against] += row["amount_in_account_currency"]
        for row in self.rows["tabSales Invoice"]:
            row["outstanding_amount"] = rest["Sales Invoice", row["name"]]
        for row in self.rows["tabPayment Entry"]:
            row["unallocated_amount"] = abs(rest["Payment Entry", row["name"]])
