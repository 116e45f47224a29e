"""The JSON schemas that let an editor complete and check the YAML files: `python -m receivables.schemas`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from receivables import company
from receivables.settings import Settings
from receivables.sources.kinds import source_schema


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by its file name in docs/schema/."""
    return {"receivables.schema.json": company.json_schema(), "source.schema.json": source_schema()}


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def write_schemas(folder: Path) -> list[Path]:
    """Write all schemas; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, schema in schemas().items():
        path = folder / name
        path.write_text(schema_text(schema), encoding="utf-8")
        paths.append(path)
    return paths


if __name__ == "__main__":
    write_schemas(Settings.load().root / "docs" / "schema")
