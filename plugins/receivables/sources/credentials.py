"""Credentials of HTTP sources: from environment variables or one Airflow connection, never from a file."""

from __future__ import annotations

import json
import os
from typing import ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, model_validator

from receivables.errors import ConfigError
from receivables.settings import Settings
from receivables.sources.config import VARIABLE, expand_all, require_variables
from receivables.yamlfile import StrictModel


class Credentials(StrictModel):
    """Base of a kind's `auth` block: each further field is one credential, written as ${VARIABLE}.

    `login` and `password` of an Airflow connection stand for the fields that `CONNECTION_FIELDS` names; every
    other field is looked up in its `extra`.
    """

    CONNECTION_FIELDS: ClassVar[dict[str, str]] = {}

    airflow_connection: str | None = Field(
        None, description="An Airflow connection, read from AIRFLOW_CONN_<ID>, instead of the variables."
    )

    @model_validator(mode="after")
    def _stands_not_in_the_file(self) -> Credentials:
        for name in self._names():
            value = getattr(self, name)
            if value is not None and not VARIABLE.fullmatch(value):
                raise ValueError(
                    f"{name} stands in the file; put it in an environment variable and write ${{NAME}} here"
                )
        return self

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        return tuple(name for name in cls.model_fields if name != "airflow_connection")

    def resolve(self, settings: Settings, *, what: str) -> dict[str, str]:
        """The credentials by field name; a field that is null stays away.

        Raises:
            ConfigError: naming every variable, or every part of the connection, that is missing.
        """
        wanted = {name: value for name in self._names() if (value := getattr(self, name)) is not None}
        if self.airflow_connection is None:
            return expand_all(wanted, settings, what=what)
        variable = f"AIRFLOW_CONN_{self.airflow_connection.upper()}"
        require_variables([variable], dict(os.environ), what=what)
        parts = _connection_parts(os.environ[variable], variable=variable, what=what)
        for field, alias in self.CONNECTION_FIELDS.items():
            parts.setdefault(field, parts.get(alias, ""))
        missing = sorted(name for name in wanted if not parts.get(name))
        if missing:
            raise ConfigError(
                what,
                cause=f"the Airflow connection in {variable} lacks {', '.join(missing)}",
                next_step=_how_to_give(missing, self.CONNECTION_FIELDS),
            )
        return {name: parts[name] for name in wanted}


def _how_to_give(missing: list[str], aliases: dict[str, str]) -> str:
    places = [f"{name} as its {aliases.get(name, 'extra field of that name')}" for name in missing]
    return f"give {', '.join(places)}"


def _connection_parts(text: str, *, variable: str, what: str) -> dict[str, str]:
    """login, password, host and the extra fields of an Airflow connection, as JSON or as a URI."""
    if not text.lstrip().startswith("{"):
        parts = urlsplit(text)
        return {
            "login": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "host": parts.hostname or "",
            **dict(parse_qsl(parts.query)),
        }
    try:
        data = json.loads(text)
        extra = data.get("extra") or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
    except ValueError:
        raise ConfigError(
            what,
            cause=f"the value of {variable} is not JSON",
            next_step='write {"login": …, "password": …, "extra": {…}} on one line',
        ) from None
    plain = {name: str(data.get(name) or "") for name in ("login", "password", "host")}
    return plain | {str(name): str(value) for name, value in extra.items() if value is not None}
