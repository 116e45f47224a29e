"""One HTTP client for every source that is a web service.

A service says in its `Api` how a call carries the token, how a token is got and what its answers mean.
The client does the rest: one token and one set of limits for all tasks, retries, pauses, exact numbers, and
errors that hold no secret. HTTP/1.1, no redirects (a redirect would take the token elsewhere).
"""

from __future__ import annotations

import json
import logging
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, quote_plus

import httpx
import pyarrow as pa
import tenacity
from pydantic import Field

from receivables.errors import PermanentError, ReceivablesError, TransientError
from receivables.sources.base import BATCH_ROWS, SourceBatch
from receivables.sources.config import Duration, IncrementalEntity
from receivables.sources.http_state import (
    SYSTEM_CLOCK,
    Bucket,
    Clock,
    QuotaError,
    RateLimit,
    ThrottledError,
    Token,
    TokenCache,
    name_of,
)
from receivables.yamlfile import StrictModel

log = logging.getLogger(__name__)
# Their own logs write addresses, and at the lowest level headers with tokens.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_PROGRESS_CALLS = 200
# The first batch of an entity, and what a check of a source reads.
FIRST_ROWS = 200
_TOKEN_WORDS = re.compile(
    r"(?i)((?:access|refresh|corp|tenant|app)_?(?:access)?_?token|client_secret|app_?secret|password|authorization)"
    r"([\"']?\s*[:=]\s*[\"']?(?:bearer |zoho-oauthtoken )?)[^\"'&\s,}]+"
)


class AuthenticationError(PermanentError):
    """The service refuses the credentials, or they may not do this."""


class GoneError(PermanentError):
    """The object that was asked for by its id is no longer there."""


class Fault(StrEnum):
    """What an answer that is no success means for the caller."""

    RETRY = "failed, another attempt may help"
    MINUTE = "throttled for about a minute"
    DAY = "the calls of the day are used up"
    TOKEN = "the access token is refused"
    DENIED = "the credentials may not do this"
    GONE = "the object is no longer there"
    PERMANENT = "refused"


@dataclass(frozen=True)
class Verdict:
    """A service's word on an answer. `wait`: the seconds it asks for; `next_step`: what a person can do."""

    fault: Fault
    said: str
    wait: float | None = None
    next_step: str | None = None


@dataclass(frozen=True)
class Call:
    """One request. `params` go into the address, URL-encoded; `form` or `json` into the body."""

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    json: Any = field(default=None, repr=False)

    def with_headers(self, **headers: str) -> Call:
        """The same call with more headers; `_` in a name stands for `-`."""
        return replace(
            self, headers={**self.headers, **{name.replace("_", "-"): text for name, text in headers.items()}}
        )


@dataclass(frozen=True)
class Answer:
    """One response. `data` is its JSON, numbers as Decimal and integers as int; None when there is none."""

    status: int
    headers: Mapping[str, str]
    text: str = field(repr=False)
    data: Any = field(default=None, repr=False)


def parse_json(text: str) -> Any:
    """JSON whose numbers with a point are exact Decimals.

    Raises:
        ValueError: it is not whole.
    """
    return json.loads(text, parse_float=Decimal)


def judge_status(answer: Answer) -> Verdict | None:
    """What the status code alone says, for services without codes of their own; None: a success."""
    status = answer.status
    if 200 <= status < 300 or status == 304:
        return None
    said = f"HTTP {status}" + (f": {answer.text[:200]}" if answer.text else "")
    if status == 401:
        return Verdict(Fault.TOKEN, said)
    if status == 403:
        return Verdict(Fault.DENIED, said)
    if status in {404, 410}:
        return Verdict(Fault.GONE, said)
    if status == 429:
        return Verdict(Fault.MINUTE, said, wait=_retry_after(answer))
    if status == 408 or status >= 500:
        return Verdict(Fault.RETRY, said, wait=_retry_after(answer))
    if 300 <= status < 400:
        return Verdict(
            Fault.PERMANENT, said, next_step="correct the service's address: it redirects elsewhere"
        )
    return Verdict(Fault.PERMANENT, said)


def _retry_after(answer: Answer) -> float | None:
    given = answer.headers.get("retry-after", "")
    return min(float(given), 3600.0) if given.isdigit() else None


@dataclass(frozen=True)
class Api:
    """What differs between services.

    `authorize(call, token)` gives the call with its token; `fetch_token(send)` gets a new one, with `send`
    for calls that need none; `judge(answer)` is None for a success. `identity` names the credentials: whoever
    has the same ones shares the token, and the limits too if `account` is the same.
    """

    what: str
    authorize: Callable[[Call, Token], Call]
    fetch_token: Callable[[Callable[[Call], Answer]], Token]
    judge: Callable[[Answer], Verdict | None] = judge_status
    identity: tuple[str, ...] = field(default=(), repr=False)
    account: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    buckets: tuple[Bucket, ...] = ()
    denied: str = "check the credentials and the rights they were given"
    parse: Callable[[str], Any] = parse_json


