"""The canonical input entities: what every source ends in, whatever it calls them.

One list serves the source mapping, the raw tables, the staging models and the docs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ColumnType = Literal["text", "date", "timestamp", "amount", "rate", "integer", "boolean"]

# An amount is exact to four decimals in raw; the models round nothing, they refuse (see load checks).
DUCKDB_TYPES: dict[str, str] = {
    "text": "varchar",
    "date": "date",
    "timestamp": "timestamp",  # always UTC
    "amount": "decimal(18,4)",
    "rate": "decimal(18,8)",
    "integer": "integer",
    "boolean": "boolean",
}


@dataclass(frozen=True)
class Column:
    """One column of a canonical entity; `values` lists the only words allowed, empty = any."""

    name: str
    type: ColumnType
    required: bool = False
    values: tuple[str, ...] = ()

    @property
    def duckdb_type(self) -> str:
        return DUCKDB_TYPES[self.type]


@dataclass(frozen=True)
class Entity:
    """A canonical entity: its columns in order, and the columns that identify a row in one source."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.required)


def _columns(spec: str) -> tuple[Column, ...]:
    """Parse `name[*]:type[=a|b]` words; `*` marks a required column."""
    columns = []
    for word in spec.split():
        head, _, tail = word.partition(":")
        kind, _, values = tail.partition("=")
        columns.append(
            Column(
                name=head.rstrip("*"),
                type=kind or "text",  # type: ignore[arg-type]
                required=head.endswith("*"),
                values=tuple(values.split("|")) if values else (),
            )
        )
    return tuple(columns)


