"""`receivables.yml`: what is particular to a company: its companies, currencies, buckets and policies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import available_timezones

import duckdb
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from receivables.currencies import ISO_4217
from receivables.errors import ConfigError
from receivables.settings import Settings
from receivables.yamlfile import StrictModel, did_you_mean, parse, read_yaml

if TYPE_CHECKING:
    from receivables.sources.config import SourceConfig


@cache
def _zones() -> frozenset[str]:
    """Every time zone there is; looking through them takes longer than reading a settings file."""
    return frozenset(available_timezones())


def _timezone(name: str) -> str:
    known = _zones()
    if name not in known:
        raise ValueError(
            f"there is no time zone '{name}'{did_you_mean(name, known)}; write e.g. Asia/Shanghai"
        )
    return name


TimeZone = Annotated[str, AfterValidator(_timezone)]
CurrencyCode = Annotated[str, Field(pattern="^[A-Z]{3}$")]


class Company(StrictModel):
    """One legal entity whose receivables are kept in its own currency."""

    company_id: str = Field(min_length=1, description="As the sources write it.")
    company_name: str = Field(min_length=1)
    currency_code: CurrencyCode = Field(description="The currency of its books.")
    timezone: TimeZone | None = Field(
        None, description="Where its business day ends, e.g. Asia/Shanghai; without one, that of the source."
    )
    fiscal_year_start_month: int = Field(1, ge=1, le=12)
    fiscal_calendar: Literal["calendar", "4-4-5", "4-5-4", "5-4-4"] = "calendar"


def _mail_address(text: str) -> str:
    # One line, one address: what is written here becomes the header of a mail.
    if not re.fullmatch(r"([^<>\"@,;\r\n]+ <[^\s<>@,;]+@[^\s<>@,;]+>|[^\s<>@,;]+@[^\s<>@,;]+)", text):
        raise ValueError(
            f"'{text}' is not a mail address; write name@example.com, or Name <name@example.com>"
        )
    return text


class Recipient(StrictModel):
    """Somebody who is told when something fails, and what of it."""

    address: Annotated[str, AfterValidator(_mail_address)] = Field(
        description="name@example.com, or Name <name@example.com>."
    )
    language: Literal["en", "zh"] = "en"
    severity: Literal["critical", "warning", "info"] = Field(
        "warning",
        description="The mildest that is mailed. Critical comes at once, the rest in a daily digest.",
    )
    sources: tuple[str, ...] = Field((), description="Only what is about these sources; empty: all.")
    companies: tuple[str, ...] = Field((), description="Only what is about these companies; empty: all.")


class Alerts(StrictModel):
    """Who is mailed. Without recipients here, RECEIVABLES_ALERT_TO names them."""

    recipients: tuple[Recipient, ...] = ()
    timezone: TimeZone = Field("UTC", description="Whose day the one digest a day is about.")


def _time_of_day(text: str) -> str:
    try:
        time.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"'{text}' is not a time of day; write e.g. \"06:30\"") from error
    return text


TimeOfDay = Annotated[str, AfterValidator(_time_of_day), Field(pattern=r"^\d{2}:\d{2}$")]


class ServiceLevels(StrictModel):
    """Until when, on the day after a business day, its data is promised."""

    landed_by: TimeOfDay | None = Field(None, description="Every source is loaded and checked, e.g. 04:00.")
    published_by: TimeOfDay | None = Field(None, description="Readers see the day, e.g. 06:30.")
    timezone: TimeZone = "UTC"


class BankMatching(StrictModel):
    """How payments on bank statements are matched with open items: docs/bank-statements.md."""

    confidence: Decimal = Field(
        Decimal("0.90"), gt=0, le=1, description="From here on a match is proposed; below, a person looks."
    )
    reference_length: int = Field(
        5, ge=3, le=30, description="Shortest invoice number or name that says something in a text."
    )
    recording_days: int = Field(
        5, ge=0, le=60, description="How far apart the bank's and the books' day of one receipt may be."
    )


@dataclass(frozen=True)
class AgingBucket:
    """Days past due from `min_days` to `max_days`, both inclusive; None = open end."""

    aging_bucket: str
    position: int
    min_days: int | None
    max_days: int | None
    label_zh: str


class CompanyConfig(StrictModel):
    """The whole of `receivables.yml`."""

    reporting_currency: CurrencyCode = Field(description="The currency of the group's figures.")
    companies: tuple[Company, ...] = Field(min_length=1)
    aging_buckets: tuple[int, ...] = Field(
        (30, 60, 90, 120), min_length=1, description="Last day of each bucket, in days past due."
    )
    forward_buckets: tuple[int, ...] = Field(
        (), description="Splits what is not due by the days until it is due, e.g. [7, 30]."
    )
    daily_snapshot_days: int = Field(
        92, ge=0, description="For how many days each customer's ageing is kept by day."
    )
    aging_basis: Literal["due_date", "invoice_date", "posting_date"] = Field(
        "due_date", description="From which day the stored ageing counts; `aging_as_of()` takes any."
    )
    day_count: Literal["calendar", "30"] = Field(
        "calendar", description="Days of a month in DSO and turnover days: those of the calendar, or 30."
    )
    reconciliation_tolerance: Decimal = Field(
        Decimal(0), ge=0, description="A difference to the general ledger up to this counts as reconciled."
    )
    currencies: dict[CurrencyCode, Annotated[int, Field(ge=0, le=4)]] = Field(
        default_factory=dict,
        description="Currencies beyond ISO 4217, and those with more than two decimals (KWD: 3) in which"
        " customers are billed; the most decimals named here or by a company are kept.",
    )

    bank_matching: BankMatching = Field(default_factory=BankMatching)
    alerts: Alerts = Field(default_factory=Alerts)
    service_levels: ServiceLevels = Field(default_factory=ServiceLevels)

    @model_validator(mode="after")
    def _names_known_companies(self) -> CompanyConfig:
        for number, recipient in enumerate(self.alerts.recipients):
            for company_id in recipient.companies:
                if company_id not in self.company_ids:
                    raise PydanticCustomError(
                        "unknown_company",
                        "'{company}' is no company_id{hint}",
                        {
                            "company": company_id,
                            "hint": did_you_mean(company_id, self.company_ids),
                            "at": ("alerts", "recipients", number, "companies"),
                        },
                    )
        return self

    @model_validator(mode="after")
    def _is_consistent(self) -> CompanyConfig:
        for name in ("aging_buckets", "forward_buckets"):
            edges = getattr(self, name)
            if any(later <= earlier for earlier, later in pairwise((0, *edges))):
                raise ValueError(f"{name} must be days above 0 in rising order, e.g. [30, 60, 90, 120]")
        ids = [company.company_id for company in self.companies]
        for company_id in ids:
            if ids.count(company_id) > 1:
                raise ValueError(f"company_id '{company_id}' stands there twice; each company once")
        for code in (self.reporting_currency, *(company.currency_code for company in self.companies)):
            if code not in self.minor_units:
                raise ValueError(
                    f"currency '{code}' is not in ISO 4217{did_you_mean(code, self.minor_units)};"
                    " a currency of your own goes under `currencies:` with its decimals"
                )
        return self

    @property
    def minor_units(self) -> Mapping[str, int]:
        """Every currency that may appear, and how many decimals it has."""
        return {**ISO_4217, **self.currencies}

    @property
    def variables(self) -> dict[str, Any]:
        """What the models take from `receivables.yml` as dbt variables."""
        return {
            "amount_scale": self.amount_scale,
            "aging_basis": self.aging_basis,
            "day_count": self.day_count,
            "reconciliation_tolerance": str(self.reconciliation_tolerance),
            "bank_match_confidence": str(self.bank_matching.confidence),
            "bank_match_length": self.bank_matching.reference_length,
            "bank_recording_days": self.bank_matching.recording_days,
        }

    @property
    def amount_scale(self) -> int:
        """Decimals of every amount column: those of the currencies named here, two at least."""
        named = {
            self.reporting_currency,
            *(company.currency_code for company in self.companies),
            *self.currencies,
        }
        return max(2, *(self.minor_units[code] for code in named))

    @property
    def zones(self) -> Mapping[str, str]:
        """The time zone in which the day of each company ends, of those that name one."""
        return {one.company_id: one.timezone for one in self.companies if one.timezone is not None}

    @property
    def company_ids(self) -> tuple[str, ...]:
        return tuple(company.company_id for company in self.companies)

    @property
    def buckets(self) -> tuple[AgingBucket, ...]:
        """The ageing buckets, from the longest until due to the longest overdue, without gaps."""
        spans: list[tuple[str, int | None, int | None, str]] = []
        if not self.forward_buckets:
            spans.append(("not_due", None, 0, "未到期"))
        else:
            spans.append(
                (
                    f"due_in_{self.forward_buckets[-1] + 1}+",
                    None,
                    -self.forward_buckets[-1] - 1,
                    f"{self.forward_buckets[-1]}天后到期",
                )
            )
            edges = (-1, *self.forward_buckets)
            for low, high in reversed(list(pairwise(edges))):
                spans.append((f"due_in_{low + 1}-{high}", -high, -low - 1, f"{low + 1}-{high}天内到期"))
        for low, high in pairwise((0, *self.aging_buckets)):
            spans.append((f"{low + 1}-{high}", low + 1, high, f"逾期{low + 1}-{high}天"))
        last = self.aging_buckets[-1]
        spans.append((f"{last + 1}+", last + 1, None, f"逾期{last}天以上"))
        return tuple(
            AgingBucket(name, position, low, high, label)
            for position, (name, low, high, label) in enumerate(spans)
        )


def load_company_config(settings: Settings) -> CompanyConfig:
    """Read `receivables.yml`.

    Raises:
        ConfigError: it is missing or wrong; the message names the line and the fix.
    """
    return parse(CompanyConfig, read_yaml(settings.config_file))


def check_recipients(settings: Settings) -> None:
    """Check that the sources that recipients of alerts ask for exist.

    Raises:
        ConfigError: names the line of one that does not.
    """
    file = read_yaml(settings.config_file)
    config = parse(CompanyConfig, file)
    for number, recipient in enumerate(config.alerts.recipients):
        for source in recipient.sources:
            if source not in settings.source_names:
                loc = ("alerts", "recipients", number, "sources")
                raise ConfigError(
                    f"{file.path}:{file.line_of(loc)}",
                    cause=f"{'.'.join(map(str, loc))}: there is no source '{source}'"
                    f"{did_you_mean(source, settings.source_names)}",
                    next_step=f"name a file of {settings.sources_dir}, without its ending",
                )


def check_company(source: SourceConfig, company: CompanyConfig) -> None:
    """Check that the source's defaults are known to `receivables.yml`.

    Raises:
        ConfigError: an unknown company or currency.
    """
    for value, known, setting in (
        (source.default_company_id, company.company_ids, "default_company_id"),
        (source.default_currency_code, company.minor_units, "default_currency_code"),
    ):
        if value is not None and value not in known:
            raise ConfigError(
                str(source.file),
                cause=f"{setting} '{value}' is not in receivables.yml{did_you_mean(value, known)}",
                next_step=f"correct it, or add it to receivables.yml"
                f"{' under companies' if 'company' in setting else ' under currencies'}",
            )


_SETTINGS_TABLES = """
create schema if not exists settings;
create or replace table settings.companies (
    company_id varchar, company_name varchar, currency_code varchar, timezone varchar,
    fiscal_year_start_month integer, fiscal_calendar varchar);