class _AgainError(Exception):
    """Inside the client: this attempt failed, another may help."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.said)
        self.verdict = verdict


class HttpClient:
    """Calls one service on behalf of one source."""

    def __init__(
        self,
        api: Api,
        *,
        state: Path,
        clock: Clock | None = None,
        attempts: int = 7,
        timeout: float = 60,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.api = api
        self.calls = 0
        self.clock = clock or SYSTEM_CLOCK
        self._attempts = attempts
        name = name_of(*api.identity)
        self._tokens = TokenCache(state / f"token-{name}.json", clock=self.clock)
        counted = name_of(*api.identity, api.account) if api.account else name
        self._limit = RateLimit(
            state / f"limits-{counted}.json", api.buckets, what=api.what, clock=self.clock
        )
        self._known_tokens: set[str] = set()
        self._http = httpx.Client(
            http2=False,
            verify=_tls(),
            timeout=httpx.Timeout(timeout, connect=15),
            follow_redirects=False,
            headers={"user-agent": "receivables-warehouse", "accept": "application/json"},
            transport=transport,
        )

    def close(self) -> None:
        """Let go of the connections."""
        if self.calls:
            log.info("%s: %d calls in all", self.api.what, self.calls)
        self._http.close()

    def send(self, call: Call) -> Answer:
        """Make a call with the token, as often as it takes.

        Raises:
            AuthenticationError: the credentials are refused, also with a new token, or lack a right.
            GoneError: the object is no longer there.
            PermanentError: the call is wrong.
            QuotaError: the calls of the day are used up.
            ThrottledError: the service still asks for pauses after all attempts.
            TransientError: it does not answer, or only with faults of its own.
        """
        refused: list[str] = []

        def once() -> Answer:
            token = self.token(refused=refused[-1] if refused else None)
            answer, verdict = self._ask(self.api.authorize(call, token), self.api.judge)
            if verdict is None:
                return answer
            if verdict.fault is Fault.TOKEN:
                if refused:
                    raise self._error(call, replace(verdict, fault=Fault.DENIED))
                refused.append(token.value)
            raise self._raised(call, verdict)

        return self._often(call, once)

    def token(self, *, refused: str | None = None) -> Token:
        """The token that all tasks share; a new one when the service has refused it."""
        token = self._tokens.get(lambda: self.api.fetch_token(self.send_bare), refused=refused)
        self._known_tokens.add(token.value)
        return token

    def send_bare(self, call: Call) -> Answer:
        """Make a call without a token, to get one. The service's `judge` is not asked: tokens have rules of
        their own, which `fetch_token` knows."""

        def once() -> Answer:
            answer, verdict = self._ask(call, _judge_bare)
            if verdict is None:
                return answer
            raise self._raised(call, verdict)

        return self._often(call, once)

    # --- one attempt ---

    def _ask(self, call: Call, judge: Callable[[Answer], Verdict | None]) -> tuple[Answer, Verdict | None]:
        self._limit.acquire()
        self.calls += 1
        if self.calls % _PROGRESS_CALLS == 0:
            log.info("%s: %d calls so far", self.api.what, self.calls)
        try:
            response = self._http.request(
                call.method,
                call.url,
                params=dict(call.params) or None,
                headers=dict(call.headers),
                data=dict(call.form) if call.form is not None else None,
                json=call.json,
            )
        except httpx.TimeoutException as error:
            raise _AgainError(Verdict(Fault.RETRY, f"no answer in time ({type(error).__name__})")) from None
        except httpx.TransportError as error:
            # `from None`: the library's own error holds the request with its headers.
            raise _AgainError(Verdict(Fault.RETRY, f"the connection failed ({error})")) from None
        except httpx.InvalidURL as error:
            raise PermanentError(
                self.api.what, cause=f"the address is wrong ({error})", next_step="correct it in the settings"
            ) from None
        answer = Answer(response.status_code, response.headers, response.text)
        if answer.text.strip():
            try:
                answer = replace(answer, data=self.api.parse(answer.text))
            except ValueError:
                if answer.status < 400:
                    return answer, Verdict(Fault.RETRY, "the answer is not whole")
        return answer, judge(answer)

    def _often(self, call: Call, once: Callable[[], Answer]) -> Answer:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_AgainError),
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=self._pause,
            sleep=self.clock.sleep,
            before_sleep=self._note,
            reraise=True,
        )
        try:
            return retrying(once)
        except _AgainError as error:
            raise self._error(call, error.verdict) from None

    def _raised(self, call: Call, verdict: Verdict) -> Exception:
        """What an attempt ends with: another attempt, or the error that says why none would help."""
        passing = verdict.fault in {Fault.RETRY, Fault.MINUTE, Fault.TOKEN}
        return _AgainError(verdict) if passing else self._error(call, verdict)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Seconds until the next attempt: what the service asks for, else growing, always with jitter."""
        verdict = _verdict(state)
        jitter = tenacity.wait_random(0, 5)(state)
        if verdict.fault is Fault.TOKEN:
            return 0.0
        if verdict.fault is Fault.MINUTE:
            wait = (verdict.wait if verdict.wait is not None else 60.0) + jitter
            self._limit.block(wait)
            return wait
        if verdict.wait is not None:
            return verdict.wait + jitter
        return tenacity.wait_exponential_jitter(initial=1, max=60, jitter=1)(state)

    def _note(self, state: tenacity.RetryCallState) -> None:
        verdict = _verdict(state)
        seconds = state.next_action.sleep if state.next_action else 0.0
        log.warning(
            "%s: %s (%s); attempt %d of %d follows in %.0f s",
            self.api.what,
            verdict.fault.value,
            self.redacted(verdict.said),
            state.attempt_number + 1,
            self._attempts,
            seconds,
        )

    # --- errors ---

    def redacted(self, text: str) -> str:
        """A text without secrets: neither ours, in any encoding, nor what looks like one."""
        for secret in (*self.api.secrets, *self._known_tokens):
            if len(secret) >= 4:
                for form in {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}:
                    text = text.replace(form, "***")
        return _TOKEN_WORDS.sub(r"\1\2***", text)

    def _error(self, call: Call, verdict: Verdict) -> ReceivablesError:
        what = f"{self.api.what}, {call.method} {httpx.URL(call.url).path}"
        cause = f"{verdict.fault.value}: {self.redacted(verdict.said)}"
        kinds: dict[Fault, tuple[type[ReceivablesError], str]] = {
            Fault.RETRY: (TransientError, "the run tries again by itself; see the service's status page"),
            Fault.MINUTE: (
                ThrottledError,
                "the run tries again by itself; run fewer tasks at once, or allow fewer calls per minute",
            ),
            Fault.DAY: (
                QuotaError,
                "nothing is lost: run again when the service counts anew, it goes on where it stopped",
            ),
            Fault.TOKEN: (AuthenticationError, self.api.denied),
            Fault.DENIED: (AuthenticationError, self.api.denied),
            Fault.GONE: (GoneError, "it was removed in the source"),
            Fault.PERMANENT: (PermanentError, "correct the settings of the source"),
        }
        kind, next_step = kinds[verdict.fault]
        return kind(what, cause=cause, next_step=verdict.next_step or next_step)


