"""What HTTP sources keep between calls, tasks and runs: tokens, used-up limits, and answers worth keeping.

Everything lies below RECEIVABLES_HOME, readable by its owner alone, and is safe for several processes. All
of it can be deleted: it costs calls, never data.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock

from receivables.errors import TransientError


class ThrottledError(TransientError):
    """The service asks for a pause; a later attempt helps."""


class QuotaError(TransientError):
    """The calls of the day are used up. What was read is kept; a later attempt goes on from there."""


@dataclass(frozen=True)
class Clock:
    """The time of the machine: tokens expire by it and limits count by it. Tests pass their own."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep


SYSTEM_CLOCK = Clock()


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    temporary.rename(path)


def _read_json(path: Path) -> dict[str, Any]:
    """The content of a state file; one that is missing or damaged is empty."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _lock(path: Path) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return FileLock(path.with_name(f"{path.name}.lock"), mode=0o600)


def name_of(*parts: str) -> str:
    """A file name that tells two sets of credentials apart and reveals neither."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Token:
    """An access token; `more` is what came with it (a service's own address, a company's id)."""

    value: str = field(repr=False)
    expires_at: datetime
    more: dict[str, str] = field(default_factory=dict, repr=False)


class TokenCache:
    """One token for all tasks and processes with the same credentials: services limit new ones sharply."""

    def __init__(self, path: Path, *, clock: Clock, margin: timedelta = timedelta(minutes=5)) -> None:
        self._path = path
        self._clock = clock
        self._margin = margin

    def get(self, fetch: Callable[[], Token], *, refused: str | None = None) -> Token:
        """The cached token, or a new one when it is about to expire or the service refused it.

        Raises:
            ThrottledError: the service gives no new token for a while; nobody asks again until then.
        """
        with _lock(self._path):
            data = _read_json(self._path)
            token = _token(data)
            if (
                token is not None
                and token.value != refused
                and token.expires_at - self._margin > self._clock.now()
            ):
                return token
            self._check_pause(data)
            try:
                token = fetch()
            except ThrottledError as error:
                until = self._clock.now() + timedelta(minutes=15)
                pause = {"pause_until": until.isoformat(), "what": error.what, "cause": error.cause}
                write_private(self._path, json.dumps(pause))
                raise
            write_private(
                self._path,
                json.dumps(
                    {"value": token.value, "expires_at": token.expires_at.isoformat(), "more": token.more}
                ),
            )
            return token

    def _check_pause(self, data: dict[str, Any]) -> None:
        until = data.get("pause_until")
        if until and datetime.fromisoformat(until) > self._clock.now():
            raise ThrottledError(
                data["what"],
                cause=data["cause"],
                next_step=f"the run tries again by itself; no new token is asked for before {until}",
            )


def _token(data: dict[str, Any]) -> Token | None:
    try:
        return Token(data["value"], datetime.fromisoformat(data["expires_at"]), dict(data["more"]))
    except (KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True)
class Bucket:
    """At most `calls` in any stretch of `seconds`. A full one is waited for, or ends the run (`is_quota`)."""

    name: str
    calls: int
    seconds: int
    is_quota: bool = False

    _SLOTS = 60

    @property
    def slot(self) -> float:
        return self.seconds / self._SLOTS


