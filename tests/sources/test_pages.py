"""Every kind of source has a page that says what it reads, and whose examples are right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from receivables.settings import Settings
from receivables.sources import load_source
from receivables.sources.kinds import KINDS
from tests.conftest import PROJECT

DOCS = PROJECT / "docs"
PAGES = {
    "files": "sources.md",
    "sql": "sources.md",
    "erpnext": "sources/erpnext.md",
    "odoo": "sources/odoo.md",
    "fxiaoke": "sources/fxiaoke.md",
    "kingdee": "sources/kingdee.md",
    "yonbip": "sources/yonbip.md",
    "zoho_books": "sources/zoho.md",
    "zoho_crm": "sources/zoho.md",
    "extracts": "extracts.md",
    "ecb": "exchange-rates.md",
    "bank_statements": "bank-statements.md",
}
# What a page has to speak of, whatever it calls its sections.
SUBJECTS = {
    "what it reads": r"[Ww]hat it reads|[Rr]eads |Tables:|What a rate is|Ten minutes",
    "the rights it needs": r"[Rr]ights|user needs|authorisation|permission|No account and no key",
    "its settings": r"\| setting \|",
    "its limits": r"[Ll]imits|cannot",
    "how removals are seen": r"[Rr]emov|tombstone",
}


def examples() -> Iterator[tuple[Path, int, str]]:
    """Every whole source file among the docs' YAML blocks: the page, the line and the text."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(r"^( *)```yaml\n(.*?)^ *```", text, re.S | re.M):
            lines = [line.removeprefix(block[1]) for line in block[2].splitlines()]
            if any(re.match(r"kind: \w", line) for line in lines):
                yield page, text.count("\n", 0, block.start()) + 1, "\n".join(lines) + "\n"


EXAMPLES = [
    pytest.param(page, text, id=f"{page.relative_to(DOCS)}:{line}") for page, line, text in examples()
]


def test_every_kind_has_a_page() -> None:
    assert set(PAGES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_a_kind_shows_a_source_file_of_it(kind: str) -> None:
    shown = [text for page, _, text in examples() if page == DOCS / PAGES[kind]]
    assert any(re.search(rf"^kind: {kind}$|^kind: {kind} ", text, re.M) for text in shown)


@pytest.mark.parametrize("page", sorted(set(PAGES.values())))
@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_page_of_a_kind_speaks_of(page: str, subject: str) -> None:
    assert re.search(SUBJECTS[subject], (DOCS / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("page", "text"), EXAMPLES)
def test_an_example_is_a_source_file_that_is_accepted(page: Path, text: str, home: Settings) -> None:
    file = home.sources_dir / "example.yml"
    file.write_text(text, encoding="utf-8")
    assert load_source(file).kind in KINDS