@cache
def _tls() -> ssl.SSLContext:
    """Loading the certificates takes longer than many calls: once in a process."""
    return httpx.create_ssl_context()


def _judge_bare(answer: Answer) -> Verdict | None:
    """Only what a retry cures: what else an answer without a token means is the caller's to say."""
    verdict = judge_status(answer)
    return verdict if verdict is not None and verdict.fault is Fault.RETRY else None


def _verdict(state: tenacity.RetryCallState) -> Verdict:
    error = state.outcome.exception() if state.outcome else None
    return error.verdict if isinstance(error, _AgainError) else Verdict(Fault.RETRY, "")


class Limits(StrictModel):
    """How many calls a source may make. A kind narrows the defaults to what its service allows."""

    calls_per_minute: int = Field(60, ge=1, description="All tasks together wait for their turn.")
    calls_per_day: int | None = Field(
        None, ge=1, description="In any 24 hours; leaves the rest of the service's daily limit to others."
    )
    attempts: int = Field(7, ge=1, le=20, description="Of one call, before the run gives up.")
    timeout_seconds: int = Field(60, ge=1, description="Until an answer is given up.")

    def buckets(self) -> tuple[Bucket, ...]:
        """The limits as the client counts them."""
        day = (
            Bucket("calls_per_day", self.calls_per_day, 86_400, is_quota=True) if self.calls_per_day else None
        )
        return (Bucket("calls_per_minute", self.calls_per_minute, 60), *([day] if day else []))


class HttpEntity(IncrementalEntity):
    """One entity of a web service. The connector delivers canonical columns; these lines change them."""

    mode: Literal["full", "incremental"] = Field(
        "incremental", description="full reads all lists each time; incremental only what changed."
    )
    cursor: str | None = Field("updated_at", description="Leave it: the service's own time of change.")
    overlap: Duration = Field(
        timedelta(hours=1), description="How far before the last load an incremental read starts, e.g. 1h."
    )
    sweep: bool = Field(True, description="incremental: read all keys each time, to notice removed rows.")
    full_every: Duration | None = Field(
        timedelta(days=7),
        description="incremental: read everything again when the last full read is this old.",
    )


def text(value: Any) -> str | None:
    """A JSON value as the mapping reads it: exact, empty is None, objects stay JSON."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def batches(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, origin: str
) -> Iterator[SourceBatch]:
    """Rows as text columns in batches of BATCH_ROWS; what a row lacks is null."""
    first = 1
    for chunk in _chunks(rows):
        table = pa.table(
            {name: pa.array([text(row.get(name)) for row in chunk], pa.string()) for name in columns}
        )
        yield SourceBatch(table, origin, range(first, first + len(chunk)))
        first += len(chunk)


def _chunks(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """A small chunk first: whoever only checks a source has seen enough then, and spends few calls."""
    iterator = iter(rows)
    size = FIRST_ROWS
    while chunk := list(islice(iterator, size)):
        yield chunk
        size = BATCH_ROWS
