"""Files: every layout that the YAML can describe, and every fault that a file can have."""

# ruff: noqa: DTZ001, E501 (raw holds UTC without a zone; messages are easier to compare uncut)

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from receivables.errors import PermanentError
from receivables.settings import Settings
from receivables.sources import check_source
from receivables.sources.base import BATCH_ROWS
from receivables.sources.files import cell_text
from tests.sources.excel import write_xlsx
from tests.sources.setup import DAY, INVOICES, Case, invoice_files, write_source

ROW = "1,C1,2026-01-05,10.00,EUR\n"


def loaded(case: Case) -> list[tuple[object, ...]]:
    return case.query("select invoice_id, customer_id, invoice_date, amount from raw_erp.invoices order by 1")


def test_a_chinese_export_in_gb18030_with_semicolons_and_decimal_commas(home: Settings) -> None:
    case = invoice_files(
        home,
        top="encoding: gb18030\ndelimiter: ';'\ndecimal: ','\nthousands: '.'\nskip_rows: 2\n"
        "date_formats: ['%Y/%m/%d']\n",
        extra="    columns: {invoice_id: 发票号, customer_id: 客户, invoice_date: 开票日期, amount: 金额}\n",
    )
    case.data(
        "invoices.csv",
        "应收账款明细\n\n发票号;客户;开票日期;金额\n0001;华东精密;2026/1/5;1.234,50\n".encode("gb18030"),
    )
    case.run()
    assert loaded(case) == [("0001", "华东精密", date(2026, 1, 5), Decimal("1234.5"))]


def test_a_byte_order_mark_is_not_part_of_the_first_name(home: Settings) -> None:
    case = invoice_files(home)
    case.data("invoices.csv", ("\ufeff" + INVOICES + ROW).encode())
    assert case.run().rows == 1


def test_tabs_are_the_delimiter_of_a_tsv(home: Settings) -> None:
    case = write_source(home, "kind: files\nentities:\n  invoices: {path: x.tsv}\n")
    case.data("x.tsv", (INVOICES + ROW).replace(",", "\t"))
    assert case.run().rows == 1


def test_quoted_cells_may_hold_delimiters_quotes_and_line_breaks(home: Settings) -> None:
    case = invoice_files(home)
    case.data(
        "invoices.csv",
        'invoice_id,customer_id,invoice_date,amount,reference\n1,"A, ""B"" & C",2026-01-05,10.00,"two\nlines"\n',
    )
    case.run()
    assert case.query("select customer_id, reference from raw_erp.invoices") == [('A, "B" & C', "two\nlines")]


def test_a_glob_and_a_folder_read_all_their_files(home: Settings) -> None:
    for path in ("in/inv-*.csv", "in"):
        case = invoice_files(home)
        case.file.write_text(f"kind: files\nentities:\n  invoices: {{path: '{path}'}}\n")
        case.data("in/inv-1.csv", INVOICES + ROW)
        case.data("in/inv-2.csv", INVOICES + ROW.replace("1,", "2,", 1))
        case.data("in/.hidden.csv", "nothing")
        assert case.run(run=f"run-{path.replace('/', '_').replace('*', '')}").rows == 2


def test_a_path_may_start_from_a_variable_or_a_base(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "invoices.csv").write_text(INVOICES + ROW)
    monkeypatch.setenv("ERP_EXPORT", str(folder))
    case = invoice_files(home, top="base: ${ERP_EXPORT}\n")
    assert case.run().rows == 1


def test_parquet_is_read_with_its_types(home: Settings) -> None:
    case = write_source(home, "kind: files\nentities:\n  invoices: {path: x.parquet}\n")
    table = pa.table(
        {
            "invoice_id": ["1", "2"],
            "customer_id": ["C1", "C2"],
            "invoice_date": [date(2026, 1, 5)] * 2,
            "amount": pa.array([Decimal("10.10"), Decimal("20.20")], pa.decimal128(10, 2)),
            "updated_at": pa.array([datetime(2026, 1, 5, 8)] * 2, pa.timestamp("us")),
        }
    )
    pq.write_table(table, home.sources_dir / "x.parquet")
    case.run()
    assert [row[3] for row in loaded(case)] == [Decimal("10.1"), Decimal("20.2")]