create or replace table settings.currencies (currency_code varchar, minor_unit integer);
create or replace table settings.aging_buckets (
    aging_bucket varchar, position integer, min_days integer, max_days integer, label_zh varchar);
create or replace table settings.sources (
    source varchar, allocation_policy varchar, default_company_id varchar, default_currency_code varchar);
create or replace table settings.policies (reporting_currency varchar, daily_snapshot_days integer);
"""


def write_settings(
    connection: duckdb.DuckDBPyConnection, config: CompanyConfig, sources: Mapping[str, SourceConfig]
) -> None:
    """Replace the `settings.*` tables, which the models read, with what the files say now."""
    connection.execute(_SETTINGS_TABLES)
    _insert(
        connection,
        "companies",
        [
            (
                c.company_id,
                c.company_name,
                c.currency_code,
                c.timezone,
                c.fiscal_year_start_month,
                c.fiscal_calendar,
            )
            for c in config.companies
        ],
    )
    _insert(connection, "currencies", sorted(config.minor_units.items()))
    _insert(
        connection,
        "aging_buckets",
        [(b.aging_bucket, b.position, b.min_days, b.max_days, b.label_zh) for b in config.buckets],
    )
    _insert(
        connection,
        "sources",
        [
            (name, source.allocation, source.default_company_id, source.default_currency_code)
            for name, source in sorted(sources.items())
        ],
    )
    _insert(connection, "policies", [(config.reporting_currency, config.daily_snapshot_days)])


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        marks = f"({', '.join('?' * len(rows[0]))})"
        values = ", ".join([marks] * len(rows))
        connection.execute(
            f"insert into settings.{table} values {values}",  # noqa: S608 (names and marks of this module)
            [value for row in rows for value in row],
        )


def json_schema() -> dict[str, Any]:
    """The JSON schema of `receivables.yml`, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **CompanyConfig.model_json_schema(by_alias=True),
    }
