"""The demo company: a believable ERP in one SQLite file, the same for the same seed."""

from receivables.demo.company import advance, create, current_day

__all__ = ["advance", "create", "current_day"]
