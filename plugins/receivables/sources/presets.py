"""What a system calls the canonical columns, where installations differ: candidates, chosen by what is there.

A preset names, for each entity, the system's object and for each canonical column the fields that may hold
it, the likeliest first. A connector asks the system which fields it has, takes the first that exists, and
says which one it took. A `columns` line in the source file always wins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic_core import PydanticCustomError

from receivables.entities import ENTITIES
from receivables.errors import PermanentError
from receivables.sources.config import EntityConfig, SourceConfig
from receivables.yamlfile import did_you_mean

EntityModel = TypeVar("EntityModel", bound=EntityConfig)
Convert = Callable[[str | None], str | None]


@dataclass(frozen=True)
class Pick:
    """The fields that may hold one canonical column, and what makes its value of theirs."""

    candidates: tuple[str, ...]
    convert: Convert | None = None
    is_label: bool = False  # the text that people see, where the field holds a code


def pick(*candidates: str, convert: Convert | None = None, is_label: bool = False) -> Pick:
    return Pick(candidates, convert, is_label)


def words(meanings: Mapping[str, str]) -> Convert:
    """The system's words and ours; a word that is not known stays, so that the row is refused by its name."""
    return lambda word: None if word is None else meanings.get(word, word)


@dataclass(frozen=True)
class Shape:
    """One entity of a preset: the system's object (a form, a path) and the fields of each column."""

    origin: str
    picks: Mapping[str, Pick]
    mode: str = "incremental"


@dataclass(frozen=True)
class Chosen:
    """A shape as one installation has it: canonical column -> the field it comes from."""

    fields: Mapping[str, str]
    picks: Mapping[str, Pick]
    notes: tuple[str, ...] = field(default=())

    def value(self, column: str, raw: str | None) -> str | None:
        """The canonical value of a field's text."""
        convert = self.picks[column].convert
        return convert(raw) if convert else raw


def choose(
    source: SourceConfig,
    entity: str,
    shape: Shape,
    labels: Mapping[str, str],
    *,
    what: str,
    absent: Collection[str] = (),
) -> Chosen:
    """The fields that feed the canonical columns which the source file does not map itself.

    Args:
        labels: every field of the object, and what people call it there.
        what: the object in words, for the error.
        absent: fields that the object turned out not to have, whatever `labels` says.

    Raises:
        PermanentError: a required column has no field; every such column is named with its candidates.
    """
    config = source.entity_configs[entity]
    fields: dict[str, str] = {}
    notes: list[str] = []
    missing: list[str] = []
    for column in ENTITIES[entity].columns:
        wanted = shape.picks.get(column.name)
        if wanted is None or column.name in config.columns:
            continue
        found = next(
            (name for name in wanted.candidates if name not in absent and has_field(name, labels)), None
        )
        if found is not None:
            fields[column.name] = found
            if found != wanted.candidates[0]:
                notes.append(f"{column.name} comes from {found}: there is no {wanted.candidates[0]}")
        elif column.required:
            missing.append(f"{column.name} (none of {', '.join(wanted.candidates)} exists)")
    if missing:
        shown = ", ".join(f"{name} {label}".strip() for name, label in labels.items()) or "none"
        raise PermanentError(
            f"source {source.name}, {entity} ({what})",
            cause=f"nothing gives {'; '.join(missing)}. The fields there are: {shown}",
            next_step=f"name the field at entities.{entity}.columns in {source.file.name}, e.g."
            f" `{missing[0].split(' ')[0]}: <field>`",
        )
    return Chosen(fields, shape.picks, tuple(notes))


def has_field(name: str, labels: Mapping[str, str]) -> bool:
    """Whether the object has a field, in any case; of `FCUSTOMERID.FNumber` the part before the point."""
    known = {label.lower() for label in labels}
    return name.lower() in known or name.split(".")[0].lower() in known


def with_preset(
    entities: Mapping[str, EntityModel],
    preset: Mapping[str, Shape],
    *,
    without: Iterable[str],
    model: type[EntityModel],
    origin: str | None,
) -> dict[str, EntityModel]:
    """The entities of a source file, completed by its preset; what the file says about one always wins.

    Args:
        origin: the setting that names the system's object, where the kind has one.
    """
    left_out = set(without)
    for name in left_out - set(preset):
        raise PydanticCustomError(
            "value_error",
            "{text}",
            {"text": f"`without` names '{name}'{did_you_mean(name, preset)}, which is not in the preset"},
        )
    completed: dict[str, EntityModel] = {}
    for name in (*preset, *(name for name in entities if name not in preset)):
        if name in left_out:
            continue
        shape, config = preset.get(name), entities.get(name) or model()
        said = config.model_fields_set
        update: dict[str, object] = {}
        if shape is not None and "mode" not in said:
            update["mode"] = shape.mode
        if origin is not None and getattr(config, origin) is None:
            if shape is None:
                raise PydanticCustomError(
                    "value_error",
                    "{text}",
                    {"text": f"needs `{origin}`: the preset does not know it", "at": ("entities", name)},
                )
            update[origin] = shape.origin
        completed[name] = config.model_copy(update=update)
    return completed
