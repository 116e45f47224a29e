"""Where a database server is: part by part, one address in a variable, or an Airflow connection."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from receivables.errors import ConfigError
from receivables.settings import Settings
from receivables.sources.config import ServerConnection, expand_all, require_variables


@dataclass(frozen=True)
class Engine:
    """What the addresses of one engine look like."""

    name: str
    schemes: frozenset[str]
    port: str
    options: tuple[str, ...]

    @property
    def example(self) -> str:
        return f"{self.name}://user:password@host:{self.port}/database"


POSTGRESQL = Engine("postgresql", frozenset({"postgres", "postgresql"}), "5432", ("sslmode",))
MYSQL = Engine(
    "mysql", frozenset({"mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"}), "3306", ("socket", "ssl_ca")
)


@dataclass(frozen=True)
class Address:
    """A server, a database and a login; `options` are the engine's own."""

    engine: Engine
    host: str
    port: str
    database: str
    user: str
    password: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The address without the login."""
        return f"{self.engine.name}://{self.host}:{self.port}/{self.database}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be said, in each form that a driver may repeat."""
        return (self.password, quote(self.password, safe="")) if self.password else ()


def server_address(config: ServerConnection, settings: Settings, *, engine: Engine, what: str) -> Address:
    """The address that a source file describes. Every environment variable that is missing is named at once.

    Raises:
        ConfigError: a variable is not set, or holds no address.
    """
    if config.airflow_connection is not None:
        variable = f"AIRFLOW_CONN_{config.airflow_connection.upper()}"
        require_variables([variable], dict(os.environ), what=what)
        return _from_airflow(os.environ[variable], engine, variable=variable, what=what)
    if config.url is not None:
        url = expand_all({"url": config.url}, settings, what=what)["url"]
        return _from_url(url, engine, variable=config.url, what=what)
    names = ("host", "port", "database", "user", "password", *engine.options)
    texts = {name: value for name in names if (value := getattr(config, name, None)) is not None}
    return _address(engine, expand_all(texts, settings, what=what))


def _address(engine: Engine, parts: Mapping[str, str]) -> Address:
    return Address(
        engine=engine,
        host=parts.get("host") or "localhost",
        port=parts.get("port") or engine.port,
        database=parts.get("database", ""),
        user=parts.get("user", ""),
        password=parts.get("password", ""),
        options={name: value for name in engine.options if (value := parts.get(name))},
    )


def _from_url(url: str, engine: Engine, *, variable: str, what: str) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in engine.schemes or not parts.hostname:
        raise ConfigError(
            what,
            cause=f"the value of {variable} is not an address of the form {engine.example}",
            next_step="correct it in the environment; special characters of the password are %-encoded",
        )
    return _address(
        engine,
        {
            **dict(parse_qsl(parts.query)),
            "host": parts.hostname,
            "port": str(port or ""),
            "database": unquote(parts.path.lstrip("/")),
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
        },
    )


def _from_airflow(text: str, engine: Engine, *, variable: str, what: str) -> Address:
    """An Airflow connection, as a URI or as JSON."""
    if not text.lstrip().startswith("{"):
        return _from_url(text, engine, variable=variable, what=what)
    try:
        data = json.loads(text)
    except json.JSONDecodeError:
        raise ConfigError(
            what,
            cause=f"the value of {variable} is neither an address nor JSON",
            next_step=f"write {engine.example}",
        ) from None
    extra = data.get("extra") or {}
    options = json.loads(extra) if isinstance(extra, str) else extra
    names = {"host": "host", "port": "port", "database": "schema", "user": "login", "password": "password"}
    parts = {name: str(data.get(key) or "") for name, key in names.items()}
    return _address(engine, {**{name: str(value) for name, value in options.items()}, **parts})
