"""An HTTP server on the loopback interface that stands in for a system: faults on order, a clock to turn.

A subclass answers requests; a test takes it as a context manager, changes its data between runs, and plans
faults. Nothing is random: the same plan gives the same storm.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Literal, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """One request as the stand-in sees it; `body` is the parsed JSON, {} without one."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """A response: JSON, or a text as it is (a proxy's error page)."""

    body: Any
    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        text = self.body if isinstance(self.body, str) else json.dumps(self.body, ensure_ascii=False)
        return text.encode()


@dataclass
class Fault:
    """What goes wrong with requests that `matches` picks: from the `after`-th on, `times` times.

    `reset` closes the connection without an answer, `truncate` sends half of the right answer, `page` sends
    an HTML error page with status 502, `answer` sends what it names, `change` lets something happen to the
    data before the right answer.
    """

    kind: Literal["reset", "truncate", "page", "answer", "change"]
    matches: Callable[[Request], bool] = lambda request: True
    after: int = 0
    times: int = 1
    answer: Answer | None = None
    change: Callable[[], None] | None = None
    seen: int = 0

    def strikes(self, request: Request) -> bool:
        """Whether this request is hit; counts those that match."""
        if not self.matches(request):
            return False
        self.seen += 1
        return self.after < self.seen <= self.after + self.times


class StandIn(ABC):
    """The server: `with Subclass() as server`, then `server.url`."""

    protocol: ClassVar[str] = "HTTP/1.1"

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.struck: Counter[str] = Counter()
        self.lock = threading.RLock()
        self._skew = 0.0
        self._http: ThreadingHTTPServer | None = None

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """The right answer; called under the lock."""

    # --- what a test does ---

    @property
    def url(self) -> str:
        assert self._http is not None, "the stand-in is not running"
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def clock(self) -> float:
        """Seconds: the real clock and what `advance` added."""
        return time.time() + self._skew

    def advance(self, seconds: float) -> None:
        """Let time pass for the server alone."""
        self._skew += seconds

    def calls(self, path: str) -> int:
        """How many requests came to paths that end so."""
        return sum(request.path.endswith(path) for request in self.requests)

    @contextmanager
    def plan(self, *faults: Fault) -> Iterator[None]:
        """These faults, and at the end the check that each one struck."""
        self.faults = list(faults)
        try:
            yield
        finally:
            self.faults = []
        idle = [fault.kind for fault in faults if fault.seen <= fault.after]
        assert not idle, f"these faults never struck: {idle}"

    def __enter__(self) -> Self:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = stand_in.protocol
            wbufsize = -1  # headers and body in one piece: else each answer waits for an acknowledgement
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                stand_in._serve(self)

            do_POST = do_GET  # noqa: N815

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    # --- one request ---

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        text = handler.rfile.read(length).decode()
        try:
            body = json.loads(text) if text else {}
        except ValueError:
            body = text
        request = Request(
            handler.command,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in handler.headers.items()},
            body,
        )
        with self.lock:
            self.requests.append(request)
            fault = next((fault for fault in self.faults if fault.strikes(request)), None)
            if fault is not None:
                self.struck[fault.kind] += 1
                if fault.change is not None:
                    fault.change()
            answer = fault.answer if fault is not None and fault.answer else self.answer(request)
        if fault is not None and fault.kind == "reset":
            # SO_LINGER 0 makes the close a reset instead of an orderly end.
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.connection.close()
            return
        if fault is not None and fault.kind == "page":
            answer = Answer("<html><body>502 Bad Gateway</body></html>", 502, "text/html")
        data = answer.encoded()
        if fault is not None and fault.kind == "truncate":
            # A proxy cut the answer and still sent a length that fits: the client sees half a document.
            data = data[: len(data) // 2]
        handler.send_response(answer.status)
        handler.send_header("Content-Type", answer.content_type)
        handler.send_header("Content-Length", str(len(data)))
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        try:
            handler.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True
