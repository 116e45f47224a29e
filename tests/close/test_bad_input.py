"""Whatever is wrong with the input, the run says what, why and what to do; readers keep what was right."""

from __future__ import annotations

import shutil
import socket
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from receivables.publish import RESTRICTED, current_version, stored_versions
from receivables.settings import Settings
from receivables.warehouse import reading
from tests.close.chain import Answer, differences, hashes_in, receivables
from tests.close.harness import ROOT
from tests.conftest import Postgres

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("close-input")]

FIRST, SECOND, THIRD = date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 4)

SOURCE = """
kind: files
base: {base}
default_company_id: HD-EU
default_currency_code: EUR
refused_limit: {{rows: 10}}
entities:
  customers: {{path: customers.csv}}
  invoices: {{path: invoices.csv}}
  receipts: {{path: receipts.csv}}
  applications: {{path: applications.csv}}
"""
CUSTOMERS = "customer_id,customer_name\nC1,Nordwerk\nC2,华东精密\n"
INVOICES = """\
invoice_id,customer_id,invoice_date,due_date,amount,currency_code
I1,C1,2026-01-05,2026-02-04,100.00,EUR
I2,C1,2026-02-05,2026-03-07,200.00,EUR
I3,C2,2026-02-20,2026-03-22,300.00,EUR
"""
RECEIPTS = "receipt_id,customer_id,receipt_date,amount,currency_code\nR1,C1,2026-02-10,130.00,EUR\n"
APPLICATIONS = """\
application_id,credit_type,credit_id,invoice_id,amount,applied_on
A1,receipt,R1,I1,100.00,2026-02-10
"""


@dataclass(frozen=True)
class Case:
    """An installation with one source of CSV files."""

    settings: Settings

    @property
    def files(self) -> Path:
        return self.settings.sources_dir.parent / "files"

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.files / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def source(self, name: str, text: str) -> None:
        path = self.settings.sources_dir / f"{name}.yml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def run(self, day: date, **options: Any) -> Answer:
        return receivables(self.settings, "run", "--as-of", day.isoformat(), **options)

    def published(self, sql: str, *, name: str = "receivables.duckdb") -> list[tuple[Any, ...]]:
        with reading(self.settings.published / "current" / name) as connection:
            return connection.execute(sql).fetchall()

    def copy(self, folder: Path) -> Case:
        origin = self.settings.sources_dir.parent
        shutil.copytree(origin, folder, symlinks=True, dirs_exist_ok=True)
        case = _case(folder)
        for path in case.settings.sources_dir.glob("*.yml"):
            path.write_text(path.read_text().replace(str(origin), str(folder)), encoding="utf-8")
        return case


def _case(folder: Path) -> Case:
    return Case(
        Settings(
            root=ROOT,
            home=folder / "home",
            sources_dir=folder / "sources",
            config_file=ROOT / "receivables.yml",
        )
    )


def assert_done(answer: Answer) -> None:
    assert answer.code == 0, answer.out + answer.err


def assert_explained(answer: Answer, *, code: int, what: str, cause: str, next_step: str) -> None:
    """The message is three lines for a person: the thing, the cause, the next step."""
    said = answer.out + answer.err
    assert answer.code == code, said
    assert "Traceback" not in said
    lines = answer.err.strip().splitlines()
    thing = next(line for line in lines if line.startswith("Error: "))
    after = "\n".join(lines[lines.index(thing) + 1 :])
    assert what in thing, said
    assert cause in after.partition("Next:")[0], said
    assert next_step in after.partition("Next:")[2], said


# --- one good day that readers see, for all tests ---


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("first_day")
    case = _case(folder)
    case.settings.sources_dir.mkdir()
    case.files.mkdir()
    case.source("erp", SOURCE.format(base=case.files))
    for name, content in (
        ("customers.csv", CUSTOMERS),
        ("invoices.csv", INVOICES),
        ("receipts.csv", RECEIPTS),
        ("applications.csv", APPLICATIONS),
    ):
        case.write(name, content)
    assert_done(case.run(FIRST))
    assert open_amounts(case) == {"I2": Decimal(200), "I3": Decimal(300), "R1": Decimal(-30)}
    return case


@pytest.fixture
def case(first_day: Case, tmp_path: Path) -> Case:
    """The first day is published; what a test does to it is its own."""
    return first_day.copy(tmp_path)


