"""Would the tests notice? A sign, an inequality and a join of each important model are changed, one by one.

Every change is made in a copy of the dbt project; then generated companies are built with it and compared
with the plain-Python reference. A change that nothing notices survives, and the command ends with 1.

    python -m tests.mutation.mutate [model …]      (make mutation, make mutation MODELS="int_open_items …")
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# The models to change: those of another checkout when RECEIVABLES_ROOT names one.
BASE = Path(os.environ.get("RECEIVABLES_ROOT", PROJECT))
MODELS = Path("dbt_project/models/intermediate")
AT_ONCE = 2


@dataclass(frozen=True)
class Mutation:
    """One change of one model: the first place where `old` stands becomes `new`."""

    model: str
    kind: str
    old: str
    new: str

    @property
    def title(self) -> str:
        return f"{self.model}, {self.kind}: {self.old!r} -> {self.new!r}"


MUTATIONS = tuple(
    Mutation(*one)
    for one in (
        ("int_document_versions", "sign", "else min(case when", "else max(case when"),
        ("int_document_versions", "inequality", "ended_on >= document_date", "ended_on <= document_date"),
        ("int_document_versions", "join", "left join drafts", "inner join drafts"),
        ("int_documents", "sign", "            else -1", "            else 1"),
        (
            "int_documents",
            "inequality",
            "document_date >= rates.rate_date",
            "document_date <= rates.rate_date",
        ),
        ("int_documents", "join", "left join rates", "inner join rates"),
        (
            "int_instalments",
            "sign",
            "greatest(invoices.known_on, known_intervals.known_at)",
            "least(invoices.known_on, known_intervals.known_at)",
        ),
        (
            "int_instalments",
            "inequality",
            "invoices_then.known_on < schedule_rows.known_until",
            "invoices_then.known_on > schedule_rows.known_until",
        ),
        ("int_instalments", "join", "left join scheduled_invoices", "inner join scheduled_invoices"),
        (
            "int_settlements",
            "sign",
            "greatest(invoices.document_date, credits.document_date, applications.applied_on)",
            "least(invoices.document_date, credits.document_date, applications.applied_on)",
        ),
        ("int_settlements", "inequality", "ended_on > restated_date", "ended_on < restated_date"),
        (
            "int_settlements",
            "join",
            "on automatic_memos.linked_invoice_id = invoices.document_id",
            "on automatic_memos.linked_invoice_id <> invoices.document_id",
        ),
        ("int_allocations", "sign", "'end_reason', '-'", "'end_reason', ''"),
        ("int_allocations", "inequality", "ended_on > event_date", "ended_on < event_date"),
        (
            "int_allocations",
            "join",
            "left join instalments as numbered",
            "inner join instalments as numbered",
        ),
        ("int_ledger_claims", "sign", "money('-amount * sign')", "money('amount * sign')"),
        (
            "int_ledger_claims",
            "inequality",
            "claims.known_on < documents.known_until",
            "claims.known_on > documents.known_until",
        ),
        ("int_ledger_claims", "join", "left join complex_invoices", "inner join complex_invoices"),
        ("int_ledger_entries", "sign", "money('-amount')", "money('amount')"),
        (
            "int_ledger_entries",
            "inequality",
            "known_until < {{ forever() }}",
            "known_until > {{ forever() }}",
        ),
        ("int_open_items", "sign", "when sign = 1 then due_date", "when sign = -1 then due_date"),
        (
            "int_open_items",
            "inequality",
            "items.item_known_on < documents.known_until",
            "items.item_known_on > documents.known_until",
        ),
        # `left join` there would change nothing: every item has its document.
        (
            "int_open_items",
            "join",
            "on items.document_id = documents.document_id",
            "on items.document_id <> documents.document_id",
        ),
        ("int_open_item_history", "sign", "sum(change) over", "-sum(change) over"),
        ("int_open_item_history", "inequality", "having sum(amount) <> 0", "having sum(amount) > 0"),
        (
            "int_open_item_history",
            "join",
            "on balances.open_item_id = items.open_item_id",
            "on balances.open_item_id <> items.open_item_id",
        ),
        ("int_daily_aging", "sign", "-open_amount as open_amount", "open_amount as open_amount"),
        ("int_daily_aging", "inequality", "enters_on < leaves_on", "enters_on > leaves_on"),
        ("int_daily_aging", "join", "left join daily_moves", "inner join daily_moves"),
        (
            "int_fiscal_dates",
            "sign",
            "add_days('anchor_date', '-days_after_monday')",
            "add_days('anchor_date', 'days_after_monday')",
        ),
        ("int_fiscal_dates", "inequality", "days_after_monday <= 3", "days_after_monday > 3"),
        (
            "int_fiscal_dates",
            "join",
            "bounded.next_year_start_date > days.date_day",
            "bounded.next_year_start_date <> days.date_day",
        ),
        (
            "int_customer_months",
            "sign",
            "complete_sum('-entries.company_amount') }} as collected_amount",
            "complete_sum('entries.company_amount') }} as collected_amount",
        ),
        (
            "int_customer_months",
            "inequality",
            "items.document_date >= month_days.month_start_date",
            "items.document_date <= month_days.month_start_date",
        ),
        ("int_customer_months", "join", "left join balances as opening", "inner join balances as opening"),
    )
)


def main() -> int:
    """Try every mutation of the chosen models; 1 when one survives or cannot be made."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="only these models")
    chosen = parser.parse_args().models
    mutations = [one for one in MUTATIONS if not chosen or one.model in chosen]
    began = time.monotonic()
    sound = _probe(None)
    if sound:
        print(f"the models as they are already fail: {sound}")
        return 1
    killed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Each verdict is told when it is reached: a run that is stopped has still said something.
        for verdict in pool.map(_verdict, mutations):
            killed += verdict.startswith("killed")
            print(verdict, flush=True)
    print(f"{killed} of {len(mutations)} killed in {(time.monotonic() - began) / 60:.0f} minutes")
    return 0 if killed == len(mutations) else 1


def _verdict(mutation: Mutation) -> str:
    text = (BASE / MODELS / f"{mutation.model}.sql").read_text(encoding="utf-8")
    if mutation.old not in text:
        return f"STALE     {mutation.title}: the model no longer says this"
    found = _probe(mutation)
    if not found:
        return f"SURVIVED  {mutation.title}"
    if found.startswith("does not build"):
        return f"INVALID   {mutation.title}: {found}"
    return f"killed    {mutation.title}: {found}"


def _probe(mutation: Mutation | None) -> str:
    """What the comparison finds with a mutated copy of the project; empty = nothing."""
    with _copy(mutation) as root:
        done = subprocess.run(
            [sys.executable, "-m", "tests.mutation.probe", str(root / "work")],
            cwd=PROJECT,
            env={**os.environ, "RECEIVABLES_ROOT": str(root)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        return f"does not build: {done.stderr.strip().splitlines()[-1][:200]}"
    return done.stdout.strip()


@contextmanager
def _copy(mutation: Mutation | None) -> Iterator[Path]:
    """A throw-away root with the dbt project in it, changed as the mutation says."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        root = Path(folder)
        ignored = shutil.ignore_patterns("target", "logs", "dbt_packages")
        shutil.copytree(BASE / "dbt_project", root / "dbt_project", ignore=ignored)
        if mutation:
            path = root / MODELS / f"{mutation.model}.sql"
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(mutation.old, mutation.new, 1), encoding="utf-8")
        yield root


if __name__ == "__main__":
    raise SystemExit(main())
