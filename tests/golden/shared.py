"""The reference scenarios, which are not part of the project: read from where they lie, none if absent.

`ageing.json` gives facts and open items, which become scenarios like our own. `metrics.json` gives inputs of
formulas; each has a company of ours with those inputs, and `METRICS` says where its numbers are found there.
"""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal
from typing import Any

from tests.conftest import SHARED
from tests.golden.scenarios import Scenario, scenario_of

FOLDER = SHARED / "golden"

# Per scenario and expected figure: our scenario, the mart, its column.
METRICS: dict[str, dict[str, tuple[str, str, str]]] = {
    "M01": {
        f"days_{name}": (f"sales_of_{days}_days_give_their_days_of_sales", "ar_dso", "dso_rolling_90")
        for name, days in {"365": 365, "183": 183, "283_customer_since": 283}.items()
    },
    "M02": {"dso": ("a_year_of_even_sales_gives_a_month", "ar_dso", "dso_rolling_90")},
    "M03": {"dso": ("countback_of_months_of_thirty_days", "ar_dso", "dso_countback")},
    "M04": {"dso": ("countback_reaches_into_the_sixth_month", "ar_dso", "dso_countback")},
    "M06": {"cei_pct": ("collection_effectiveness_of_a_year", "ar_collection_effectiveness", "cei_12m")},
    "M08": {
        "cei_pct": ("nothing_was_collectible", "ar_collection_effectiveness", "cei"),
        "flag": ("nothing_was_collectible", "ar_collection_effectiveness", "flag"),
    },
    "M09": {"wadp": ("days_to_pay_weigh_the_amounts", "ar_payment_behaviour", "days_to_pay_weighted")},
    "M10": {
        "simple": ("weighted_and_simple_days_to_pay_differ", "ar_payment_behaviour", "days_to_pay"),
        "weighted": (
            "weighted_and_simple_days_to_pay_differ",
            "ar_payment_behaviour",
            "days_to_pay_weighted",
        ),
    },
    "M11": {
        "weighted_days_paid": (
            "terms_and_lateness_add_up_to_days_to_pay",
            "ar_payment_behaviour",
            "days_to_pay_weighted",
        )
    },
    "M18": {
        "dso": ("best_possible_dso_and_delinquency_make_the_dso", "ar_dso", "dso"),
        "bpdso": ("best_possible_dso_and_delinquency_make_the_dso", "ar_dso", "best_possible_dso"),
        "add": ("best_possible_dso_and_delinquency_make_the_dso", "ar_dso", "average_days_delinquent"),
    },
    "M20": {
        "dso": ("a_month_without_sales_has_no_dso", "ar_dso", "dso"),
        "turnover": ("a_month_without_sales_has_no_dso", "ar_turnover", "turnover"),
        "flag": ("a_month_without_sales_has_no_dso", "ar_dso", "flag"),
    },
}
# Loss rates, promises and deductions: on marts that do not exist yet.
OF_LATER_MARTS = {"M12", "M13", "M14", "M16", "M19"}


def shared_metrics() -> dict[str, dict[str, Any]]:
    """Per scenario what it expects, written as our scenarios write it."""
    return {
        one["id"]: {figure: _written(text) for figure, text in one["expected"].items()}
        for one in _read("metrics.json")
    }


def _written(text: Any) -> Any:
    if text is None:
        return "null"
    return f"{text}.00" if isinstance(text, str) and text.isdigit() else text


def shared_scenarios() -> list[Scenario]:
    """The ageing scenarios, and the variant that one of them describes in words."""
    given = _read("ageing.json")
    variants = [_variant(one) for one in given if "variant_2015_07_01" in one]
    return [scenario_of(f"shared_{one['id']}", _as_data(one)) for one in (*given, *variants)]


def _read(name: str) -> list[dict[str, Any]]:
    path = FOLDER / name
    return json.loads(path.read_text(encoding="utf-8"))["scenarios"] if path.exists() else []


def _variant(given: dict[str, Any]) -> dict[str, Any]:
    """The same invoices, settled on the first of July with less discount."""
    variant = given["variant_2015_07_01"]
    invoices = [one for one in given["documents"] if one["type"] == "invoice"]
    paid = {"doc_id": "PAY", "type": "payment", "date": "2015-07-01", "amount": variant["payment"]}
    discount = {"doc_id": "DISC", "type": "discount", "date": "2015-07-01"}
    applications = []
    for invoice in invoices:
        taken = variant["discounts"].get(invoice["doc_id"], "0")
        cash = str(Decimal(invoice["amount"]) - Decimal(taken))
        applications.append({"from": "PAY", "to": invoice["doc_id"], "amount": cash})
        if taken != "0":
            applications.append({"from": "DISC", "to": invoice["doc_id"], "amount": taken})
    closed = {
        "as_of": "2015-07-01",
        "basis": "due_date",
        "mode": "known",
        "items": [],
        "total": variant["balance"],
        "buckets_credits_aged": {},
        "unapplied_credits": "0.00",
    }
    return {
        "id": f"{given['id']}_variant",
        "title": given["title"],
        "documents": [*invoices, paid, discount],
        "applications": applications,
        "expected": [closed],
    }