# created_at and updated_at: when the source recorded the row and when it last changed it (UTC).
# They decide `known_on`; a source without them is known from the day it was first loaded.
_RECORDED = " created_at:timestamp updated_at:timestamp"

ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for entity in (
        Entity(
            "customers",
            ("customer_id",),
            _columns(
                "customer_id* customer_name company_id parent_customer_id segment industry"
                " country_code region currency_code payment_terms_days:integer"
                " credit_limit_amount:amount credit_rating collector salesperson email language"
                " is_active:boolean" + _RECORDED
            ),
        ),
        Entity(
            "invoices",
            ("invoice_id",),
            _columns(
                "invoice_id* customer_id* invoice_date*:date amount*:amount invoice_number company_id"
                " document_type:text=invoice|debit_memo posting_date:date due_date:date currency_code"
                " tax_amount:amount exchange_rate:rate status:text=posted|draft|void voided_on:date"
                " is_disputed:boolean reference salesperson contract_id terms_days:integer"
                " issued_at:timestamp sent_at:timestamp" + _RECORDED
            ),
        ),
        Entity(
            "instalments",
            ("invoice_id", "instalment_number"),
            _columns("invoice_id* instalment_number*:integer due_date*:date amount*:amount" + _RECORDED),
        ),
        Entity(
            "credit_memos",
            ("credit_memo_id",),
            _columns(
                "credit_memo_id* customer_id* credit_memo_date*:date amount*:amount currency_code"
                " company_id credit_memo_number posting_date:date invoice_id reason created_by approved_by"
                " exchange_rate:rate"
                " status:text=posted|draft|void voided_on:date" + _RECORDED
            ),
        ),
        Entity(
            "receipts",
            ("receipt_id",),
            _columns(
                "receipt_id* customer_id* receipt_date*:date amount*:amount currency_code company_id"
                " receipt_number posting_date:date method bank_reference exchange_rate:rate"
                " status:text=posted|draft|void voided_on:date" + _RECORDED
            ),
        ),
        Entity(
            "applications",
            ("application_id",),
            _columns(
                "application_id* credit_type*:text=receipt|credit_memo|journal credit_id* invoice_id*"
                " amount*:amount applied_on*:date instalment_number:integer discount_amount:amount"
                " exchange_rate:rate" + _RECORDED
            ),
        ),
        Entity(
            "adjustments",
            ("adjustment_id",),
            _columns(
                "adjustment_id* adjustment_type*:text=write_off|discount|journal_debit|journal_credit|refund"
                " adjustment_date*:date amount*:amount customer_id* adjustment_number posting_date:date"
                " due_date:date invoice_id credit_type:text=receipt|credit_memo|journal credit_id reason"
                " created_by approved_by currency_code company_id exchange_rate:rate"
                " status:text=posted|draft|void voided_on:date" + _RECORDED
            ),
        ),
        Entity(
            "disputes",
            ("dispute_id",),
            _columns(
                "dispute_id* invoice_id* opened_on*:date closed_on:date amount:amount reason outcome"
                + _RECORDED
            ),
        ),
        Entity(
            "promises",
            ("promise_id",),
            _columns(
                "promise_id* customer_id* promised_on*:date promised_date*:date amount*:amount invoice_id"
                + _RECORDED
            ),
        ),
        Entity(
            "collection_events",
            ("event_id",),
            _columns(
                "event_id* customer_id* event_date*:date stage:text=pre_due_reminder|call|letter|legal|agency"
                " channel invoice_id collector outcome" + _RECORDED
            ),
        ),
        Entity(
            "credit_limits",
            ("customer_id", "valid_from"),
            _columns(
                "customer_id* valid_from*:date limit_amount*:amount currency_code credit_rating created_by"
                " approved_by" + _RECORDED
            ),
        ),
        Entity(
            "open_orders",
            ("order_id",),
            _columns("order_id* customer_id* order_date*:date open_amount*:amount currency_code" + _RECORDED),
        ),
        Entity(
            "exchange_rates",
            ("rate_date", "from_currency", "to_currency", "rate_type"),
            _columns("rate_date*:date from_currency* to_currency* rate*:rate rate_type"),
        ),
        Entity(
            "gl_balances",
            ("company_id", "balance_date", "currency_code", "account"),
            _columns("company_id* balance_date*:date balance_amount*:amount currency_code account"),
        ),
        # What the bank says. It is compared with the books and never counted beside them.
        Entity(
            "bank_statements",
            ("statement_id",),
            _columns(
                "statement_id* account* statement_date*:date statement_number company_id currency_code"
                " opening_date:date opening_balance_amount:amount closing_balance_amount:amount"
                " transaction_count:integer transactions_amount:amount"
            ),
        ),
        Entity(
            "bank_transactions",
            ("transaction_id",),
            _columns(
                "transaction_id* account* booking_date*:date direction*:text=credit|debit amount*:amount"
                " statement_id company_id currency_code value_date:date is_reversal:boolean customer_id"
                " counterparty_name counterparty_account reference bank_reference remittance"
            ),
        ),
        # Matches that are sure enough to be applied (`apply_from` of a bank source): the one thing of a bank
        # that counts. `document_id` and `customer_id` are the warehouse's own ids, their source in front.
        Entity(
            "bank_applications",
            ("application_id",),
            _columns(
                "application_id* transaction_id* document_id* customer_id* amount*:amount applied_on*:date"
                " currency_code instalment_number:integer rule confidence:rate"
            ),
        ),
    )
}

# Every raw table ends with these; the loader fills them, staging reads them.
RAW_META: tuple[tuple[str, str], ...] = (
    ("_row_key", "varchar"),  # the key columns joined by '|'
    ("_row_hash", "varchar"),  # md5 of the canonical columns: an unchanged row is not stored twice
    ("_version", "integer"),  # 1, 2, 3 … per key
    ("_is_removed", "boolean"),  # a tombstone: the source no longer holds the row
    ("_known_on", "date"),  # the day this version is known from (see docs/ARCHITECTURE.md)
    ("_loaded_on", "date"),  # the business day of the load
    ("_load_id", "varchar"),  # quality.loads
    ("_loaded_at", "timestamp"),
)
