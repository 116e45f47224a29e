"""What a wrong settings file says: the file, the line, the fault and the fix."""

# ruff: noqa: E501 (messages are easier to compare uncut)

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable

import pytest

from receivables.company import load_company_config
from receivables.errors import ConfigError
from receivables.settings import Settings
from receivables.sources import get_source, load_sources
from tests.conftest import PROJECT
from tests.sources.setup import invoice_files, write_source

FILES = "kind: files\nentities:\n  invoices:\n    path: x.csv\n"

# What is written, the line that is named, and what is said about it.
SOURCE_FAULTS = {
    "a missing kind": ("entities: {}\n", 1, "`kind` is missing. Next: write `kind: ` and one of files, sql"),
    "an unknown kind": ("kind: fils\n", 1, "there is no kind 'fils' (did you mean 'files'?)"),
    "an unknown setting": (
        "kind: files\ndefault_curency_code: EUR\nentities: {}\n", 2,
        "there is no setting 'default_curency_code' (did you mean 'default_currency_code'?)",
    ),
    "an unknown entity": (
        "kind: files\nentities:\n  invoice: {path: x}\n", 3,
        "there is no entity 'invoice' (did you mean 'invoices'?)",
    ),
    "an unknown canonical column": (
        FILES + "    columns:\n      amout: Amount\n", 6,
        "there is no column of invoices 'amout' (did you mean 'amount'?)",
    ),
    "an unknown word of a column": (
        FILES + "    columns:\n      amount: {form: Amount}\n", 6,
        "there is no setting 'form' (did you mean 'from'?)",
    ),
    "two origins": (
        FILES + "    columns:\n      amount: {from: A, constant: 1}\n", 6,
        "entities.invoices.columns.amount: from and constant cannot stand together",
    ),
    "no origin": (FILES + "    columns:\n      amount: {scale: 0.01}\n", 6, "says not where the value comes from"),
    "a bare number": (FILES + "    columns:\n      amount: 5\n", 6, "write `{constant: 5}` for a fixed value"),
    "a scaled date": (
        FILES + "    columns:\n      invoice_date: {from: A, scale: 0.01}\n", 6,
        "scale, negate, absolute and round are for amounts; this is a date",
    ),
    "formats of an amount": (
        FILES + "    columns:\n      amount: {from: A, formats: ['%d']}\n", 6, "formats are for dates",
    ),
    "a required column left out": (FILES + "    columns:\n      amount: null\n", 6, "is required, it cannot be left out"),
    "terms of an unknown date": (
        FILES + "    columns:\n      due_date: {from_terms: 30, base: invoiced}\n", 6,
        "base 'invoiced' is not a date of invoices; possible are invoice_date",
    ),
    "terms of an amount": (
        FILES + "    columns:\n      amount: {from_terms: 30}\n", 6, "from_terms gives a date; this is a amount",
    ),
    "an unknown condition": (FILES + "    where: {A: notblank}\n", 5, "'notblank' is not a condition"),
    "an empty condition": (FILES + "    where: {A: {}}\n", 5, "says nothing"),
    "an unknown time zone": (
        "kind: files\ntimezone: Asia/Shangai\nentities:\n  invoices: {path: x}\n", 2,
        "there is no time zone 'Asia/Shangai' (did you mean 'Asia/Shanghai'?)",
    ),
    "an unknown policy": (
        "kind: files\nallocation: lifo\nentities:\n  invoices: {path: x}\n", 2,
        "allocation: input should be 'fifo' or 'pro_rata', not 'lifo'",
    ),
    "an unknown encoding": (
        "kind: files\nencoding: utf-9\nentities:\n  invoices: {path: x}\n", 2, "there is no encoding 'utf-9'",
    ),
    "incremental files": (
        "kind: files\nentities:\n  invoices: {path: x, mode: incremental}\n", 3, "files are always read in full",
    ),
    "no path": ("kind: files\nentities:\n  invoices: {}\n", 3, "entities.invoices.path: is missing"),
    "no entities": ("kind: files\n", 1, "entities: is missing"),
    "a key that stands twice": ("kind: files\nkind: sql\n", 2, "'kind' stands here and on line 1"),
    "broken YAML": ("kind: files\nentities: [\n", 3, "is not valid YAML"),
    "an empty file": ("", 1, "holds no settings"),
    "table and query": (
        "kind: sql\nconnection: {sqlite: x}\nentities:\n  invoices: {table: a, query: b}\n", 4,
        "needs either `table` or `query`",
    ),
    "incremental without a cursor": (
        "kind: sql\nconnection: {sqlite: x}\nentities:\n  invoices: {table: a, mode: incremental}\n", 4,
        "mode incremental needs `cursor`",
    ),
    "a wrong duration": (
        "kind: sql\nconnection: {sqlite: x}\nentities:\n  invoices: {table: a, overlap: 3 weeks}\n", 4,
        "is not a duration; write days, hours or minutes, e.g. 3d, 12h, 30m",
    ),
    "two databases": (
        "kind: sql\nconnection: {sqlite: x, postgresql: {airflow_connection: erp}}\n"
        "entities:\n  invoices: {table: a}\n", 2,
        "needs one of `sqlite`, `postgresql` and `mysql`",
    ),
    "half an address": (
        "kind: sql\nconnection: {postgresql: {host: h, user: u}}\nentities:\n  invoices: {table: a}\n", 2,
        "needs `database` beside host",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "words"), SOURCE_FAULTS.values(), ids=SOURCE_FAULTS)
