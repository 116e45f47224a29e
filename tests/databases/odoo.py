"""The demo company as an Odoo 18 keeps it: entries, their receivable lines, and partial reconciles."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from tests.databases.company import Company, Row, at_noon, early_discount

_LOGGED = "create_date:time write_date:time"
TABLES = {
    "res_currency": "id:key name:text",
    "res_company": "id:key name:text currency_id:int",
    "res_country": "id:key code:text",
    "res_currency_rate": f"id:key name:date rate:number currency_id:int company_id:int {_LOGGED}",
    "res_partner": "id:key name:text ref:text commercial_partner_id:int parent_id:int country_id:int"
    f" email:text lang:text credit_limit:json customer_rank:int active:bool {_LOGGED}",
    "account_journal": "id:key type:text company_id:int",
    "account_account": "id:key account_type:text code_store:json",
    "account_move": "id:key name:text state:text move_type:text date:date invoice_date:date"
    " invoice_date_due:date ref:text journal_id:int company_id:int partner_id:int commercial_partner_id:int"
    " currency_id:int amount_total:number amount_tax:number reversed_entry_id:int debit_origin_id:int"
    f" posted_before:bool invoice_currency_rate:number {_LOGGED}",
    "account_move_line": "id:key move_id:int account_id:int partner_id:int date:date date_maturity:date"
    f" balance:number amount_currency:number currency_id:int display_type:text parent_state:text"
    f" discount_date:date discount_amount_currency:number amount_residual_currency:number"
    f" {_LOGGED}",
    "account_payment": "id:key move_id:int partner_id:int amount:number currency_id:int payment_type:text"
    f" partner_type:text date:date state:text memo:text {_LOGGED}",
    "account_partial_reconcile": "id:key debit_move_id:int credit_move_id:int amount:number"
    f" debit_amount_currency:number credit_amount_currency:number max_date:date {_LOGGED}",
}
TYPES = {
    "key": "integer primary key", "int": "integer", "text": "varchar", "time": "timestamp", "date": "date",
    "number": "numeric", "bool": "boolean", "json": "jsonb",
}  # fmt: skip
RECEIVABLE, BANK, SALES, WRITE_OFF, DISCOUNT, PAYABLE = range(1, 7)
ACCOUNT_TYPES = {
    RECEIVABLE: "asset_receivable", BANK: "asset_cash", SALES: "income", WRITE_OFF: "expense",
    DISCOUNT: "expense", PAYABLE: "liability_payable",
}  # fmt: skip
CODES = {account: f"{account}000" for account in ACCOUNT_TYPES}
_COMPANY_OF_JOURNAL = 10  # journal id = company id * 10 + kind
_KINDS = {"sale": 1, "bank": 2, "general": 3}


def statements() -> Iterator[str]:
    """Create the tables."""
    for table, words in TABLES.items():
        described = ", ".join(
            f"{name} {TYPES[kind]}" for name, kind in (word.split(":") for word in words.split())
        )
        yield f"create table {table} ({described})"


def without_bounced_settlements(erp: Path, target: Path, *, prefix: str) -> None:
    """The demo company as Odoo can tell it: a payment that bounced never settled anything.

    Odoo deletes the partial reconciles of a payment that is reversed, so that the days on which its invoices
    seemed paid are gone, unless they were read in time.
    """
    shutil.copyfile(erp, target)
    with closing(sqlite3.connect(target)) as connection:
        connection.execute(
            "delete from settlement where credit_no in"
            " (select receipt_no from cash_receipt where doc_status = 'VOID')"
        )
        for table in ("company", "customer", "sales_invoice", "credit_note", "cash_receipt", "ar_adjustment",
                      "sales_order_open", "gl_balance"):  # fmt: skip
            column = "code" if table == "company" else "company_code"
            connection.execute(f"update {table} set {column} = replace({column}, 'HD-', '{prefix}-')")
        connection.commit()


class Books:
    """Collects the rows of an Odoo; `prefix` replaces the one of the company's own codes."""

    def __init__(self, company: Company, *, own: str, prefix: str) -> None:
        self._source, self._own, self._prefix = company, own, prefix
        self.rows: dict[str, list[Row]] = defaultdict(list)
        codes = [row["code"] for row in company["company"]]
        self._companies = {code: number for number, code in enumerate(codes, start=1)}
        names = sorted({row["from_ccy"] for row in company["fx_rate"]})
        self._currencies = {name: number for number, name in enumerate(names, start=1)}
        self._partners = {row["code"]: n for n, row in enumerate(company["customer"], start=100)}
        self._moves: dict[str, int] = {}
        self._lines: dict[int, list[tuple[int, Decimal]]] = defaultdict(list)
        for fill in (self._masters, self._rates, self._invoices, self._memos, self._receipts, self._journals,
                     self._matches, self._refunds, self._residuals):  # fmt: skip
            fill()

    def _add(self, table: str, **values: Any) -> int:
        number = values.pop("id", None) or len(self.rows[table]) + 1
        self.rows[table].append({"id": number, **values})
        return number

    def _logged(self, created: datetime, changed: datetime | None = None) -> Row:
        return {"create_date": created, "write_date": changed or created}

    def _masters(self) -> None:
        for name, number in self._currencies.items():
            self._add("res_currency", id=number, name=name)
        for row in self._source["company"]:
            number = self._companies[row["code"]]
            name = row["code"].replace(f"{self._own}-", f"{self._prefix}-")
            self._add("res_company", id=number, name=name, currency_id=self._currencies[row["currency"]])
            for kind, digit in _KINDS.items():
                self._add(
                    "account_journal", id=number * _COMPANY_OF_JOURNAL + digit, type=kind, company_id=number
                )
        codes = {account: {str(n): CODES[account] for n in self._companies.values()} for account in CODES}
        for account, kind in ACCOUNT_TYPES.items():
            self._add("account_account", id=account, account_type=kind, code_store=json.dumps(codes[account]))
        countries = sorted({row["country"] for row in self._source["customer"]})
        for number, code in enumerate(countries, start=1):
            self._add("res_country", id=number, code=code)
        for row in self._source["customer"]:
            number, limit = self._partners[row["code"]], row["credit_limit"]
            self._add(
                "res_partner", id=number, name=row["name"], ref=row["code"], commercial_partner_id=number,
                country_id=countries.index(row["country"]) + 1, email=row["email"], lang=row["language"],
                credit_limit=None if limit is None else json.dumps({"1": float(limit)}), customer_rank=1,
                active=bool(row["active"]), **self._logged(row["created_at"], row["updated_at"]),
            )  # fmt: skip

    def _rates(self) -> None:
        currencies = {row["currency"]: row["code"] for row in self._source["company"]}
        for row in self._source["fx_rate"]:
            if row["to_ccy"] in currencies:
                self._add(
                    "res_currency_rate", name=row["rate_date"], rate=round(1 / row["rate"], 15),
                    currency_id=self._currencies[row["from_ccy"]],
                    company_id=self._companies[currencies[row["to_ccy"]]], **self._logged(row["created_at"]),
                )  # fmt: skip

    def _move(
        self, number: str, row: Row, kind: str, journal: str, *, day: date, created: datetime,
        changed: datetime | None = None, state: str = "posted", **values: Any,
    ) -> int:  # fmt: skip
        company, partner = self._companies[row["company_code"]], self._partners[row["customer_code"]]
        self._moves[number] = self._add(
            "account_move", name=number, state=state, move_type=kind, date=day,
            journal_id=company * _COMPANY_OF_JOURNAL + _KINDS[journal], company_id=company,
            partner_id=partner, commercial_partner_id=partner, currency_id=self._currencies[row["currency"]],
            posted_before=state != "draft", **values, **self._logged(created, changed),
        )  # fmt: skip
        return self._moves[number]

    def _line(
        self, move: int, row: Row, account: int, amount: Decimal, *, due: date | None = None, **values: Any
    ) -> int:
        changed = self.rows["account_move"][move - 1]
        line = self._add(
            "account_move_line", move_id=move, account_id=account, date=changed["date"], date_maturity=due,
            partner_id=self._partners[row["customer_code"]], amount_currency=amount,
            balance=(amount * row["fx_rate"]).quantize(Decimal("0.01"), ROUND_HALF_UP),
            currency_id=self._currencies[row["currency"]], parent_state=changed["state"],
            **values, **self._logged(changed["create_date"]),
        )  # fmt: skip
        if account == RECEIVABLE:
            self._lines[move].append((line, amount))
        return line

    def _reverse(self, number: str, row: Row, amount: Decimal, contra: int) -> None:
        """The entry that turns another one, on the day of its void."""
        original = self._moves[number]
        name, day = f"{number}/reversal", row["void_date"]
        move = self._move(
            name, row, "entry", "general", day=day, created=row["updated_at"], reversed_entry_id=original
        )
        self._line(move, row, RECEIVABLE, -amount)
        self._line(move, row, contra, amount)

    # --- documents ---

    def _invoices(self) -> None:
        parts: dict[str, list[Row]] = defaultdict(list)
        for row in self._source["invoice_schedule"]:
            parts[row["doc_no"]].append(row)
        states = {"DRAFT": "draft", "CANCELLED": "cancel", "VOID": "cancel"}
        for row in self._source["sales_invoice"]:
            number, created = row["doc_no"], row["posted_at"] or row["created_at"]
            move = self._move(
                number, row, "out_invoice", "sale", day=row["doc_date"], created=created,
                changed=row["updated_at"], state=states.get(row["doc_status"], "posted"),
                invoice_date=row["doc_date"], invoice_date_due=row["due_date"], ref=row["customer_ref"],
                amount_total=row["gross_amount"], amount_tax=row["tax_amount"],
                invoice_currency_rate=1 / row["fx_rate"],
                debit_origin_id=1 if row["doc_type"] == "DM" else None,
            )  # fmt: skip
            if row["doc_status"] == "CANCELLED":
                self.rows["account_move"][move - 1]["posted_before"] = False
            for part in parts[number]:
                self._line(move, row, RECEIVABLE, part["amount"], due=part["due_date"])
            if not parts[number]:
                until, kept = early_discount(row) or (None, None)
                self._line(
                    move, row, RECEIVABLE, row["gross_amount"], due=row["due_date"], discount_date=until,
                    discount_amount_currency=None if kept is None else row["gross_amount"] - kept,
                )  # fmt: skip
            self._line(move, row, SALES, -row["gross_amount"])

    def _memos(self) -> None:
        for row in self._source["credit_note"]:
            move = self._move(
                row["doc_no"], row, "out_refund", "sale", day=row["doc_date"], created=row["created_at"],
                invoice_date=row["doc_date"], invoice_date_due=row["doc_date"], ref=row["reason"],
                amount_total=row["gross_amount"], amount_tax=row["tax_amount"],
                invoice_currency_rate=1 / row["fx_rate"],
            )  # fmt: skip
            self._line(move, row, RECEIVABLE, -row["gross_amount"], due=row["doc_date"])
            self._line(move, row, SALES, row["gross_amount"])

    def _payment(self, row: Row, number: str, kind: str, *, day: date, cash: Decimal, kept: Decimal) -> None:
        sign = -1 if kind == "inbound" else 1
        move = self._move(number, row, "entry", "bank", day=day, created=row["created_at"],
                          ref=row.get("bank_ref") or row.get("reason"))  # fmt: skip
        self._line(move, row, RECEIVABLE, sign * (cash + kept))
        self._line(move, row, BANK, -sign * cash)
        if kept:
            self._line(move, row, DISCOUNT, -sign * kept)
        self._add(
            "account_payment", move_id=move, partner_id=self._partners[row["customer_code"]], amount=cash,
            currency_id=self._currencies[row["currency"]], payment_type=kind, partner_type="customer",
            date=day, state="paid", **self._logged(row["created_at"]),
        )  # fmt: skip

    def _receipts(self) -> None:
        settled = self._source.settlements_by("credit_no")
        for row in self._source["cash_receipt"]:
            number, amount = row["receipt_no"], row["amount"]
            kept = sum((one["discount_amount"] for one in settled[number]), Decimal(0))
            self._payment(row, number, "inbound", day=row["receipt_date"], cash=amount, kept=kept)
            if row["doc_status"] == "VOID":
                self._reverse(number, row, -amount - kept, BANK)

    def _journals(self) -> None:
        contras = {"WOFF": WRITE_OFF, "DISC": DISCOUNT, "JDR": SALES, "JCR": PAYABLE}
        for row in self._source["ar_adjustment"]:
            if row["adj_type"] == "RFND":
                continue
            contra, is_debit = contras[row["adj_type"]], row["adj_type"] == "JDR"
            amount = row["amount"] if is_debit else -row["amount"]
            move = self._move(row["adj_no"], row, "entry", "general", day=row["adj_date"],
                              created=row["created_at"], ref=row["reason"])  # fmt: skip
            self._line(move, row, RECEIVABLE, amount, due=row["due_date"])
            self._line(move, row, contra, -amount)
            if row["doc_status"] == "VOID":
                self._reverse(row["adj_no"], row, amount, contra)

    def _refunds(self) -> None:
        for row in self._source["ar_adjustment"]:
            if row["adj_type"] == "RFND":
                self._payment(
                    row, row["adj_no"], "outbound", day=row["adj_date"], cash=row["amount"], kept=Decimal(0)
                )
                self._match(
                    self._lines[self._moves[row["adj_no"]]][0][0], row["credit_no"], row["amount"],
                    row["created_at"],
                )  # fmt: skip

    # --- partial reconciles ---

    def _match(self, debit_line: int, credit: str, amount: Decimal, moment: datetime) -> None:
        self._add(
            "account_partial_reconcile", debit_move_id=debit_line, amount=amount,
            credit_move_id=self._lines[self._moves[credit]][0][0], debit_amount_currency=amount,
            credit_amount_currency=amount, max_date=moment.date(), **self._logged(moment),
        )  # fmt: skip

    def _matches(self) -> None:
        """A partial reconcile always names a line: what names no part fills the oldest first."""
        events = [
            (row["invoice_no"], row["schedule_line"], row["amount"] + row["discount_amount"],
             row["credit_no"], at_noon(row["settled_on"]))
            for row in self._source["settlement"]
        ]  # fmt: skip
        events += [
            (row["invoice_no"], None, row["amount"], row["adj_no"], row["created_at"])
            for row in self._source["ar_adjustment"]
            if row["invoice_no"]
        ]
        room = {
            invoice: [[line, amount] for line, amount in self._lines[move]]
            for invoice, move in self._moves.items()
        }
        for invoice, number, amount, credit, moment in sorted(
            events, key=lambda one: (one[1] is None, one[4], one[3])
        ):
            left = amount
            wanted = room[invoice] if number is None else [room[invoice][number - 1]]
            for part in wanted:
                taken = min(left, part[1])
                if taken > 0:
                    self._match(part[0], credit, taken, moment)
                    part[1] -= taken
                    left -= taken
            assert left == 0, f"{invoice}: {left} of {credit} found no room"

    def _residuals(self) -> None:
        """What Odoo keeps as open on each receivable line."""
        open_amounts = {line: amount for lines in self._lines.values() for line, amount in lines}
        for row in self.rows["account_partial_reconcile"]:
            open_amounts[row["debit_move_id"]] -= row["debit_amount_currency"]
            open_amounts[row["credit_move_id"]] += row["credit_amount_currency"]
        for row in self.rows["account_move_line"]:
            row["amount_residual_currency"] = open_amounts.get(row["id"], Decimal(0))
