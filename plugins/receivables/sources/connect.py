"""Which connector reads which kind of source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from receivables.settings import Settings
from receivables.sources.base import Connector
from receivables.sources.config import FilesSource, SourceConfig, SqlSource
from receivables.sources.files import FilesConnector
from receivables.sources.sql import SqlConnector


@contextmanager
def open_connector(source: SourceConfig, settings: Settings) -> Iterator[Connector]:
    """The connector of a source's kind, opened; closed on leaving."""
    connector: Connector
    if isinstance(source, SqlSource):
        connector = SqlConnector(source, settings)
    elif isinstance(source, FilesSource):
        connector = FilesConnector(source, settings)
    else:
        raise TypeError(f"no connector reads kind '{source.kind}'")
    try:
        yield connector
    finally:
        connector.close()