def test_excel_is_read_by_sheet_with_dates_and_numbers(home: Settings) -> None:
    case = write_source(
        home,
        """
        kind: files
        default_currency_code: EUR
        entities:
          invoices: {path: x.xlsx, sheet: 发票, skip_rows: 1}
        """,
    )
    write_xlsx(
        home.sources_dir / "x.xlsx",
        {
            "other": [["nothing"]],
            "发票": [
                ["Report of March"],
                ["invoice_id", "customer_id", "invoice_date", "amount", "terms_days"],
                [1001.0, "C1", date(2026, 1, 5), 1234.56, 30.0],
                ["0042", "C2", "2026-01-06", "10.00", None],
                [None, None, None, None, None],
            ],
        },
    )
    case.run()
    assert loaded(case) == [
        ("0042", "C2", date(2026, 1, 6), Decimal(10)),
        ("1001", "C1", date(2026, 1, 5), Decimal("1234.56")),
    ]


def test_excel_numbers_do_not_take_the_separators_of_texts(home: Settings) -> None:
    case = write_source(
        home, "kind: files\ndecimal: ','\nthousands: '.'\nentities:\n  invoices: {path: x.xlsx, sheet: 1}\n"
    )
    rows = [["1", "C1", date(2026, 1, 5), 1.25], ["2", "C1", date(2026, 1, 5), "1.250,5"]]
    write_xlsx(
        home.sources_dir / "x.xlsx", {"s": [["invoice_id", "customer_id", "invoice_date", "amount"], *rows]}
    )
    case.run()
    assert [row[3] for row in loaded(case)] == [Decimal("1.25"), Decimal("1250.5")]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (1000.0, "1000"),
        (0.1, "0.1"),
        (True, "true"),
        (None, ""),
        (date(2026, 1, 5), "2026-01-05T00:00:00"),
        ("x", "x"),
    ],
)
def test_a_cell_becomes_text(cell: object, text: str) -> None:
    assert cell_text(cell) == text


def test_one_wide_file_feeds_several_entities(home: Settings) -> None:
    case = write_source(
        home,
        """
        kind: files
        default_currency_code: USD
        date_formats: ["%m/%d/%Y"]
        entities:
          invoices:
            path: list.csv
            columns: {invoice_id: no, customer_id: who, invoice_date: billed, amount: total}
          receipts:
            path: list.csv
            where: {settled: not_blank}
            columns: {receipt_id: {template: "{no}-R"}, customer_id: who, receipt_date: settled, amount: total}
          applications:
            path: list.csv
            where: {settled: not_blank}
            columns:
              application_id: {template: "{no}-A"}
              credit_type: {constant: receipt}
              credit_id: {template: "{no}-R"}
              invoice_id: no
              amount: total
              applied_on: settled
        """,
    )
    case.data(
        "list.csv", "no,who,billed,total,settled\n007,C1,1/5/2026,10.00,2/5/2026\n008,C1,1/6/2026,20.00,\n"
    )
    case.run()
    assert case.query("select count(*) from raw_erp.invoices") == [(2,)]
    assert case.query("select receipt_id, receipt_date from raw_erp.receipts") == [
        ("007-R", date(2026, 2, 5))
    ]
    assert case.query("select credit_id, invoice_id from raw_erp.applications") == [("007-R", "007")]


# --- faults ---


def overwrite(text: str | bytes) -> Callable[[Case], object]:
    return lambda case: case.data("invoices.csv", text)


FILE_FAULTS: dict[str, tuple[Callable[[Case], object], str]] = {
    "missing file": (
        lambda case: (home_of(case) / "invoices.csv").rename(home_of(case) / "invoice.csv"),
        "there is no such file (did you mean 'invoice.csv'?). Next: put the file there, or correct"
        " entities.invoices.path in erp.yml",
    ),
    "zero bytes": (overwrite(""), "the file is empty (0 bytes): not even a header"),
    "no header": (overwrite("\n\n"), "there is no header row"),
    "wrong column": (
        overwrite(INVOICES.replace("invoice_date", "InvoiceDay") + ROW),
        "nothing gives invoice_date, which invoices require (did you mean 'InvoiceDay'?). The columns there are:"
        " invoice_id, customer_id, InvoiceDay, amount, currency_code",
    ),
    "wrong delimiter": (
        overwrite((INVOICES + ROW).replace(",", ";")),
        "only one column was found with the delimiter ',': 'invoice_id;customer_id;invoice_date;amount;currency_code';"
        " it looks as if the delimiter is ';'. Next: write `delimiter: \";\"` at entities.invoices",
    ),
    "wrong delimiter, tabs": (
        overwrite((INVOICES + ROW).replace(",", "\t")),
        "it looks as if the delimiter is '\\t' (tab). Next: write `delimiter: \"\\t\"`",
    ),
    "wrong encoding": (
        overwrite((INVOICES + "1,华东,2026-01-05,10.00,EUR\n").encode("gb18030")),
        "is not utf-8 text (byte 0xbb cannot be read); as gb18030 it can. Next: write `encoding: gb18030`",
    ),
    "a name twice": (overwrite("a,b,a\n1,2,3\n"), "two columns have the same name: a"),
}  # fmt: skip


