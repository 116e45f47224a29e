"""What every connector must do, whatever it reads from. A new kind is one line in test_conformance.py."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from receivables.company import load_company_config
from receivables.entities import ENTITIES, Entity
from receivables.errors import ConfigError, ReceivablesError
from receivables.sources import open_connector
from receivables.sources.base import SourceBatch, Window
from receivables.sources.config import IncrementalEntity
from receivables.sources.mapping import EntityMapping
from tests.sources.setup import Case

Row = dict[str, Any]
# Kinds whose subjects need a database server: tests/databases/test_conformance.py judges them.
WITH_SERVERS = ("erpnext", "odoo")
FAR = datetime(2190, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Subject:
    """A source to judge, with rows in every entity.

    `variables` are the environment variables that it needs, all of which are set; `secrets` are those of
    them whose values must appear nowhere.
    """

    case: Case
    variables: tuple[str, ...]
    secrets: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tools:
    """What a rule may use beside its subject."""

    monkeypatch: pytest.MonkeyPatch
    log: pytest.LogCaptureFixture


def _batches(subject: Subject, entity: str, window: Window) -> list[SourceBatch]:
    with open_connector(subject.case.source, subject.case.settings) as connector:
        return list(connector.read(entity, window))


def _rows(subject: Subject, entity: str, batches: list[SourceBatch], *, keys_only: bool = False) -> list[Row]:
    """Canonical rows; with `keys_only` the key columns alone."""
    whole = ENTITIES[entity]
    chosen = Entity(whole.name, whole.key, tuple(whole.column(name) for name in whole.key))
    minor_units = load_company_config(subject.case.settings).minor_units
    mapping = EntityMapping(subject.case.source, chosen if keys_only else whole, minor_units=minor_units)
    with closing(mapping):
        done = [mapping.map(batch) for batch in batches]
    refused = [row for one in done for row in one.refused.to_pylist()]
    assert refused == [], f"{entity}: rows are refused"
    return [row for one in done for row in one.good.drop_columns(["_file", "_row"]).to_pylist()]


def _read(subject: Subject, entity: str, *, start: datetime | None = None, end: datetime = FAR) -> list[Row]:
    return _rows(subject, entity, _batches(subject, entity, Window(start, end)))


def _keys(entity: str, rows: list[Row]) -> set[tuple[Any, ...]]:
    return {tuple(row[name] for name in ENTITIES[entity].key) for row in rows}


def _incremental(subject: Subject) -> list[str]:
    configs = subject.case.source.entity_configs
    return [
        name
        for name, config in configs.items()
        if isinstance(config, IncrementalEntity)
        and config.mode == "incremental"
        and "updated_at" in ENTITIES[name].column_names
    ]


# --- the rules ---


def describe_names_every_column_that_read_gives(subject: Subject, tools: Tools) -> None:
    for entity in subject.case.source.entity_configs:
        with open_connector(subject.case.source, subject.case.settings) as connector:
            columns = connector.describe(entity)
            batches = list(connector.read(entity, Window(None, FAR)))
        assert batches, f"{entity}: the subject has no rows, so nothing is judged"
        assert len(columns) == len(set(columns))
        for batch in batches:
            assert set(batch.table.column_names) <= set(columns), entity
            assert len(batch.rows) == batch.table.num_rows


def reading_twice_gives_the_same_rows(subject: Subject, tools: Tools) -> None:
    for entity in subject.case.source.entity_configs:
        first, second = _read(subject, entity), _read(subject, entity)
        assert first
        assert sorted(map(str, first)) == sorted(map(str, second)), entity


def a_window_holds_its_start_and_not_its_end(subject: Subject, tools: Tools) -> None:
    for entity in _incremental(subject):
        whole = _read(subject, entity)
        moments = sorted({row["updated_at"] for row in whole if row["updated_at"]})
        assert moments, f"{entity}: no row says when it changed"
        middle = moments[len(moments) // 2]
        at = middle.replace(tzinfo=UTC)
        left, right = _read(subject, entity, end=at), _read(subject, entity, start=at)
        assert all(row["updated_at"] is None or row["updated_at"] < middle for row in left), entity
        changed = [row for row in whole if row["updated_at"] and row["updated_at"] >= middle]
        assert _keys(entity, changed) <= _keys(entity, right), entity
        assert _keys(entity, left) | _keys(entity, right) == _keys(entity, whole), entity


def windows_that_overlap_repeat_rows(subject: Subject, tools: Tools) -> None:
    for entity in _incremental(subject):
        whole = _read(subject, entity)
        moments = sorted({row["updated_at"] for row in whole if row["updated_at"]})
        late = _read(subject, entity, start=moments[-1].replace(tzinfo=UTC))
        early = _read(subject, entity, start=moments[0].replace(tzinfo=UTC))
        assert late
        assert {str(row) for row in late} <= {str(row) for row in early}, entity


def a_sweep_gives_every_key_that_is_there(subject: Subject, tools: Tools) -> None:
    for entity, config in subject.case.source.entity_configs.items():
        if isinstance(config, IncrementalEntity) and not (config.sweep or config.full_every):
            continue
        with open_connector(subject.case.source, subject.case.settings) as connector:
            swept = list(connector.sweep(entity))
        keys = _keys(entity, _rows(subject, entity, swept, keys_only=True))
        assert keys == _keys(entity, _read(subject, entity)), entity


def every_missing_variable_is_named_at_once(subject: Subject, tools: Tools) -> None:
    for name in subject.variables:
        tools.monkeypatch.delenv(name)
    entity = next(iter(subject.case.source.entity_configs))
    with pytest.raises(ConfigError) as caught:
        _batches(subject, entity, Window(None, FAR))
    assert [name for name in subject.variables if name not in str(caught.value)] == []


def no_secret_is_in_an_error_or_a_log(subject: Subject, tools: Tools) -> None:
    tools.log.set_level(logging.DEBUG)
    entity = next(iter(subject.case.source.entity_configs))
    _read(subject, entity)
    wrong = {name: f"{value}-is-wrong" for name, value in subject.secrets.items()}
    for name in subject.variables:
        tools.monkeypatch.setenv(name, wrong.get(name, "/nowhere/is-wrong"))
    with pytest.raises(ReceivablesError) as caught:
        _batches(subject, entity, Window(None, FAR))
    said = f"{caught.value}\n{tools.log.text}"
    assert [name for name, value in subject.secrets.items() if value in said] == []
    assert caught.value.next_step
    assert caught.value.__cause__ is None or not any(
        value in str(caught.value.__cause__) for value in subject.secrets.values()
    )


RULES: tuple[Callable[[Subject, Tools], None], ...] = (
    describe_names_every_column_that_read_gives,
    reading_twice_gives_the_same_rows,
    a_window_holds_its_start_and_not_its_end,
    windows_that_overlap_repeat_rows,
    a_sweep_gives_every_key_that_is_there,
    every_missing_variable_is_named_at_once,
    no_secret_is_in_an_error_or_a_log,
)
