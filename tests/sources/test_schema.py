"""The JSON schemas for editors are current and agree with the models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from receivables.schemas import schema_text, schemas, write_schemas
from receivables.yamlfile import read_yaml
from tests.conftest import PROJECT

SOURCES = [*(PROJECT / "sources").glob("*.yml"), *(PROJECT / "tests" / "data_sources").glob("*.yml")]


def check(name: str, data: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(schemas()[name])
    return [error.message for error in validator.iter_errors(data)]


@pytest.mark.parametrize("name", sorted(schemas()))
def test_the_schema_in_docs_is_current(name: str) -> None:
    text = (PROJECT / "docs" / "schema" / name).read_text(encoding="utf-8")
    assert text == schema_text(schemas()[name]), "run `uv run python -m receivables.schemas`"


def test_writing_the_schemas_gives_the_same_files(tmp_path: Path) -> None:
    assert {path.name for path in write_schemas(tmp_path)} == set(schemas())
    assert all(json.loads((tmp_path / name).read_text()) == schema for name, schema in schemas().items())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_our_own_source_files_fit_the_schema(path: Path) -> None:
    assert check("source.schema.json", read_yaml(path).data) == []


def test_our_own_company_file_fits_the_schema() -> None:
    assert check("receivables.schema.json", read_yaml(PROJECT / "receivables.yml").data) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "files", "entities": {"invoice": {"path": "x"}}},
        {"kind": "files", "entities": {"invoices": {"path": "x", "columns": {"amout": "A"}}}},
        {"kind": "files", "entities": {"invoices": {"path": "x", "columns": {"amount": {"form": "A"}}}}},
        {"kind": "sql", "entities": {"invoices": {"table": "x"}}},
    ],
)
def test_the_schema_finds_what_the_model_would_refuse(wrong: dict[str, Any]) -> None:
    assert check("source.schema.json", wrong)
