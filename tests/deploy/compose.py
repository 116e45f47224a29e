"""Reads docker-compose.yml as `docker compose` would: merged, and with its variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import PROJECT

COMPOSE_FILE = PROJECT / "docker-compose.yml"
ENV_EXAMPLE = PROJECT / ".env.example"

_VARIABLE = re.compile(
    r"\$\$|\$\{(?P<name>\w+)(?:(?P<operator>:-|:\?)(?P<rest>[^}]*))?\}|\$(?P<bare>[A-Za-z_]\w*)"
)


class MissingVariableError(ValueError):
    """A variable that the file requires (`${NAME:?…}`) has no value."""


def fill_in(text: str, environment: Mapping[str, str]) -> str:
    """Replace `${NAME}`, `${NAME:-default}` and `${NAME:?message}`; `$$` is a dollar."""

    def value(match: re.Match[str]) -> str:
        name = match["name"] or match["bare"]
        if name is None:
            return "$"
        found = environment.get(name, "")
        if found or not match["operator"]:
            return found
        if match["operator"] == ":?":
            raise MissingVariableError(f"{name} {match['rest']}")
        return match["rest"]

    return _VARIABLE.sub(value, text)


def example_environment() -> dict[str, str]:
    """The variables of .env.example."""
    lines = ENV_EXAMPLE.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line.strip() and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def load_compose(environment: Mapping[str, str] | None = None, path: Path = COMPOSE_FILE) -> dict[str, Any]:
    """The compose file with its anchors merged; with `environment`, its variables are filled in."""
    text = path.read_text(encoding="utf-8")
    loaded = yaml.safe_load(text)
    return loaded if environment is None else _filled(loaded, environment)


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return fill_in(value, environment)
    if isinstance(value, list):
        return [_filled(item, environment) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, environment) for key, item in value.items()}
    return value


def dockerfile_copies(*, path: Path = PROJECT / "Dockerfile") -> list[tuple[list[str], str]]:
    """What the Dockerfile takes out of the project: (sources, destination), in order, without doubles."""
    copies: list[tuple[list[str], str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY ") and "--from=" not in line:
            *sources, destination = line.split()[1:]
            copies.append((sources, destination))
    return copies