def home_of(case: Case) -> Path:
    return case.settings.sources_dir


@pytest.mark.parametrize(("plant", "words"), FILE_FAULTS.values(), ids=FILE_FAULTS)
def test_a_faulty_file_says_what_and_where_and_what_to_do(
    home: Settings, plant: Callable[[Case], object], words: str
) -> None:
    case = invoice_files(home, ROW)
    plant(case)
    with pytest.raises(PermanentError) as caught:
        case.extract()
    assert words in str(caught.value)
    assert str(caught.value).startswith("source erp, invoices")


def test_a_mapped_column_that_is_missing_is_named_with_a_proposal(home: Settings) -> None:
    case = invoice_files(home, ROW, extra="    columns: {amount: Amount, due_date: dueDate}\n")
    with pytest.raises(PermanentError) as caught:
        case.extract()
    assert "column 'Amount' (for amount) is missing (did you mean 'amount'?); column 'dueDate'" in str(
        caught.value
    )


def test_a_file_of_a_glob_that_differs_is_named(home: Settings) -> None:
    case = invoice_files(home)
    case.file.write_text("kind: files\nentities:\n  invoices: {path: 'in/*.csv'}\n")
    case.data("in/1.csv", INVOICES + ROW)
    case.data("in/2.csv", INVOICES.replace("amount", "total") + ROW)
    with pytest.raises(PermanentError, match=re.escape("source erp, invoices (2.csv): nothing gives amount")):
        case.extract()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nothing/*.csv", "no file matches"),
        ("empty", "the folder holds no CSV, Parquet or Excel file"),
        ("nowhere/x.csv", "does not exist either"),
        ("x.dat", "the ending '.dat' does not say what kind of file it is"),
    ],
)
def test_a_path_that_leads_nowhere_says_so(home: Settings, path: str, words: str) -> None:
    case = invoice_files(home)
    (home.sources_dir / "empty").mkdir()
    case.data("x.dat", ROW)
    case.file.write_text(f"kind: files\nentities:\n  invoices: {{path: '{path}'}}\n")
    with pytest.raises(PermanentError, match=re.escape(words)):
        case.extract()


@pytest.mark.parametrize("name", ["x.parquet", "x.xlsx"])
def test_a_half_written_binary_file_is_an_error(home: Settings, name: str) -> None:
    case = write_source(home, f"kind: files\nentities:\n  invoices: {{path: {name}}}\n")
    pq.write_table(pa.table({"a": [1]}), home.sources_dir / "x")
    whole = (home.sources_dir / "x").read_bytes()
    case.data(name, whole[: len(whole) // 2])
    with pytest.raises(PermanentError, match=r"cannot be read \(not a"):
        case.extract()


def test_a_sheet_that_is_not_there_is_named_with_those_that_are(home: Settings) -> None:
    case = write_source(home, "kind: files\nentities:\n  invoices: {path: x.xlsx, sheet: Invoces}\n")
    write_xlsx(home.sources_dir / "x.xlsx", {"Invoices": [["a"]], "Notes": [["b"]]})
    with pytest.raises(
        PermanentError, match=r"no sheet 'Invoces' \(did you mean 'Invoices'\?\); .* Invoices, Notes"
    ):
        case.extract()


def test_a_file_that_may_not_be_read_says_so(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    case = invoice_files(home, ROW)
    real = Path.open

    def refuse(self: Path, *args: object, **options: object) -> object:
        if self.name == "invoices.csv":
            raise PermissionError(13, "Permission denied")
        return real(self, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, who may read everything
    with pytest.raises(PermanentError, match=r"Permission denied.*that this user may read it"):
        case.extract()


def test_the_cut_off_last_line_is_refused_and_the_others_load(home: Settings) -> None:
    case = invoice_files(home, ROW + "2,C1,2026-0")
    manifest = case.extract()["invoices"]
    assert (manifest.rows, manifest.refused_rows, manifest.unreadable_rows) == (1, 1, 1)
    case.run()
    assert case.refused() == [
        (
            None,
            "too few columns: 3 where the header has 5 (cut off while it was written?)",
            "invoices.csv:3",
            False,
        )
    ]


def test_a_character_cut_in_two_at_the_end_is_part_of_the_cut_off_line(home: Settings) -> None:
    case = invoice_files(home)
    case.data("invoices.csv", (INVOICES + ROW + "2,华东").encode()[:-1])
    assert case.extract()["invoices"].unreadable_rows == 1


def test_a_quote_that_is_never_closed_swallows_nothing_silently(home: Settings) -> None:
    case = invoice_files(home, ROW + '2,C1,2026-01-05,10.00,"EUR\n3,C1,2026-01-05,10.00,EUR\n')
    manifest = case.extract()["invoices"]
    assert (manifest.rows, manifest.unreadable_rows) == (1, 1)
    case.run()
    assert "a quote is opened and never closed" in case.refused()[0][1]


def test_a_row_with_too_many_columns_is_refused(home: Settings) -> None:
    case = invoice_files(home, ROW + "2,Smith, John,2026-01-05,10.00,EUR\n3,C1,2026-01-05,1.00,EUR,,\n")
    case.run()
    assert [row[0] for row in loaded(case)] == ["1", "3"]
    assert case.refused()[0][1].startswith("too many columns: 6 where the header has 5")


def test_an_extract_writes_its_parts_then_its_manifest(home: Settings) -> None:
    case = invoice_files(home, ROW + "2,C1,x,1.00,EUR\n")
    manifest = case.extract()["invoices"]
    folder = home.landing / "erp" / "invoices" / f"run-{DAY}"
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json", "part-00000.parquet", "refused-00000.parquet",
    ]  # fmt: skip
    assert manifest.control_totals == {"EUR": "10.0000"}
    assert manifest.source_columns == tuple(INVOICES.strip().split(","))
    assert pq.read_schema(folder / "refused-00000.parquet").names == ["key", "reason", "payload", "location"]


def test_a_large_file_is_cut_into_parts(home: Settings) -> None:
    case = invoice_files(home)
    rows = "".join(f"{number},C1,2026-01-05,0.01,EUR\n" for number in range(BATCH_ROWS + 5))
    case.data("invoices.csv", INVOICES + rows)
    manifest = case.extract()["invoices"]
    assert [part.rows for part in manifest.parts] == [BATCH_ROWS, 5]
    assert manifest.control_totals == {"EUR": "1000.0500"}


def test_many_small_files_share_a_part(home: Settings) -> None:
    case = invoice_files(home)
    case.file.write_text("kind: files\nentities:\n  invoices: {path: 'in/*.csv'}\n")
    for number in range(5):
        case.data(f"in/{number}.csv", INVOICES + ROW.replace("1,", f"{number},", 1))
    assert len(case.extract()["invoices"].parts) == 1


def test_checking_a_source_reports_columns_rows_and_first_problems(home: Settings) -> None:
    invoice_files(home, ROW + "2,C1,x,1.00,EUR\n", extra="    columns: {due_date: {from_terms: 30}}\n")
    report = check_source(home, "erp")
    (entity,) = report.entities
    assert not report.is_ok
    assert entity.columns["due_date"] == "invoice_date + 30 days"
    assert (entity.rows, entity.refused, entity.is_partial) == (2, 1, False)
    assert entity.problems == (("invoices.csv:3", "invoice_date: 'x' is not a date of the form %Y-%m-%d"),)
    assert not home.home.exists()


def test_checking_a_source_reports_what_is_missing(home: Settings) -> None:
    case = invoice_files(home, ROW)
    case.data("invoices.csv", "invoice_id,amount\n")
    (entity,) = check_source(home, "erp").entities
    assert "nothing gives customer_id" in str(entity.error)
