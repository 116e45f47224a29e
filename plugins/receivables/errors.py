"""Errors that a person can act on: each names the thing, the cause and the next step."""

from __future__ import annotations


class ReceivablesError(Exception):
    """Base of every error this project raises on purpose.

    `str(error)` is one paragraph for people: what it is about, what went wrong, what to do.
    """

    exit_code = 1

    def __init__(self, what: str, *, cause: str, next_step: str) -> None:
        self.what = what
        self.cause = cause
        self.next_step = next_step
        super().__init__(f"{what}: {cause}. Next: {next_step}")


class PermanentError(ReceivablesError):
    """A retry cannot help: a wrong file, column, password or setting."""


class TransientError(ReceivablesError):
    """A retry may help: a server that is down, a lock that is held."""

    exit_code = 75


class ConfigError(PermanentError):
    """A settings or source file is wrong; the message names the file and the line."""

    exit_code = 78


class CheckFailedError(PermanentError):
    """A critical check failed: nothing was published, readers keep the last good version."""

    exit_code = 3
