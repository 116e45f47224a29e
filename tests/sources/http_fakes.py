"""A clock that tests move, and a transport that answers by a script."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import httpx

from receivables.sources.http_state import Clock

Scripted = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class TestClock:
    """Time stands still until somebody sleeps, and then jumps."""

    __test__ = False

    def __init__(self, start: datetime = datetime(2026, 3, 3, 1, 30, tzinfo=UTC)) -> None:
        self.time = start
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)

    @property
    def clock(self) -> Clock:
        return Clock(self.now, self.sleep)


class Script(httpx.BaseTransport):
    """Gives the scripted answers in turn, the last one for ever; keeps the requests."""

    def __init__(self, answers: Iterable[Scripted]) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
