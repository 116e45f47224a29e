"""Whoever reads mails in Chinese reads every rule that can be mailed, and its consequence, in Chinese."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest

from receivables.alert_mail import Phrases
from receivables.alerts import FailedCheck
from receivables.checks import runner
from receivables.checks.suites import CanonicalScope, MartsScope, RawScope, Rule
from receivables.entities import ENTITIES
from receivables.settings import PACKAGE_DIR
from receivables.yamlfile import read_yaml
from tests.checks.marts_fixture import DAY

FOLDER = PACKAGE_DIR.parent.parent / "expectations"
CHINESE = read_yaml(FOLDER / "zh.yml").data


def rules() -> Iterator[tuple[str, Rule]]:
    everything = dict.fromkeys(ENTITIES, ("load",))
    currencies = {"invoices": ("EUR",)}
    scopes = {
        "raw": RawScope(day=DAY, run="r", source="erp", loaded=everything, currencies=currencies),
        "canonical": CanonicalScope(day=DAY, run="r", entities=frozenset(ENTITIES)),
        "marts": MartsScope(day=DAY, run="r", companies=("A",)),
    }
    nothing_loaded = RawScope(day=DAY, run="r", source="erp")
    for stage, scope in (*scopes.items(), ("raw", nothing_loaded)):
        for suite in runner.load_suites(FOLDER, stage, scope):  # type: ignore[arg-type]
            for rule in suite.rules:
                yield f"{suite.name}.{rule.name}", rule


RULES = dict(rules())


def test_every_rule_that_is_mailed_has_a_chinese_sentence_and_note() -> None:
    mailed = {name for name, rule in RULES.items() if rule.severity != "info"}
    missing = {name for name in mailed if not any(fnmatchcase(name, pattern) for pattern in CHINESE)}
    assert missing == set()
    assert all(set(texts) == {"says", "note"} and all(texts.values()) for texts in CHINESE.values())


def test_every_line_is_about_a_rule() -> None:
    known = {*RULES, "marts.ar_dso.the_table_can_be_read"}
    idle = {pattern for pattern in CHINESE if not any(fnmatchcase(name, pattern) for name in known)}
    assert idle == set()


@pytest.mark.parametrize(
    ("check", "note"),
    [
        ("raw.erp.invoices.amount_is_there", "该行无法归位：没有余额、账龄或客户。"),
        ("marts.ar_open_items.due_date_is_there", "该项从按此分组的报表中消失，合计因此不同。"),
        ("raw.erp.receipts.own_rule", "said in English"),
    ],
)
def test_the_mail_takes_the_line_that_fits(check: str, note: str) -> None:
    suite, _, name = check.rpartition(".")
    failed = FailedCheck(
        suite=suite,
        check=name,
        severity="warning",
        sentence="said in English",
        observed="1 row",
        expected="no row",
        note="said in English",
    )
    assert Phrases("zh", CHINESE).note(failed) == note
