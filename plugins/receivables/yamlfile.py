"""YAML files whose errors name the file, the line and the fix.

YAML 1.2 words only: `Yes`, `on`, `0012` and `12:30` stay text, as the people who write them mean.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from receivables.errors import ConfigError

Loc = tuple[str | int, ...]


# libyaml, where it is there, takes a tenth of the time, which every task, DAG file and test spends.
_Safe: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
    """A safe loader without YAML 1.1's surprises."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(0|[1-9][0-9]*)\.[0-9]+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class YamlFile:
    """The data of one YAML file, and the line of each of its nodes."""

    path: Path
    data: Any
    lines: dict[Loc, int] = field(repr=False)

    def line_of(self, loc: Sequence[str | int]) -> int:
        """The line of the deepest node on the way to `loc` that the file has."""
        known: Loc = ()
        for part in loc:
            if (*known, part) in self.lines:
                known = (*known, part)
        return self.lines.get(known, 1)


def read_yaml(path: Path) -> YamlFile:
    """Read a YAML file whose top is a mapping.

    Raises:
        ConfigError: the file is missing, not UTF-8, not YAML, repeats a key, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(
            str(path), cause="there is no such file", next_step="create it, or correct its path"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            str(path),
            cause=f"cannot be read ({error})",
            next_step="save it as UTF-8 text that this user may read",
        ) from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[Loc, int] = {(): 1}
        if node is not None:
            _note_lines(path, node, (), lines)
        data = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{path}{line}",
            cause=f"is not valid YAML ({error.problem or error.context})",
            next_step="correct the line: check indentation, colons and quotes",
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(
            str(path), cause=f"is not valid YAML ({error})", next_step="save it as plain UTF-8 text"
        ) from error
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path}:1",
            cause="holds no settings",
            next_step="write `name: value` lines; docs/sources.md has examples",
        )
    return YamlFile(path, data, lines)


def _note_lines(path: Path, node: yaml.Node, loc: Loc, lines: dict[Loc, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = getattr(key_node, "value", None)
            child = (*loc, key)
            line = key_node.start_mark.line + 1
            if child in lines:
                raise ConfigError(
                    f"{path}:{line}",
                    cause=f"'{key}' stands here and on line {lines[child]}",
                    next_step="keep one of the two",
                )
            lines[child] = line
            _note_lines(path, value_node, child, lines)
    elif isinstance(node, yaml.SequenceNode):
        for position, value_node in enumerate(node.value):
            lines[(*loc, position)] = value_node.start_mark.line + 1
            _note_lines(path, value_node, (*loc, position), lines)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing when no known word is close."""
    by_folded = {re.sub(r"[^0-9a-z]", "", name.lower()) or name: name for name in known}
    folded = re.sub(r"[^0-9a-z]", "", word.lower()) or word
    close = difflib.get_close_matches(folded, list(by_folded), n=1, cutoff=0.6)
    return f" (did you mean '{by_folded[close[0]]}'?)" if close else ""


def unknown_key(key: str, known: Iterable[str], *, what: str = "setting") -> PydanticCustomError:
    """The error of a key that a model does not know; its line is the key's own."""
    names = sorted(known)
    return PydanticCustomError(
        "unknown_key",
        "there is no {what} '{key}'{hint}; possible are {names}",
        {"what": what, "key": key, "hint": did_you_mean(key, names), "names": ", ".join(names), "at": (key,)},
    )


class StrictModel(BaseModel):
    """A settings model: unknown keys are errors that propose the right key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, value: Any) -> Any:
        if isinstance(value, dict):
            known = {info.alias or name for name, info in cls.model_fields.items()}
            for key in value:
                if key not in known:
                    raise unknown_key(str(key), known)
        return value


Model = TypeVar("Model", bound=BaseModel)


def parse(
    model: type[Model], source: YamlFile, *, guide: str = "docs/sources.md lists every setting"
) -> Model:
    """Validate a YAML file with a model; `guide` says where its settings are described.

    Raises:
        ConfigError: with every fault found, each with its line.
    """
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        raise config_error(source, error, guide=guide) from error


def config_error(
    source: YamlFile, error: ValidationError, *, guide: str = "docs/sources.md lists every setting"
) -> ConfigError:
    """All faults of a file in one error, in the order of their lines."""
    faults: dict[tuple[int, str], None] = {}
    found = error.errors(include_url=False)
    for fault in found:
        depth = len(fault["loc"])
        if fault["type"] == "too_short" and any(
            other["loc"][:depth] == fault["loc"] for other in found if other is not fault
        ):
            continue  # its items are wrong, so pydantic counts none
        loc = (*fault["loc"], *fault.get("ctx", {}).get("at", ()))
        faults[(source.line_of(loc), f"{_place(source, fault['loc'])}{_message(fault)}")] = None
    ordered = sorted(faults)
    first_line = ordered[0][0]
    cause = "; ".join(text if line == first_line else f"line {line}: {text}" for line, text in ordered)
    many = len(ordered) > 1
    return ConfigError(
        f"{source.path}:{first_line}",
        cause=cause,
        next_step=f"correct {'these lines' if many else 'this line'}; {guide}",
    )


def _place(source: YamlFile, loc: Loc) -> str:
    """The way to the fault as the file has it (unions add parts of their own)."""
    parts: list[str] = []
    known: Loc = ()
    for position, part in enumerate(loc):
        if (*known, part) in source.lines or position == len(loc) - 1:
            known = (*known, part)
            parts.append(str(part))
    return f"{'.'.join(parts)}: " if parts else ""


def _message(fault: Any) -> str:
    kind, value = fault["type"], fault.get("input")
    if kind == "missing":
        return "is missing"
    if kind == "too_short":
        return "must not be empty"
    message = fault["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if kind in {"unknown_key", "value_error"} or isinstance(value, dict | list | BaseModel):
        return message
    return f"{message}, not {value!r}" if "not" not in message.split() else message