def open_amounts(case: Case) -> dict[str, Decimal]:
    rows = case.published("select document_id, open_amount from marts.ar_open_items")
    return {document.rsplit(":", 1)[-1]: amount for document, amount in rows}


# --- what stops a run before anything is loaded ---


def _missing_file(case: Case) -> None:
    (case.files / "receipts.csv").unlink()


def _wrong_column(case: Case) -> None:
    case.write("invoices.csv", INVOICES.replace("amount", "total_amount"))


def _wrong_delimiter(case: Case) -> None:
    case.write("invoices.csv", INVOICES.replace(",", ";"))


def _empty_extract(case: Case) -> None:
    case.write("invoices.csv", INVOICES.splitlines(keepends=True)[0])


def _empty_file(case: Case) -> None:
    case.write("invoices.csv", "")


def _half_a_parquet_file(case: Case) -> None:
    path = case.files / "bank.parquet"
    pq.write_table(pa.table({"receipt_id": [str(number) for number in range(1000)]}), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    case.source("bank", f"kind: files\nbase: {case.files}\nentities:\n  receipts: {{path: bank.parquet}}\n")


def _wrong_setting(case: Case) -> None:
    path = case.settings.sources_dir / "erp.yml"
    path.write_text(path.read_text().replace("default_currency_code: EUR", "default_currency_code: EURO"))


@dataclass(frozen=True)
class Fault:
    """What is done to the input, and what the run must say about it."""

    plant: Callable[[Case], None]
    what: str
    cause: str
    next_step: str
    code: int = 1


FATAL = {
    "missing file": Fault(
        _missing_file, "source erp, receipts", "there is no such file",
        "put the file there, or correct entities.receipts.path in erp.yml",
    ),
    "wrong column": Fault(
        _wrong_column, "source erp, invoices", "nothing gives amount",
        "correct entities.invoices.columns in erp.yml",
    ),
    "wrong delimiter": Fault(
        _wrong_delimiter, "source erp, invoices", "it looks as if the delimiter is ';'",
        'write `delimiter: ";"`',
    ),
    "empty extract": Fault(
        _empty_extract, "source erp, invoices", "the extract is empty, but the warehouse holds 3 rows of it",
        "check the source; if it is truly empty now, write `allow_empty: true`",
    ),
    "empty file": Fault(
        _empty_file, "source erp, invoices", "the file is empty (0 bytes)", "deliver it again",
    ),
    "half-written parquet file": Fault(
        _half_a_parquet_file, "source bank, receipts", "not a whole Parquet file",
        "check that it is a whole file",
    ),
    "a currency that no setting knows": Fault(
        _wrong_setting, "erp.yml", "EURO", "", code=78,
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FATAL.values(), ids=FATAL)
def test_a_fault_of_a_whole_source_stops_the_run_and_readers_keep_what_they_have(
    case: Case, fault: Fault
) -> None:
    before = hashes_in(case.settings.published_database)
    version = current_version(case.settings)
    fault.plant(case)
    answer = case.run(SECOND)
    assert_explained(answer, code=fault.code, what=fault.what, cause=fault.cause, next_step=fault.next_step)
    assert current_version(case.settings) == version
    assert differences(hashes_in(case.settings.published_database), before) == {}
    with reading(case.settings.warehouse) as warehouse:
        loads = warehouse.execute("select count(*) from quality.loads where as_of_date > ?", [FIRST])
        assert loads.fetchall() == [(0,)], "nothing of a run that stopped was loaded"


def test_programs_get_the_same_explanation_as_json(case: Case) -> None:
    _missing_file(case)
    answer = receivables(case.settings, "run", "--as-of", SECOND.isoformat(), "--json")
    assert answer.code == 1
    assert answer.error["what"].startswith("source erp, receipts")
    assert {"what", "cause", "next_step", "exit_code"} == set(answer.error)
    assert "Traceback" not in answer.out + answer.err


def test_without_rights_on_the_warehouse_the_run_says_which_rights_to_give(case: Case) -> None:
    before = hashes_in(case.settings.published_database)
    warehouse = case.settings.warehouse
    warehouse.chmod(0o444)
    warehouse.parent.chmod(0o555)
    try:
        answer = case.run(SECOND, powerless=True)
    finally:
        warehouse.parent.chmod(0o755)
        warehouse.chmod(0o644)
    assert_explained(
        answer,
        code=1,
        what=f"warehouse {warehouse}",
        cause="Permission denied",
        next_step="give this user read and write rights on the file and its folder",
    )
    assert differences(hashes_in(case.settings.published_database), before) == {}


# --- a database that does not let us in ---

DATABASE = """
kind: sql
default_currency_code: EUR
connection:
  postgresql:
    host: 127.0.0.1
    port: {port}
    database: postgres
    user: erp
    password: ${{BANK_PASSWORD}}
entities:
  receipts:
    query: >-
      select 'P1' as receipt_id, 'C1' as customer_id, date '2026-03-01' as receipt_date, 1.00 as amount
"""
SECRET = "s3cr3t/+pass"


def test_a_wrong_password_is_explained_and_never_shown(case: Case, postgres: Postgres) -> None:
    case.source("bank", DATABASE.format(port=postgres.port))
    answer = case.run(SECOND, variables={"BANK_PASSWORD": SECRET})
    assert_explained(
        answer,
        code=1,
        what="source bank",
        cause="the server refuses the user or the password",
        next_step="check user and password in the environment",
    )
    assert_nowhere(SECRET, case, answer)


def test_a_server_that_is_down_is_a_matter_of_trying_again(case: Case, postgres: Postgres) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, and nobody listens
        case.source("bank", DATABASE.format(port=unused.getsockname()[1]))
        answer = case.run(SECOND, variables={"BANK_PASSWORD": postgres.password})
    assert_explained(
        answer,
        code=75,
        what="source bank",
        cause="the server does not answer",
        next_step="",
    )
    assert_nowhere(postgres.password, case, answer)


def assert_nowhere(secret: str, case: Case, answer: Answer) -> None:
    """A password is neither on the screen nor in any file that the run has written."""
    assert secret not in answer.out + answer.err
    for path in case.settings.home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert secret.encode() not in path.read_bytes(), path


# --- rows that are refused while the others load ---

DIRTY = (
    INVOICES
    + """\
I4,C2,2026-03-03,2026-04-02,400.00,EUR
BAD-DATE,C1,2026-13-31,2026-04-02,10.00,EUR
BAD-AMOUNT,C1,2026-03-03,2026-04-02,12.3x,EUR
TWICE,C1,2026-03-03,2026-04-02,20.00,EUR
TWICE,C1,2026-03-03,2026-04-02,21.00,EUR
COPY,C2,2026-03-03,2026-04-02,30.00,EUR
COPY,C2,2026-03-03,2026-04-02,30.00,EUR
MONEY,C2,2026-03-03,2026-04-02,40.00,QQQ
CUT-OFF,C1,2026-0"""
)
TOO_EARLY = APPLICATIONS + "A2,receipt,R1,I20,30.00,2026-03-03\n"
# Key (null: the row cannot be split into columns) and what its reason says.
REFUSED = {
    ("invoices", "BAD-DATE"): "'…' is not a date",
    ("invoices", "BAD-AMOUNT"): "amount: '…' is not a number",
    ("invoices", "TWICE"): "rows with this key differ and none is newer",
    ("invoices", "COPY"): "the same row stands here twice, the first copy is kept",
    ("invoices", "MONEY"): "'…' is an unknown currency",
    ("invoices", None): "cut off while it was written?",
    (
        "applications",
        "erp:application:A2",
    ): "names invoice erp:invoice:I20, which the source has not delivered",
}
MENDED = (
    INVOICES
    + """\
I4,C2,2026-03-03,2026-04-02,400.00,EUR
BAD-DATE,C1,2026-03-03,2026-04-02,10.00,EUR
BAD-AMOUNT,C1,2026-03-03,2026-04-02,12.30,EUR
TWICE,C1,2026-03-03,2026-04-02,20.00,EUR
COPY,C2,2026-03-03,2026-04-02,30.00,EUR
MONEY,C2,2026-03-03,2026-04-02,40.00,EUR
CUT-OFF,C1,2026-03-03,2026-04-02,50.00,EUR
I20,C1,2026-03-04,2026-04-03,70.00,EUR
"""
)


@pytest.fixture(scope="module")
def second_day(first_day: Case, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Answer]:
    case = first_day.copy(tmp_path_factory.mktemp("second_day"))
    case.write("invoices.csv", DIRTY)
    case.write("applications.csv", TOO_EARLY)
    return case, case.run(SECOND)


def refusals(case: Case, *, resolved: bool) -> dict[tuple[str, str | None], list[str]]:
    """What the published version says was refused: entity and key, with the reasons."""
    rows = case.published(
        "select entity, key, reason from quality.quarantined_rows"
        f" where is_resolved = {resolved} order by all"
    )
    found: dict[tuple[str, str | None], list[str]] = {}
    for entity, key, reason in rows:
        found.setdefault((entity, key), []).append(reason)
    return found


def test_good_rows_load_and_are_published_although_others_are_refused(
    second_day: tuple[Case, Answer],
) -> None:
    case, answer = second_day
    assert_done(answer)
    assert "refused" in answer.out
    assert "Traceback" not in answer.err
    version = current_version(case.settings)
    assert version is not None
    assert version.as_of_date == SECOND
    assert open_amounts(case) == {
        "I2": Decimal(200),
        "I3": Decimal(300),
        "I4": Decimal(400),
        "COPY": Decimal(30),
        "R1": Decimal(-30),
    }


def test_each_refused_row_is_in_the_published_quarantine_with_its_reason(
    second_day: tuple[Case, Answer],
) -> None:
    case, _ = second_day
    found = refusals(case, resolved=False)
    assert set(found) == set(REFUSED)
    for key, words in REFUSED.items():
        assert any(words in reason for reason in found[key]), (key, found[key])


def test_what_a_refused_row_held_is_for_the_owners_group_only(second_day: tuple[Case, Answer]) -> None:
    case, _ = second_day
    query = "select payload, reason from quality.quarantined_rows where key = 'BAD-AMOUNT'"
    [(nothing, public)] = case.published(query)
    assert nothing is None and "12.3x" not in public
    [(payload, reason)] = case.published(query, name=RESTRICTED)
    assert "12.3x" in payload and "'12.3x'" in reason


def test_a_mended_row_and_an_application_whose_invoice_arrives_come_back_by_themselves(
    second_day: tuple[Case, Answer], tmp_path: Path
) -> None:
    case = second_day[0].copy(tmp_path)
    case.write("invoices.csv", MENDED)
    assert_done(case.run(THIRD))
    assert refusals(case, resolved=False) == {}
    assert set(refusals(case, resolved=True)) == set(REFUSED), "that they were refused stays on record"
    assert open_amounts(case) == {
        "I2": Decimal(200),
        "I3": Decimal(300),
        "I4": Decimal(400),
        "BAD-DATE": Decimal(10),
        "BAD-AMOUNT": Decimal("12.30"),
        "TWICE": Decimal(20),
        "COPY": Decimal(30),
        "MONEY": Decimal(40),
        "CUT-OFF": Decimal(50),
        "I20": Decimal(40),  # 70, of which the waiting application settles 30
    }


# --- a check that fails ---


def test_a_failed_critical_check_leaves_the_published_version_as_it_was(case: Case) -> None:
    before, version = hashes_in(case.settings.published_database), current_version(case.settings)
    # Somebody has exchanged the source for one that holds almost nothing: every row loads, history is lost.
    (case.settings.sources_dir / "erp.yml").unlink()
    case.source("other", SOURCE.format(base=case.files))
    case.write("invoices.csv", INVOICES.splitlines(keepends=True)[0] + "I9,C1,2026-03-01,,5.00,EUR\n")
    for name, content in (("receipts.csv", RECEIPTS), ("applications.csv", APPLICATIONS)):
        case.write(name, content.splitlines(keepends=True)[0])
    answer = case.run(SECOND)
    assert_explained(
        answer,
        code=3,
        what="check",
        cause="no_table_has_lost_most_of_its_rows",
        next_step="",
    )
    assert current_version(case.settings) == version
    assert [stored.name for stored in stored_versions(case.settings)] == [version.name if version else ""]
    assert differences(hashes_in(case.settings.published_database), before) == {}
    with reading(case.settings.warehouse) as warehouse:
        failed = warehouse.execute(
            "select rows_failed from quality.check_results"
            " where \"check\" = 'no_table_has_lost_most_of_its_rows' and not success"
        ).fetchall()
    assert failed
    assert failed[0][0] >= 1
