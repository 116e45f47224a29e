"""What a system itself says is open: one row of `gl_balances` a night, which `ar_reconciliation` compares.

A system tells its balances as of now. They are those of a day's end only while nothing has changed since, so
a connector delivers none when something has.
"""

from __future__ import annotations

import logging
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from receivables.sources.base import Window
from receivables.sources.config import IncrementalEntity, SourceConfig

log = logging.getLogger(__name__)

ENTITY = "gl_balances"
COLUMNS = ("company_id", "balance_date", "balance_amount", "account", "updated_at")
_CENT = Decimal("0.01")

EntityModel = TypeVar("EntityModel", bound=IncrementalEntity)


def of_every_night(source: SourceConfig, config: EntityModel) -> EntityModel:
    """The settings of the entity: each night adds a balance, and none is ever removed.

    Raises:
        ValueError: the source does not say whose balance it is, or holds several companies.
    """
    if source.default_company_id is None:
        raise ValueError(f"{ENTITY} needs `default_company_id`: whose balance it is")
    mapped = [name for name, one in source.entity_configs.items() if "company_id" in one.columns]
    if mapped:
        raise ValueError(
            f"{ENTITY} is one company's balance, and {', '.join(mapped)} tell the company of each row"
        )
    return config.model_copy(update={"mode": "incremental", "sweep": False, "full_every": None})


def last_day(window: Window, zone: ZoneInfo) -> date:
    """The business day that a window ends with."""
    return window.end.astimezone(zone).date() - timedelta(days=1)


def day_over(window: Window, zone: ZoneInfo) -> datetime:
    """When that day was over where the source is: a window may reach into the next morning there."""
    return datetime.combine(last_day(window, zone) + timedelta(days=1), time(), zone)


def in_base(amount: Decimal, rate: Decimal | None) -> Decimal:
    """An amount of a document in the company's currency, rounded per document as the books do."""
    return (amount * (rate or Decimal(1))).quantize(_CENT, ROUND_HALF_UP)


def row(source: SourceConfig, window: Window, zone: ZoneInfo, amount: Decimal) -> dict[str, Any]:
    """The balance of the end of a window."""
    return {
        "company_id": source.default_company_id,
        "balance_date": last_day(window, zone).isoformat(),
        "balance_amount": amount,
        "account": source.kind,
        "updated_at": window.end.isoformat(),
    }


def none_because(source: SourceConfig, reason: str) -> str:
    """Say in the log why there is no balance for this night; the sentence, for the connector's notes."""
    log.warning("source %s: no balance of its own tonight: %s", source.name, reason)
    return f"no balance of its own: {reason}"
