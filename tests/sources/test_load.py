"""Raw holds versions of changed rows; a rerun changes nothing; what is refused waits in quarantine."""

# ruff: noqa: E501 (queries are easier to compare uncut)

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from receivables import landing
from receivables.errors import PermanentError
from receivables.settings import Settings
from tests.sources.setup import DAY, INVOICES, Case, invoice_files, write_source

NEXT = DAY + timedelta(days=1)
RECORDED = "invoice_id,customer_id,invoice_date,amount,currency_code,created_at,updated_at\n"


def versions(case: Case) -> list[tuple[object, ...]]:
    return case.query(
        "select _row_key, _version, amount, _is_removed, _known_on, _loaded_on from raw_erp.invoices"
        " order by _row_key, _version"
    )


def raw_hash(case: Case) -> object:
    """One hash over every stored value of raw."""
    tables = case.query(
        "select table_schema || '.' || table_name from information_schema.tables where table_schema like 'raw_%'"
    )
    return [
        case.query(
            f"select '{table}', md5(string_agg(t::varchar, chr(10) order by t::varchar)) from {table} t"
        )
        for (table,) in sorted(tables)
    ]


def test_a_new_row_is_version_one_and_a_changed_row_is_the_next_version(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n2,C1,2026-01-06,20.00,EUR\n")
    first = case.run()
    case.data("invoices.csv", INVOICES + "1,C1,2026-01-05,10.00,EUR\n2,C1,2026-01-06,25.00,EUR\n")
    second = case.run(NEXT)
    assert [(row[0], row[1], str(row[2])) for row in versions(case)] == [
        ("1", 1, "10.0000"), ("2", 1, "20.0000"), ("2", 2, "25.0000"),
    ]  # fmt: skip
    assert (first.entities[0].new, first.entities[0].changed) == (2, 0)
    assert (second.entities[0].new, second.entities[0].changed, second.entities[0].unchanged) == (0, 1, 1)


def test_a_rerun_of_a_day_changes_nothing_in_raw(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n2,C1,2026-01-06,20.00,EUR\n")
    case.run()
    case.data("invoices.csv", INVOICES + "1,C1,2026-01-05,11.00,EUR\n3,C1,2026-01-06,30.00,EUR\n")
    case.run(NEXT)
    before, loads = (
        raw_hash(case),
        case.query("select * exclude (started_at, finished_at) from quality.loads"),
    )
    case.run(NEXT)
    assert raw_hash(case) == before
    assert case.query("select * exclude (started_at, finished_at) from quality.loads") == loads
    case.run(NEXT, run="another-run-of-the-day")
    case.run(DAY, run="an-old-day-again")
    assert raw_hash(case) == before


def test_a_row_that_a_full_extract_no_longer_holds_gets_a_tombstone_and_may_come_back(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n2,C1,2026-01-06,20.00,EUR\n")
    case.run()
    case.data("invoices.csv", INVOICES + "1,C1,2026-01-05,10.00,EUR\n")
    report = case.run(NEXT)
    assert report.entities[0].removed == 1
    assert [row[3] for row in versions(case) if row[0] == "2"] == [False, True]
    case.data("invoices.csv", INVOICES + "1,C1,2026-01-05,10.00,EUR\n2,C1,2026-01-06,20.00,EUR\n")
    case.run(NEXT + timedelta(days=1))
    assert [(row[1], row[3]) for row in versions(case) if row[0] == "2"] == [
        (1, False),
        (2, True),
        (3, False),
    ]


def test_known_on_is_the_day_the_source_recorded_the_row_but_never_after_the_load(home: Settings) -> None:
    case = invoice_files(home, top="timezone: Asia/Shanghai\n")
    case.data(
        "invoices.csv",
        RECORDED
        + "1,C1,2026-01-05,10.00,EUR,2026-01-05T23:30:00Z,\n"  # already the 6th in Shanghai
        + "2,C1,2026-01-05,10.00,EUR,,2026-01-07 08:00:00\n"
        + "3,C1,2026-01-05,10.00,EUR,,\n"
        + "4,C1,2026-01-05,10.00,EUR,,2026-03-09 08:00:00\n",
    )
    case.run()
    known = {row[0]: row[4] for row in versions(case)}
    assert known == {"1": date(2026, 1, 6), "2": date(2026, 1, 7), "3": DAY, "4": DAY}


def test_a_later_version_is_known_from_the_day_of_its_load(home: Settings) -> None:
    case = invoice_files(home)
    case.data(
        "invoices.csv", RECORDED + "1,C1,2026-01-05,10.00,EUR,2026-01-05 10:00:00,2026-01-05 10:00:00\n"
    )
    case.run()
    case.data(
        "invoices.csv", RECORDED + "1,C1,2026-01-05,12.00,EUR,2026-01-05 10:00:00,2026-03-03 09:00:00\n"
    )
    case.run(NEXT)
    assert [(row[1], row[4], row[5]) for row in versions(case)] == [
        (1, date(2026, 1, 5), DAY),
        (2, NEXT, NEXT),
    ]


def test_what_a_rerun_of_a_past_day_brings_was_not_known_on_that_day(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n")
    case.run(NEXT)
    case.data("invoices.csv", INVOICES + "1,C1,2026-01-05,10.00,EUR\n2,C1,2026-01-05,20.00,EUR\n")
    case.run(DAY)
    assert versions(case)[1][4:] == (NEXT, NEXT)


def test_a_row_recorded_after_the_business_day_waits_for_its_day(home: Settings) -> None:
    case = invoice_files(home)
    case.data(
        "invoices.csv",
        RECORDED
        + "1,C1,2026-01-05,10.00,EUR,2026-01-05 10:00:00,\n"
        + "2,C1,2026-03-03,20.00,EUR,2026-03-03 00:00:00,\n",
    )
    report = case.run(DAY)
    assert [row[0] for row in versions(case)] == ["1"]
    assert report.entities[0].message == f"1 rows were recorded after {DAY} and wait for their day"
    case.run(NEXT)
    assert [(row[0], row[4]) for row in versions(case)] == [("1", date(2026, 1, 5)), ("2", NEXT)]
    case.run(DAY, run="again")
    assert not any(row[3] for row in versions(case))


def test_an_identical_copy_loads_once_and_the_copy_is_in_quarantine(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n" * 3)
    report = case.run().entities[0]
    assert (report.rows, report.new, report.refused) == (3, 1, 2)
    assert len(versions(case)) == 1
    assert [(row[0], row[1][:9]) for row in case.refused()] == [("1", "duplicate")]


def test_of_conflicting_rows_the_newest_wins(home: Settings) -> None:
    case = invoice_files(home)
    case.data(
        "invoices.csv",
        RECORDED
        + "1,C1,2026-01-05,10.00,EUR,,2026-01-05 10:00:00\n"
        + "1,C1,2026-01-05,12.00,EUR,,2026-01-06 10:00:00\n",
    )
    case.run()
    assert [str(row[2]) for row in versions(case)] == ["12.0000"]
    assert [(row[0], row[2]) for row in case.refused()] == [("1", "invoices.csv:2")]
    assert "newer updated_at" in case.refused()[0][1]


def test_conflicting_rows_without_a_newest_are_all_refused_and_the_earlier_version_stays(
    home: Settings,
) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n")
    case.run()
    case.data("invoices.csv", INVOICES + "1,C1,2026-01-05,10.00,EUR\n1,C1,2026-01-05,12.00,EUR\n")
    case.run(NEXT)
    assert [(str(row[2]), row[3]) for row in versions(case)] == [("10.0000", False)]
    assert [row[2] for row in case.refused()] == ["invoices.csv:2", "invoices.csv:3"]


def test_rows_that_repeat_by_design_leave_no_trace_in_quarantine(home: Settings) -> None:
    case = write_source(
        home,
        """
        kind: files
        entities:
          customers:
            path: list.csv
            distinct: true
            columns: {customer_id: who}
        """,
    )
    case.data("list.csv", "no,who\n1,C1\n2,C1\n3,C2\n")
    report = case.run()
    assert (report.entities[0].new, report.refused, case.refused()) == (2, 0, [])


def test_a_refused_row_is_in_quarantine_until_it_arrives_in_order(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,ten,EUR\n2,C1,2026-01-06,20.00,EUR\n")
    case.run()
    assert case.refused() == [("1", "amount: 'ten' is not a number", "invoices.csv:2", False)]
    assert [row[0] for row in versions(case)] == ["2"]
    case.run(NEXT)
    seen = case.query("select first_seen_on, last_seen_on from quality.quarantined_rows")
    assert seen == [(DAY, NEXT)]
    case.data("invoices.csv", INVOICES + "1,C1,2026-01-05,10.00,EUR\n2,C1,2026-01-06,20.00,EUR\n")
    case.run(NEXT + timedelta(days=1))
    assert [row[3] for row in case.refused()] == [True]


def test_a_row_that_arrives_refused_is_not_removed(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n2,C1,2026-01-06,20.00,EUR\n")
    case.run()
    case.data("invoices.csv", INVOICES + "1,C1,2026-01-05,?,EUR\n2,C1,2026-01-06,20.00,EUR\n")
    case.run(NEXT)
    assert [row[3] for row in versions(case)] == [False, False]


def test_nothing_is_removed_while_a_row_is_unreadable(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n2,C1,2026-01-06,20.00,EUR\n")
    case.run()
    case.data("invoices.csv", INVOICES + "1,C1,2026-01-05,10.00,EUR\n2,C1,20")
    report = case.run(NEXT)
    assert not any(row[3] for row in versions(case))
    assert "1 rows that did not arrive were kept" in (report.entities[0].message or "")
    assert case.refused()[0][1].startswith("too few columns: 3 where the header has 5")


def test_an_empty_full_extract_is_refused_unless_it_is_allowed(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n")
    case.run()
    case.data("invoices.csv", INVOICES)
    with pytest.raises(PermanentError, match="the extract is empty, but the warehouse holds 1 rows"):
        case.run(NEXT)
    case.file.write_text(case.file.read_text() + "    allow_empty: true\n")
    assert case.run(NEXT).entities[0].removed == 1


def test_the_load_itself_refuses_to_remove_everything(home: Settings) -> None:
    case = invoice_files(home)
    case.extract(NEXT)  # empty, while nothing was held
    case.data("invoices.csv", INVOICES + "1,C1,2026-01-05,10.00,EUR\n")
    case.run(DAY)
    from receivables.load import load

    with pytest.raises(PermanentError, match="loading it would remove all of them"):
        load(case.settings, case.source, NEXT, f"run-{NEXT}")


def test_an_extract_without_manifest_is_not_loaded(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n")
    case.extract()
    folder = landing.extract_folder(home, source="erp", entity="invoices", run=f"run-{DAY}")
    (folder / landing.MANIFEST).unlink()
    from receivables.load import load

    with pytest.raises(PermanentError, match="there is no whole extract of invoices"):
        load(home, case.source, DAY, f"run-{DAY}")


@pytest.mark.parametrize("fault", ["missing", "changed", "damaged manifest"])
def test_a_part_that_is_not_what_the_manifest_says_is_not_loaded(home: Settings, fault: str) -> None:
    from receivables.load import load

    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n")
    case.extract()
    folder = landing.extract_folder(home, source="erp", entity="invoices", run=f"run-{DAY}")
    part = folder / "part-00000.parquet"
    if fault == "missing":
        part.unlink()
    elif fault == "changed":
        part.write_bytes(part.read_bytes() + b"x")
    else:
        (folder / landing.MANIFEST).write_text("{")
    words = {"missing": "is missing", "changed": "checksum differs", "damaged manifest": "is damaged"}
    with pytest.raises(PermanentError, match=words[fault]):
        load(home, case.source, DAY, f"run-{DAY}")
    assert not home.warehouse.exists()


def test_a_load_that_fails_in_one_entity_loads_none(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from receivables import load as loading

    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n")
    case.extract()

    def fail(self: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(loading._Load, "_quarantine", fail)
    with pytest.raises(OSError, match="disk full"):
        loading.load(home, case.source, DAY, f"run-{DAY}")
    monkeypatch.undo()
    loading.load(home, case.source, DAY, f"run-{DAY}")
    assert len(versions(case)) == 1


def test_a_warehouse_that_cannot_be_written_says_so(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n")
    home.warehouse.mkdir(parents=True)  # a folder in the file's place: not even root can write it
    with pytest.raises(PermanentError, match=r"cannot be opened .* give this user read and write rights"):
        case.run()


def test_every_entity_has_a_table_and_a_view_over_all_sources(home: Settings) -> None:
    invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n")
    other = write_source(home, "kind: files\nentities:\n  receipts: {path: receipts.csv}\n", name="bank")
    other.data("receipts.csv", "receipt_id,customer_id,receipt_date,amount\nR1,C1,2026-01-09,5.00\n")
    Case(home, "erp").run()
    other.run()
    assert other.query("select _source, invoice_id from raw.invoices") == [("erp", "1")]
    assert other.query("select _source, receipt_id from raw.receipts") == [("bank", "R1")]
    assert other.query("select count(*) from raw.gl_balances") == [(0,)]


def test_the_settings_tables_hold_what_the_files_say(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n", top="allocation: pro_rata\n")
    case.run()
    assert case.query("select * from settings.sources") == [("erp", "pro_rata", "HD-EU", "EUR")]
    assert case.query("select * from settings.policies") == [("EUR", 92)]
    assert case.query("select company_id, timezone from settings.companies order by 1") == [
        ("HD-CN", "Asia/Shanghai"), ("HD-EU", "Europe/Berlin"),
    ]  # fmt: skip
    assert case.query("select minor_unit from settings.currencies where currency_code in ('JPY', 'KWD') order by 1") == [
        (0,), (3,),
    ]  # fmt: skip
    assert case.query("select aging_bucket, min_days, max_days from settings.aging_buckets order by position") == [
        ("not_due", None, 0), ("1-30", 1, 30), ("31-60", 31, 60), ("61-90", 61, 90), ("91-120", 91, 120),
        ("121+", 121, None),
    ]  # fmt: skip


def test_new_and_lost_source_columns_are_noted(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n")
    case.run()
    case.data("invoices.csv", "invoice_id,customer_id,invoice_date,amount,branch\n1,C1,2026-01-05,10.00,x\n")
    note = case.run(NEXT).entities[0].message
    assert note == "new columns in the source: branch; columns gone from the source: currency_code"
    assert case.query("select message from quality.loads order by as_of_date") == [(None,), (note,)]


def test_the_record_of_a_load_has_rows_totals_and_window(home: Settings) -> None:
    case = invoice_files(
        home, "1,C1,2026-01-05,10.10,EUR\n2,C1,2026-01-06,20.20,USD\n3,C1,2026-01-06,x,USD\n"
    )
    case.run()
    assert case.query(
        "select source, entity, run, as_of_date, mode, rows, rows_new, rows_refused, control_totals, window_to, status"
        " from quality.loads"
    )[0][:9] == (
        "erp", "invoices", f"run-{DAY}", DAY, "full", 3, 2, 1, '{"EUR": "10.1000", "USD": "20.2000"}',
    )  # fmt: skip


def test_old_extracts_are_pruned_and_the_newest_stay(home: Settings) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n")
    for number in range(12):
        case.run(DAY + timedelta(days=number))
    kept = sorted(path.name for path in (home.landing / "erp" / "invoices").iterdir())
    assert len(kept) == 10
    assert kept[-1] == f"run-{DAY + timedelta(days=11)}"


def test_a_source_file_changes_nothing_outside_the_home(home: Settings, tmp_path: Path) -> None:
    case = invoice_files(home, "1,C1,2026-01-05,10.00,EUR\n")
    case.run()
    assert {path.name for path in home.home.iterdir()} == {"landing", "warehouse"}
    assert {path.name for path in tmp_path.iterdir()} == {"sources", "home", "receivables.yml"}