class RateLimit:
    """The limits of one account, shared by all processes of this installation."""

    def __init__(self, path: Path, buckets: Iterable[Bucket], *, what: str, clock: Clock) -> None:
        self._path = path
        self._buckets = tuple(buckets)
        self._what = what
        self._clock = clock

    def acquire(self) -> None:
        """Take one call out of every bucket; wait until there is one.

        Raises:
            QuotaError: a bucket that is not waited for is used up.
        """
        while (pause := self._try()) > 0:
            self._clock.sleep(pause)

    def block(self, seconds: float) -> None:
        """Nobody calls for a while: the service has said so to one of us."""
        with _lock(self._path):
            data = _read_json(self._path)
            until = self._clock.now().timestamp() + seconds
            data["blocked_until"] = max(until, data.get("blocked_until", 0.0))
            write_private(self._path, json.dumps(data))

    def _try(self) -> float:
        now = self._clock.now().timestamp()
        with _lock(self._path):
            data = _read_json(self._path)
            if data.get("blocked_until", 0.0) > now:
                return max(float(data["blocked_until"]) - now, 0.01)
            counts: dict[str, dict[str, int]] = data.get("buckets", {})
            for bucket in self._buckets:
                used = {
                    slot: count
                    for slot, count in counts.get(bucket.name, {}).items()
                    if (int(slot) + 1) * bucket.slot > now - bucket.seconds
                }
                if sum(used.values()) >= bucket.calls:
                    if bucket.is_quota:
                        raise QuotaError(
                            self._what,
                            cause=f"the {bucket.calls} calls of `{bucket.name}` are used up",
                            next_step="nothing is lost: run again later, it goes on where it stopped; or"
                            " allow more calls in the source file",
                        )
                    oldest = min(int(slot) for slot in used)
                    return max((oldest + 1) * bucket.slot + bucket.seconds - now, 0.01)
                counts[bucket.name] = used
            for bucket in self._buckets:
                slot = str(int(now // bucket.slot))
                counts[bucket.name][slot] = counts[bucket.name].get(slot, 0) + 1
            write_private(self._path, json.dumps({**data, "buckets": counts}))
        return 0.0


class Spool:
    """Answers that another attempt, task or run need not ask for again; one SQLite file per source.

    A *document* is kept under its key and a version that the caller takes from a list (a change time, a hash
    of the list's row): it stays good for as long as the list still says the same. A *stream* is the pages of
    one long read that have arrived; an attempt that broke off is taken up behind them. What nobody can ask
    for any more goes after a month: documents that their list no longer has, streams that nobody took up.
    """

    KEPT = timedelta(days=30)

    def __init__(self, path: Path, *, clock: Clock) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._clock = clock
        if not path.exists():
            path.touch(mode=0o600)
        # Opened in one thread and used in another: the extract reads ahead of what it writes.
        self._connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = normal")
        self._connection.execute(
            "create table if not exists documents (kind text, key text, version text, body blob,"
            " kept_at text, primary key (kind, key)) without rowid"
        )
        self._connection.execute(
            "create table if not exists pages (stream text, position integer, body blob, next text,"
            " kept_at text, primary key (stream, position)) without rowid"
        )
        self._connection.execute("delete from pages where kept_at < ?", [self._oldest])

    @property
    def _oldest(self) -> str:
        return (self._clock.now() - self.KEPT).isoformat()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextmanager
    def turn(self, kind: str) -> Iterator[None]:
        """One process at a time fetches documents of a kind; the others then find them here."""
        with _lock(self._path.with_name(f"{self._path.name}.{kind}")):
            yield

    def document(self, kind: str, key: str, version: str | None = None) -> str | None:
        """The document of a version; without one, whatever version was kept last."""
        row = self._connection.execute(
            "select body from documents where kind = ? and key = ? and version = coalesce(?, version)",
            [kind, key, version],
        ).fetchone()
        return zlib.decompress(row[0]).decode() if row else None

    def keep(self, kind: str, key: str, version: str, text: str) -> None:
        """Keep a document instead of its earlier version."""
        self._connection.execute(
            "insert or replace into documents values (?, ?, ?, ?, ?)",
            [kind, key, version, zlib.compress(text.encode()), self._clock.now().isoformat()],
        )

    def prune(self, kind: str, present: Collection[str]) -> None:
        """Let go of the old documents of a kind whose keys are no longer there.

        `present` is the whole list. A key that it lacks by mistake costs a call when it comes back.
        """
        old = self._connection.execute(
            "select key from documents where kind = ? and kept_at < ?", [kind, self._oldest]
        )
        gone = [(kind, key) for (key,) in old.fetchall() if key not in present]
        if gone:
            self._connection.execute("begin immediate")
            self._connection.executemany("delete from documents where kind = ? and key = ?", gone)
            self._connection.execute("commit")

    def stream(
        self,
        name: str,
        fetch: Callable[[str | None], tuple[str, str | None]],
        *,
        good_for: timedelta = timedelta(days=3),
    ) -> Iterator[str]:
        """The pages of a long read, first those that an attempt that broke off has left here.

        `fetch(cursor)` gets the page behind a cursor (None: the first) and the next cursor (None: it was the
        last). Only for orders in which a later change moves a row behind the cursor. A stream that was read
        to its end, or is older than `good_for`, starts anew.
        """
        oldest = (self._clock.now() - good_for).isoformat()
        stale = self._connection.execute(
            "select 1 from pages where stream = ? and kept_at < ?", [name, oldest]
        ).fetchone()
        if stale:
            self._drop(name)
        cursor: str | None = None
        position = 0
        while True:
            row = self._connection.execute(
                "select body, next from pages where stream = ? and position = ?", [name, position]
            ).fetchone()
            if row is None:
                text, following = fetch(cursor)
                self._connection.execute(
                    "insert or replace into pages values (?, ?, ?, ?, ?)",
                    [name, position, zlib.compress(text.encode()), following, self._clock.now().isoformat()],
                )
            else:
                text, following = zlib.decompress(row[0]).decode(), row[1]
            yield text
            if following is None:
                self._drop(name)
                return
            cursor = following
            position += 1

    def _drop(self, name: str) -> None:
        self._connection.execute("delete from pages where stream = ?", [name])