ENTITIES = {
    "invoice": ("invoices", "invoice"),
    "payment": ("receipts", "receipt"),
    "credit_note": ("credit_memos", "credit_memo"),
}


def _as_data(given: dict[str, Any]) -> dict[str, Any]:
    """The scenario as one of our files would say it."""
    documents = {one["doc_id"]: one for one in given["documents"]}
    named = {one["currency"] for one in documents.values() if "currency" in one}
    # The reference calls it the base currency and does not name it.
    currency = "EUR" if not named else "INR" if "USD" in named else "USD"
    fx = given.get("fx", {})
    realised = fx.get("realised_fx_gain_loss")
    data: dict[str, Any] = {
        "says": given["title"],
        "currency": currency,
        "allocation": given.get("allocation_policy", "fifo"),
        "facts": _facts(documents, given["applications"]),
        "expected": [_expected(one, currency, named) for one in given["expected"]],
        "realised_exchange": {"AP0": realised} if realised else {},
    }
    if "gl_balance" in given:
        balances = given["gl_balance"].items()
        data["facts"]["gl_balances"] = [
            {"balance_date": day, "balance_amount": amount} for day, amount in balances
        ]
        data["reconciliation"] = [
            {"as_of": day, "gl_amount": amount, "items_amount": amount, "difference_amount": "0.00"}
            for day, amount in balances
        ]
    if "unrealised_fx" in fx:
        closing = next((name, rates) for name, rates in fx.items() if name.startswith("closing_rates_"))
        data["facts"]["exchange_rates"] = [
            {
                "rate_date": closing[0].removeprefix("closing_rates_"),
                "from_currency": code,
                "to_currency": currency,
                "rate": rate,
            }
            for code, rate in closing[1].items()
        ]
        data["day_count"] = "30"  # in a warehouse where these rates are nobody else's
        data["revaluation"] = {
            "company_amount": fx["base_at_invoice_rate_2024-06-10"],
            "revalued_amount": fx["base_at_closing_rate"],
            "unrealised_exchange_amount": fx["unrealised_fx"],
        }
    return data


def _facts(documents: dict[str, Any], applications: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    facts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in documents.values():
        money = {
            "amount": one.get("amount"),
            "currency_code": one.get("currency"),
            "exchange_rate": one.get("fx_rate"),
            "status": one.get("status"),
        }
        money = {column: value for column, value in money.items() if value is not None}
        if one["type"] in ENTITIES:
            entity, kind = ENTITIES[one["type"]]
            row = {f"{kind}_id": one["doc_id"], f"{kind}_date": one["date"], **money}
            facts[entity].append(row | ({"due_date": one["due_date"]} if kind == "invoice" else {}))
        elif one["type"].startswith("journal"):
            facts["adjustments"].append(
                {
                    "adjustment_id": one["doc_id"],
                    "adjustment_type": one["type"],
                    "adjustment_date": one["date"],
                    **({"due_date": one["due_date"]} if "due_date" in one else {}),
                    **money,
                }
            )
        facts["instalments"] += [
            {
                "invoice_id": one["doc_id"],
                "instalment_number": str(part["no"]),
                "due_date": part["due_date"],
                "amount": part["amount"],
            }
            for part in one.get("instalments", ())
        ]
    for number, one in enumerate(applications):
        credit = documents[one["from"]]
        if credit["type"] in ("discount", "write_off"):
            # Our documents of these types name one invoice each.
            facts["adjustments"].append(
                {
                    "adjustment_id": f"{credit['doc_id']}{number}",
                    "adjustment_type": credit["type"],
                    "adjustment_date": credit["date"],
                    "amount": one["amount"],
                    "invoice_id": one["to"],
                }
            )
            continue
        facts["applications"].append(
            {
                "application_id": f"AP{number}",
                "credit_type": ENTITIES[credit["type"]][1],
                "credit_id": credit["doc_id"],
                "invoice_id": one["to"],
                "amount": one["amount"],
                "applied_on": one.get("applied_on", max(credit["date"], documents[one["to"]]["date"])),
            }
        )
    return facts


def _expected(given: dict[str, Any], currency: str, named: set[str]) -> dict[str, Any]:
    (only,) = named if len(named) == 1 else (currency,)
    buckets = given["buckets_credits_aged"]
    data: dict[str, Any] = {
        "as_of": given["as_of"],
        "basis": given["basis"],
        "view": {"known": "known", "document_dates": "restated"}[given["mode"]],
        "items": [_item(one) for one in given["items"]],
        "totals": given.get("total_per_currency") or {only: given["total"]},
        "buckets": buckets if given["total"] is None else {only: buckets},
    }
    if given["unapplied_credits"] is not None:
        data["credits"] = {only: given["unapplied_credits"]}
    if "total_base" in given:
        data["company_total"] = given["total_base"]
    return data


def _item(given: dict[str, Any]) -> list[str]:
    assert given["is_credit"] == given["outstanding"].startswith("-")
    number = 1 if given["instalment"] is None else given["instalment"]
    fields = [given["doc_id"], number, given["outstanding"], given["days"], given["bucket"]]
    converted = [given["outstanding_base"]] if "outstanding_base" in given else []
    return [str(one) for one in (*fields, *converted)]
