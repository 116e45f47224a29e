"""A company changes the rule book in YAML; every mistake names the file, the line and the fix."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from receivables.checks import CheckResult, data_docs, runner
from receivables.checks.suites import CanonicalScope, MartsScope, RawScope, Suite
from receivables.errors import ConfigError
from receivables.settings import PACKAGE_DIR, Settings
from receivables.warehouse import reading
from tests.checks import marts_fixture

ROOT = PACKAGE_DIR.parent.parent
DAY = marts_fixture.DAY
MARTS = MartsScope(day=DAY, run="r", companies=("A",))
RAW = RawScope(day=DAY, run="r", source="erp", loaded={"invoices": ("l",)})

OWN_RULE = """
rules:
  - name: an_item_is_not_small
    suite: marts.ar_open_items
    sql: |
      select open_item_id, open_amount from {batch} where abs(open_amount) < 40
    says: No open item is below 40.
    note: Dunning costs more than it brings.
    severity: warning
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The rule book, with an empty `custom/`."""
    copy = tmp_path / "expectations"
    copy.mkdir()
    for file in (ROOT / "expectations").glob("*.*"):
        shutil.copy(file, copy)
    (copy / "custom").mkdir()
    return copy


def write(folder: Path, text: str, name: str = "acme.yml") -> Path:
    path = folder / "custom" / name
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return marts_fixture.build(tmp_path_factory.mktemp("marts") / "receivables.duckdb")


def check(folder: Path, database: Path, *names: str) -> dict[str, CheckResult]:
    """The results of the named checks on the company of the fixture."""
    suites = chosen(runner.load_suites(folder, "marts", MARTS), names)
    with reading(database) as connection:
        context = data_docs.context(folder.parent / "data_docs")
        results = runner.evaluate(context, connection, database, suites, run="r")
    return {f"{result.suite}.{result.check}": result for result in results}


def chosen(suites: Sequence[Suite], names: Sequence[str]) -> list[Suite]:
    kept = []
    for suite in suites:
        rules = tuple(rule for rule in suite.rules if f"{suite.name}.{rule.name}" in names)
        if rules:
            kept.append(Suite(suite.name, suite.query, rules, suite.key))
    return kept


def find(suites: Sequence[Suite], name: str) -> object:
    return next(rule for suite in suites for rule in suite.rules if f"{suite.name}.{rule.name}" == name)


def test_without_files_the_rule_book_is_as_it_comes(folder: Path) -> None:
    before = runner.load_suites(ROOT / "expectations", "marts", MARTS)
    after = runner.load_suites(folder, "marts", MARTS)
    names = [[rule.name for rule in suite.rules] for suite in before]
    assert [[rule.name for rule in suite.rules] for suite in after] == names


def test_a_severity_is_changed_also_for_many_checks_at_once(folder: Path) -> None:
    write(folder, 'tune:\n  - {check: "raw.*.*.*_is_believable", severity: critical, owner: Ms Chen}\n')
    suites = runner.load_suites(folder, "raw", RAW)
    changed = [rule for suite in suites for rule in suite.rules if rule.name.endswith("_is_believable")]
    assert len(changed) >= 3
    assert {(rule.severity, rule.owner) for rule in changed} == {("critical", "Ms Chen")}
    assert all(rule.expectation.severity.value == "critical" for rule in changed)


def test_a_check_that_is_switched_off_is_recorded_with_its_reason(folder: Path, database: Path) -> None:
    name = "marts.ar_open_items.a_rate_was_found"
    write(folder, f"tune:\n  - check: {name}\n    off: our dollar rates come next year\n")
    result = check(folder, database, name)[name]
    assert result.success
    assert result.observed == "switched off: our dollar rates come next year (acme.yml)"


def test_a_threshold_is_changed(folder: Path, database: Path) -> None:
    write(folder, "thresholds: {dominates: 0.25, few_items: 2}\n")
    name = "marts.ar_open_items.no_item_dominates"
    result = check(folder, database, name)[name]
    assert not result.success and "25%" in result.sentence


def test_a_rule_of_its_own_finds_its_rows(folder: Path, database: Path) -> None:
    write(folder, OWN_RULE)
    result = check(folder, database, "marts.ar_open_items.an_item_is_not_small")
    found = result["marts.ar_open_items.an_item_is_not_small"]
    assert (found.success, found.severity, found.rows_failed) == (False, "warning", 1)
    assert found.examples == ({"open_item_id": "r2", "open_amount": "-30.00"},)


@pytest.mark.parametrize(
    ("demand", "failing"),
    [
        ("not_null: true", 0),
        ("unique: true", 5),
        ("one_of: [CNY]", 1),
        ("matches: '[A-Z]{2}'", 6),
        ("one_of: [CNY]\n    where: customer_id = 'c1'", 0),
    ],
)
def test_a_column_has_to_be_something(folder: Path, database: Path, demand: str, failing: int) -> None:
    write(folder, own(f"column: currency_code\n    {demand}"))
    result = check(folder, database, "marts.ar_open_items.own")["marts.ar_open_items.own"]
    assert (result.rows_failed, result.success) == (failing, failing == 0)
    assert all(set(row) == {"open_item_id", "currency_code"} for row in result.examples)


def test_a_column_has_limits(folder: Path, database: Path) -> None:
    write(folder, own("column: open_amount\n    at_least: -40\n    at_most: 500.5"))
    result = check(folder, database, "marts.ar_open_items.own")["marts.ar_open_items.own"]
    assert {row["open_item_id"] for row in result.examples} == {"cm1", "inv1:1"}


def test_a_mart_without_a_suite_gets_one(folder: Path, database: Path) -> None:
    write(folder, own("column: segment\n    one_of: [retail]", suite="marts.dim_customers"))
    result = check(folder, database, "marts.dim_customers.own")["marts.dim_customers.own"]
    assert result.rows_failed == 1


def test_a_rule_counts_for_every_source(folder: Path) -> None:
    write(folder, own("column: salesperson\n    not_null: true", suite='"raw.*.invoices"'))
    assert find(runner.load_suites(folder, "raw", RAW), "raw.erp.invoices.own")
    other = RawScope(day=DAY, run="r", source="erp", loaded={"receipts": ("l",)})
    names = {rule.name for suite in runner.load_suites(folder, "raw", other) for rule in suite.rules}
    assert "own" not in names  # no invoices today


def test_names_of_people_are_not_shown(folder: Path) -> None:
    write(folder, own("column: email\n    not_null: true", suite="canonical.customers"))
    scope = CanonicalScope(day=DAY, run="r", entities=frozenset({"customers"}))
    rule = find(runner.load_suites(folder, "canonical", scope), "canonical.customers.own")
    shown = rule.expectation.unexpected_rows_query.partition("from")[0]  # type: ignore[attr-defined]
    assert "_row_key" in shown and "email" not in shown


def own(body: str, *, suite: str = "marts.ar_open_items") -> str:
    return (
        f"rules:\n  - name: own\n    suite: {suite}\n    {body}\n    severity: info\n"
        "    says: The rule of the company.\n    note: It means something to them.\n"
    )


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("tune:\n  - check: marts.ar_open_items.no_item_dominate\n    severity: info\n", 2, "did you mean"),
        ("tune:\n  - check: marts.ar_dso.*\n", 2, "changes nothing"),
        ("tune:\n  - check: marts.ar_dso.*\n    off: no\n", 3, "at least 10 characters"),
        ("tune:\n  - check: marts.ar_dso.*\n    severity: fatal\n", 3, "'critical', 'warning' or 'info'"),
        ("tune:\n  - check: marts.ar_dso.*\n    sevrity: info\n", 3, "did you mean 'severity'"),
        ("thresholds:\n  gl_tolerance: 5\n", 2, "did you mean 'gl_tolerance_"),
        ("thresholds:\n  fresh_days: 2.5\n", 2, "is a whole number from 0 on, not 2.5"),
        (own("sql: delete from marts.ar_dso"), 4, "one select"),
        (own("sql: select 1 from {batch}; select 2"), 4, "one select"),
        (own("sql: select open_item_id form {batch} wher"), 4, "is not SQL"),
        (own("column: open_amount"), 2, "says not what the column must be"),
        (own("column: open_amount\n    not_null: true\n    where: 1 = = 2"), 6, "is not SQL"),
        (own("not_null: true"), 2, "needs either `sql`, or `column`"),
        (
            own("sql: select 1 from {batch}", suite="marts.ar_open_items\n    nmae: x"),
            4,
            "did you mean 'name'",
        ),
        (OWN_RULE.replace("an_item_is_not_small", "an_item_appears_once"), 3, "has a rule named"),
        (OWN_RULE.replace("warning", "warning\n    says: again"), 10, "stands here and on line"),
    ],
)
def test_a_mistake_names_file_line_and_fix(folder: Path, text: str, line: int, said: str) -> None:
    path = write(folder, text)
    with pytest.raises(ConfigError) as wrong:
        runner.load_suites(folder, "marts", MARTS)
    assert f"{path}:{line}" in str(wrong.value)
    assert said in str(wrong.value)
    assert wrong.value.next_step


def test_an_unknown_suite_is_named(folder: Path) -> None:
    path = write(folder, own("column: salesperson\n    not_null: true", suite="raw.erp.invoice"))
    with pytest.raises(ConfigError, match=re.escape(f"{path}:3")) as wrong:
        runner.load_suites(folder, "raw", RAW)
    assert "did you mean 'raw.erp.invoices'" in str(wrong.value)


def test_the_example_of_the_documentation_works(folder: Path) -> None:
    text = (ROOT / "expectations" / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(# expectations/custom/acme\.yml\n.*?)```", text, re.DOTALL)
    assert example is not None
    write(folder, example[1])
    marts = runner.load_suites(folder, "marts", MARTS)
    canonical = runner.load_suites(
        folder, "canonical", CanonicalScope(day=DAY, run="r", entities=frozenset({"customers"}))
    )
    raw = runner.load_suites(folder, "raw", RAW)
    assert find(canonical, "canonical.customers.a_key_account_has_a_collector")
    assert find(marts, "marts.ar_open_items.no_item_of_a_closed_company")
    assert find(raw, "raw.erp.invoices.invoice_date_is_believable").severity == "critical"  # type: ignore[attr-defined]


def test_every_threshold_says_what_it_is_for(folder: Path) -> None:
    limits = runner.load_custom(folder).limits
    assert limits["gl_tolerance_amount"] == Decimal(1)
    code = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    for name in limits:
        assert f'"{name}"' in code, f"no rule reads {name}"


def test_the_doctor_finds_a_source_that_is_not_there(folder: Path, home: Settings) -> None:
    settings = replace(home, root=folder.parent)
    (home.sources_dir / "erp.yml").write_text("kind: files\nentities: {invoices: {path: x.csv}}\n")
    before = runner.count_rules(settings)
    assert before > 300
    path = write(folder, 'tune:\n  - {check: "raw.epr.loads.*", severity: info}\n')
    with pytest.raises(ConfigError, match=re.escape(f"{path}:2")) as wrong:
        runner.count_rules(settings)
    assert "did you mean 'erp'" in str(wrong.value)
    write(folder, OWN_RULE)
    assert runner.count_rules(settings) == before + 1
