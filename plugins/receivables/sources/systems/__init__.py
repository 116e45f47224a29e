"""What each system's own tables mean: one folder per system, a list of its tables and one query per entity.

`preset.yml` names the tables, the columns that are read and the options. `<entity>.sql` gives the canonical
columns of an entity as text; any other `.sql` file is a step that the queries share, named like the file.
`open_documents.sql` (company_id, amount) gives `gl_balances`: what the system itself says is open
at the end of `business_day`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from receivables.entities import ENTITIES
from receivables.sources.own_balance import ENTITY as OWN_BALANCE
from receivables.yamlfile import read_yaml

FOLDER = Path(__file__).resolve().parent
SYSTEMS = ("netsuite", "quickbooks", "sage_intacct", "sap", "stripe", "xero")
_RELATION = re.compile(r"(?<!distinct )\b(?:from|join)\s+([a-z_][a-z0-9_]*)")
_CTE = re.compile(r"\b([a-z_][a-z0-9_]*)\s+as\s*\(")
# A company has a balance when the amounts of all its documents are known.
_OWN_BALANCE = """
select
    company_id,
    cast(getvariable('business_day') as varchar) as balance_date,
    cast(sum(amount) as varchar) as balance_amount,
    '{system}' as account
from (
{open_documents}
) as open_documents
where company_id is not null
group by company_id
having count(*) = count(amount)
"""
_COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True)
class PresetTable:
    """One of the system's tables: its columns, and what becomes of the result without it."""

    name: str
    required_columns: tuple[str, ...]
    optional_columns: tuple[str, ...]
    is_required: bool
    unless: dict[str, str] = field(default_factory=dict)
    without: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.required_columns, *self.optional_columns)


@dataclass(frozen=True)
class PresetOption:
    """A choice that a source file may make. The default's type is the option's type."""

    default: Any
    description: str
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preset:
    """A system: its tables, its options and its queries (by name, entities and steps alike)."""

    system: str
    tables: dict[str, PresetTable]
    options: dict[str, PresetOption]
    queries: dict[str, str]

    @property
    def entities(self) -> tuple[str, ...]:
        return tuple(name for name in ENTITIES if name in self.queries)

    def with_queries(self, own: dict[str, str]) -> Preset:
        """The same with some queries replaced or added."""
        return Preset(self.system, self.tables, self.options, {**self.queries, **own})


def relations(query: str) -> tuple[str, ...]:
    """The tables and steps that a query reads, in order, each once."""
    bare = _COMMENT.sub("", query)
    own = set(_CTE.findall(bare))
    return tuple(name for name in dict.fromkeys(_RELATION.findall(bare)) if name not in own)


def read_queries(folder: Path) -> dict[str, str]:
    """The `.sql` files of a folder, by name."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql"))}


@cache
def load_preset(system: str) -> Preset:
    """The shipped preset of a system."""
    data = read_yaml(FOLDER / system / "preset.yml").data
    tables = {
        name: PresetTable(
            name=name,
            required_columns=tuple((given.get("required") or "").split()),
            optional_columns=tuple((given.get("optional") or "").split()),
            is_required=given.get("without") is None,
            unless=dict(given.get("unless") or {}),
            without=given.get("without") or "",
        )
        for name, given in data["tables"].items()
    }
    options = {
        name: PresetOption(given["default"], given["description"], tuple(given.get("one_of") or ()))
        for name, given in (data.get("options") or {}).items()
    }
    queries = read_queries(FOLDER / system)
    # Not a step: steps are made once, and this one is of the day that is asked for.
    open_documents = queries.pop("open_documents")
    queries[OWN_BALANCE] = _OWN_BALANCE.format(system=system, open_documents=open_documents)
    return Preset(system, tables, options, queries)
