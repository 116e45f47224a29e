"""Source systems: one YAML file each, one connector per kind."""

from __future__ import annotations

from receivables.sources.check import EntityReport, SourceReport, check_source
from receivables.sources.config import SourceConfig
from receivables.sources.kinds import get_source, load_source, load_sources, open_connector

__all__ = [
    "EntityReport",
    "SourceConfig",
    "SourceReport",
    "check_source",
    "get_source",
    "load_source",
    "load_sources",
    "open_connector",
]
