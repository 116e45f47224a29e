"""What dbt knows of the project, read from its manifest: models, columns, contracts, tests, macros."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# SQL in which something is decided or combined; a model without any of it only passes columns on.
_LOGIC = re.compile(
    r"\b(join|case|over|where|group\s+by|having|union|distinct|coalesce|greatest|least|with\s+recursive)\b"
    r"|\{\{\s*(merge_known_intervals|fill_instalments|complete_sum|ratio|round_to_minor_unit)\b"
)
_COMMENT = re.compile(r"--[^\n]*|\{#.*?#\}", re.DOTALL)
_LITERAL = re.compile(r"'[^'\n]*'")


@dataclass(frozen=True)
class Model:
    """A model: where it is, what it reads, and what its YAML says."""

    name: str
    layer: str
    path: str
    sql: str
    description: str
    columns: dict[str, dict[str, Any]]
    has_contract: bool
    reads: tuple[str, ...] = field(repr=False)

    @property
    def has_logic(self) -> bool:
        return bool(_LOGIC.search(without_comments(self.sql)))

    def meta(self, column: str) -> dict[str, Any]:
        return self.columns[column]["meta"] or {}


@dataclass(frozen=True)
class Project:
    """The models by name, the source tables that they read, and the unit tests by the model they test."""

    models: dict[str, Model]
    unit_tests: dict[str, list[str]]
    singular_tests: dict[str, str]
    macros: dict[str, dict[str, Any]]

    def layer(self, *names: str) -> list[Model]:
        return [model for model in self.models.values() if model.layer in names]


def read_project(manifest: Path) -> Project:
    """Read the manifest that `dbt parse` wrote."""
    content = json.loads(manifest.read_text(encoding="utf-8"))
    nodes, sources = content["nodes"], content["sources"]
    models = {
        node["name"]: Model(
            name=node["name"],
            layer=node["fqn"][1],
            path=node["original_file_path"],
            sql=node["raw_code"],
            description=node["description"].strip(),
            columns=node["columns"],
            has_contract=node["contract"]["enforced"],
            reads=tuple(_read_name(name, nodes, sources) for name in node["depends_on"]["nodes"]),
        )
        for node in nodes.values()
        if node["resource_type"] == "model"
    }
    unit_tests: dict[str, list[str]] = {}
    for test in content["unit_tests"].values():
        unit_tests.setdefault(test["model"], []).append(test["name"])
    singular = {
        node["name"]: node["raw_code"]
        for node in nodes.values()
        if node["resource_type"] == "test" and node.get("test_metadata") is None
    }
    macros = {
        macro["name"]: macro
        for macro in content["macros"].values()
        if macro["package_name"] == "receivables" and macro["original_file_path"].startswith("macros/")
    }
    return Project(models, unit_tests, singular, macros)


def _read_name(unique_id: str, nodes: dict[str, Any], sources: dict[str, Any]) -> str:
    """`layer.name` of what a model reads: its folder, or the dbt source it is a table of."""
    if unique_id in sources:
        return f"{sources[unique_id]['source_name']}.{sources[unique_id]['name']}"
    return f"{nodes[unique_id]['fqn'][1]}.{nodes[unique_id]['name']}"


def without_comments(sql: str) -> str:
    """The SQL that is run: no comments of SQL or Jinja, no text literals."""
    return _LITERAL.sub("''", _COMMENT.sub(" ", sql))
