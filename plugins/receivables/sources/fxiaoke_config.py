"""What a source file of Fxiaoke may say, and the presets: which object and fields feed which entity."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from receivables.company import TimeZone
from receivables.sources import own_balance
from receivables.sources.config import Duration, SourceConfig
from receivables.sources.credentials import Credentials
from receivables.sources.http import (
    HttpEntity,
    Limits,
)
from receivables.sources.presets import Shape, pick, with_preset, words

BOOKED = {"normal": "posted", "in_change": "posted"}
LIFE = {**BOOKED, "ineffective": "draft", "under_review": "draft", "invalid": "void"}
_status = words(LIFE)

RECORDED = {"created_at": pick("create_time"), "updated_at": pick("last_modified_time")}
_MONEY = {"currency_code": pick("mc_currency"), "exchange_rate": pick("mc_exchange_rate")}
_CUSTOMERS = Shape(
    "AccountObj",
    {
        "customer_id": pick("_id"),
        "customer_name": pick("name"),
        "parent_customer_id": pick("parent_account_id"),
        "segment": pick("account_level", is_label=True),
        "industry": pick("industry_level1", is_label=True),
        "salesperson": pick("owner"),
        "is_active": pick("life_status", convert=lambda word: "false" if word == "invalid" else "true"),
        **RECORDED,
    },
)
_RECEIPTS = Shape(
    "PaymentObj",
    {
        "receipt_id": pick("_id"),
        "receipt_number": pick("name"),
        "customer_id": pick("account_id"),
        "receipt_date": pick("payment_time"),
        "amount": pick("payment_amount"),
        "method": pick("payment_term", "payment_method", is_label=True),
        "status": pick("life_status", convert=_status),
        **_MONEY,
        **RECORDED,
    },
)
_REFUNDS = Shape(
    "RefundObj",
    {
        "adjustment_id": pick("_id"),
        "adjustment_type": pick("_id", convert=lambda _: "refund"),
        "adjustment_number": pick("name"),
        "adjustment_date": pick("refunded_time", "refund_time", "submit_time", "create_time"),
        "amount": pick("refunded_amount"),
        "customer_id": pick("account_id"),
        "reason": pick("remark"),
        "status": pick("life_status", convert=_status),
        "currency_code": pick("mc_currency"),
        "exchange_rate": pick("mc_exchange_rate"),
        **RECORDED,
    },
)
_CREDIT_MEMOS = Shape(
    "ReturnedGoodsInvoiceObj",
    {
        "credit_memo_id": pick("_id"),
        "credit_memo_number": pick("name"),
        "customer_id": pick("account_id"),
        "credit_memo_date": pick("returned_goods_time", "submit_time", "create_time"),
        "amount": pick("returned_goods_inv_amount"),
        "invoice_id": pick("order_id"),
        "reason": pick("returned_goods_reason", "remark", is_label=True),
        "status": pick("life_status", convert=_status),
        **_MONEY,
        **RECORDED,
    },
)
_ORDERS = {
    "customers": _CUSTOMERS,
    "invoices": Shape(
        "SalesOrderObj",
        {
            "invoice_id": pick("_id"),
            "invoice_number": pick("name"),
            "customer_id": pick("account_id"),
            "invoice_date": pick("order_time", "order_date", "submit_time", "create_time"),
            "amount": pick("order_amount"),
            "salesperson": pick("owner"),
            "status": pick("life_status", convert=_status),
            **_MONEY,
            **RECORDED,
        },
    ),
    # A plan's place in its schedule is known only beside the order's other plans: read in full.
    "instalments": Shape(
        "PaymentPlanObj",
        {
            "invoice_id": pick("order_id"),
            "instalment_number": pick("_id"),
            "due_date": pick("plan_payment_time"),
            "amount": pick("plan_payment_amount"),
            **RECORDED,
        },
        mode="full",
    ),
    "credit_memos": _CREDIT_MEMOS,
    "receipts": _RECEIPTS,
    "applications": Shape(
        "OrderPaymentObj",
        {
            "application_id": pick("_id"),
            "credit_type": pick("_id", convert=lambda _: "receipt"),
            "credit_id": pick("payment_id"),
            "invoice_id": pick("order_id"),
            "amount": pick("payment_amount"),
            "applied_on": pick("create_time", "payment_time"),
            "instalment_number": pick("payment_plan_id"),
            **RECORDED,
        },
    ),
    "adjustments": _REFUNDS,
}
# A return names an order, which is no note.
_RETURNS = Shape(
    _CREDIT_MEMOS.origin,
    {name: wanted for name, wanted in _CREDIT_MEMOS.picks.items() if name != "invoice_id"},
)
# The receivables module is paid for and documented nowhere in public: `describe` decides.
_AR_MODULE = {
    "customers": _CUSTOMERS,
    "invoices": Shape(
        "AccountsReceivableNoteObj",
        {
            "invoice_id": pick("_id"),
            "invoice_number": pick("name"),
            "customer_id": pick("account_id", "customer_id"),
            "invoice_date": pick("note_date", "ar_date", "bill_date", "business_date", "create_time"),
            "due_date": pick("due_date", "expire_date", "maturity_date"),
            "amount": pick("price_tax_amount", "ar_amount", "receivable_amount", "total_amount", "amount"),
            "tax_amount": pick("tax_amount"),
            "salesperson": pick("owner"),
            "status": pick("life_status", convert=_status),
            **_MONEY,
            **RECORDED,
        },
    ),
    "credit_memos": _RETURNS,
    "receipts": _RECEIPTS,
    "applications": Shape(
        "MatchNoteDetailObj",
        {
            "application_id": pick("_id"),
            "credit_type": pick("_id", convert=lambda _: "receipt"),
            "credit_id": pick("payment_id", "credit_payment_id", "credit_data_id"),
            "invoice_id": pick("ar_id", "accounts_receivable_note_id", "ar_note_id", "debit_data_id"),
            "amount": pick("this_match_amount", "match_amount", "amount"),
            "applied_on": pick("match_date", "match_time", "create_time"),
            **RECORDED,
        },
    ),
    "adjustments": _REFUNDS,
}
# What the CRM itself says is open of an order or a note; a line `balance_amount` of the source file wins.
OPEN_AMOUNTS = {
    "orders": ("receivable_amount",),
    "ar_module": ("no_settled_amount", "unsettled_amount", "not_settled_amount", "uncollected_amount"),
}
PRESETS: dict[str, dict[str, Shape]] = {"orders": _ORDERS, "ar_module": _AR_MODULE, "none": {}}


class FxiaokeEntity(HttpEntity):
    """One canonical entity, out of one object of the tenant."""

    object: str | None = Field(None, description="The object's api name, e.g. SalesOrderObj or Promise__c.")
    overlap: Duration = Field(timedelta(minutes=10), description="Approvals rewrite rows minutes later.")


class FxiaokeAuth(Credentials):
    """The self-built app, and the user whose rights count."""

    CONNECTION_FIELDS: ClassVar[dict[str, str]] = {"app_id": "login", "app_secret": "password"}

    app_id: str | None = Field("${FXIAOKE_APP_ID}", description="FSAID_…")
    app_secret: str | None = "${FXIAOKE_APP_SECRET}"
    permanent_code: str | None = "${FXIAOKE_PERMANENT_CODE}"
    user: str | None = Field(
        "${FXIAOKE_USER}", description="style body: an openUserId, FSUID_…; style header: a CRM employee id."
    )
    user_mobile: str | None = Field(None, description="style body: the user's mobile, with `user: null`.")
    ea: str | None = Field("${FXIAOKE_EA}", description="style header: the enterprise account.")


class FxiaokeLimits(Limits):
    """What the service allows: 100 calls in 20 seconds."""

    calls_per_minute: int = Field(300, ge=1, description="All tasks together wait for their turn.")


class FxiaokeSource(SourceConfig):
    """A tenant of Fxiaoke CRM."""

    kind: Literal["fxiaoke"]
    timezone: TimeZone = Field("Asia/Shanghai", description="The tenant's zone: dates are midnights there.")
    host: str = Field("https://open.fxiaoke.com", description="The tenant's cloud; it cannot be asked for.")
    style: Literal["body", "header"] = Field(
        "body", description="body: corpAccessToken in every body; header: Bearer token and x-fs-… headers."
    )
    auth: FxiaokeAuth = FxiaokeAuth()
    limits: FxiaokeLimits = FxiaokeLimits()
    preset: Literal["orders", "ar_module", "none"] = Field(
        "orders", description="What is a receivable: the sales order, or a note of the receivables module."
    )
    without: tuple[str, ...] = Field((), description="Entities of the preset that are not read.")
    entities: dict[str, FxiaokeEntity] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_its_preset(self) -> FxiaokeSource:
        balances = self.entities.pop(own_balance.ENTITY, None)
        completed = with_preset(
            self.entities, PRESETS[self.preset], without=self.without, model=FxiaokeEntity, origin="object"
        )
        self.entities.clear()
        self.entities.update(completed)
        if balances is not None:
            missing = {"invoices", "receipts", "applications"} - set(PRESETS[self.preset]) | (
                set(self.without) & set(PRESETS[self.preset])
            )
            if missing:
                raise ValueError(
                    f"{own_balance.ENTITY} needs the whole preset, without exception: {', '.join(missing)}"
                )
            self.entities[own_balance.ENTITY] = own_balance.of_every_night(self, balances)
        return self