def test_a_wrong_source_file_names_line_and_fault(home: Settings, text: str, line: int, words: str) -> None:
    case = write_source(home, text)
    with pytest.raises(ConfigError) as caught:
        load_sources(home)
    assert str(caught.value).startswith(f"{case.file}:{line}: ")
    assert words in str(caught.value)
    assert caught.value.exit_code == 78


def test_all_faults_of_a_file_are_named_at_once(home: Settings) -> None:
    write_source(home, "kind: files\ntimezone: Mars\nallocation: lifo\nentities:\n  invoices: {path: 1}\n")
    with pytest.raises(
        ConfigError, match=r":2: timezone: .*line 3: allocation: .*line 5: entities.invoices.path: "
    ):
        load_sources(home)


def test_a_password_in_the_file_is_refused_and_not_repeated(home: Settings) -> None:
    write_source(
        home,
        """
        kind: sql
        connection:
          postgresql: {host: h, database: d, user: u, password: hunter2}
        entities:
          invoices: {table: a}
        """,
    )
    with pytest.raises(ConfigError) as caught:
        load_sources(home)
    assert "password stands in the file; put it in an environment variable and write ${NAME} here" in str(
        caught.value
    )
    assert "hunter2" not in str(caught.value)


def test_a_name_that_cannot_name_a_table_is_refused(home: Settings) -> None:
    (home.sources_dir / "My ERP.yml").write_text(FILES)
    with pytest.raises(ConfigError, match=r"rename the file, e.g. my_erp.yml"):
        load_sources(home)


def test_an_unknown_source_name_proposes_the_right_one(home: Settings) -> None:
    invoice_files(home)
    with pytest.raises(ConfigError, match=r"there is no .*erpp.yml \(did you mean 'erp'\?\)"):
        get_source(home, "erpp")


def test_words_of_yaml_1_1_stay_text(home: Settings) -> None:
    case = write_source(
        home,
        """
        kind: files
        entities:
          invoices:
            path: x
            where: {code: {in: [0012, 12:30, on]}}
            columns: {is_disputed: {from: D, values: {Yes: true, No: false}}}
        """,
    )
    entity = case.source.entity_configs["invoices"]
    assert entity.where["code"].in_ == ("0012", "12:30", "on")
    assert entity.columns["is_disputed"].values == {"Yes": "true", "No": "false"}


def test_every_missing_variable_is_named_at_once(home: Settings) -> None:
    case = invoice_files(home)
    case.file.write_text(
        "kind: files\nbase: ${NO_SUCH_BASE}\nentities:\n  invoices: {path: '${NO_SUCH_PATH}/x.csv'}\n"
        "  customers: {path: '${NO_SUCH_BASE}/y.csv'}\n"
    )
    with pytest.raises(ConfigError, match="variables not set: NO_SUCH_BASE, NO_SUCH_PATH"):
        case.extract()


@pytest.mark.parametrize(
    ("top", "words"),
    [
        (
            "default_company_id: HD-UE\n",
            "default_company_id 'HD-UE' is not in receivables.yml (did you mean 'HD-EU'?)",
        ),
        ("default_currency_code: EUX\n", "default_currency_code 'EUX' is not in receivables.yml"),
    ],
)
def test_defaults_must_be_known_to_the_company_file(home: Settings, top: str, words: str) -> None:
    case = invoice_files(home)
    case.file.write_text(f"kind: files\n{top}entities:\n  invoices: {{path: invoices.csv}}\n")
    with pytest.raises(ConfigError, match=re.escape(words)):
        case.extract()


COMPANY = """\
reporting_currency: EUR
companies:
  - {company_id: A, company_name: A, currency_code: EUR}
"""
COMPANY_FAULTS: dict[str, tuple[Callable[[str], str], int, str]] = {
    "an unknown setting": (lambda text: text + "bukets: [1]\n", 4, "there is no setting 'bukets'"),
    "buckets out of order": (lambda text: text + "aging_buckets: [60, 30]\n", 1, "in rising order"),
    "an unknown currency": (lambda text: text.replace("EUR}", "EUX}"), 1, "currency 'EUX' is not in ISO 4217"),
    "an unknown time zone": (
        lambda text: text.replace("EUR}", "EUR, timezone: Paris}"), 3, "there is no time zone 'Paris'",
    ),
    "a company twice": (lambda text: text + text.splitlines()[2] + "\n", 1, "company_id 'A' stands there twice"),
    "a month 13": (
        lambda text: text.replace("EUR}", "EUR, fiscal_year_start_month: 13}"), 3, "less than or equal to 12",
    ),
    "a confidence in percent": (
        lambda text: text + "bank_matching:\n  confidence: 90\n", 5, "less than or equal to 1",
    ),
    "a number of one letter": (
        lambda text: text + "bank_matching:\n  recording_days: 3\n  reference_length: 1\n", 6, "greater than or equal to 3",
    ),
    "no companies": (lambda _: "reporting_currency: EUR\n", 1, "companies: is missing"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "line", "words"), COMPANY_FAULTS.values(), ids=COMPANY_FAULTS)
def test_a_wrong_company_file_names_line_and_fault(
    home: Settings, change: Callable[[str], str], line: int, words: str
) -> None:
    home.config_file.write_text(change(COMPANY))
    with pytest.raises(ConfigError) as caught:
        load_company_config(home)
    assert str(caught.value).startswith(f"{home.config_file}:{line}: ")
    assert words in str(caught.value)


def test_the_limits_of_bank_matching_reach_the_models(home: Settings) -> None:
    home.config_file.write_text(
        f"{COMPANY}bank_matching: {{confidence: 0.85, reference_length: 4, recording_days: 9}}\n"
    )
    variables = load_company_config(home).variables
    names = ("bank_match_confidence", "bank_match_length", "bank_recording_days")
    assert [variables[name] for name in names] == ["0.85", 4, 9]


def test_a_missing_company_file_says_so(home: Settings) -> None:
    home.config_file.unlink()
    with pytest.raises(ConfigError, match="there is no such file"):
        load_company_config(home)


def test_a_currency_of_ones_own_is_known(home: Settings) -> None:
    home.config_file.write_text(textwrap.dedent(COMPANY) + "currencies: {XPT: 3}\n")
    assert load_company_config(home).minor_units["XPT"] == 3


def test_forward_buckets_split_what_is_not_due_without_gaps(home: Settings) -> None:
    home.config_file.write_text(COMPANY + "forward_buckets: [7, 30]\naging_buckets: [30]\n")
    buckets = load_company_config(home).buckets
    assert [(bucket.aging_bucket, bucket.min_days, bucket.max_days) for bucket in buckets] == [
        ("due_in_31+", None, -31),
        ("due_in_8-30", -30, -8),
        ("due_in_0-7", -7, 0),
        ("1-30", 1, 30),
        ("31+", 31, None),
    ]


def test_our_own_files_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("RECEIVABLES_SOURCES", "RECEIVABLES_CONFIG", "RECEIVABLES_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    settings = Settings.load()
    assert settings.root == PROJECT
    assert "demo_erp" in load_sources(settings)
    assert load_company_config(settings).company_ids == ("HD-CN", "HD-EU")


def test_a_limit_of_refused_rows_is_a_share_and_a_number(home: Settings) -> None:
    case = invoice_files(home, top="refused_limit: {share: 0.05, rows: 0}\n")
    limit = case.source.refused_limit
    assert (str(limit.share), limit.rows) == ("0.05", 0)
    assert (
        str(invoice_files(home).source.refused_limit.share),
        invoice_files(home).source.refused_limit.rows,
    ) == (
        "0.2",
        4,
    )


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("{share: 20}", "less than or equal to 1"),
        ("{rows: -1}", "greater than or equal to 0"),
        ("{shares: 0.1}", "did you mean 'share'"),
    ],
)
def test_a_wrong_limit_of_refused_rows_is_explained(home: Settings, limit: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as wrong:
        _ = invoice_files(home, top=f"refused_limit: {limit}\n").source
    assert ":4" in str(wrong.value)
