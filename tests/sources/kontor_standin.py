"""The service of the worked example, on 127.0.0.1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

KEY = "kontor-key-aaaa"
ROWS: dict[str, list[dict[str, Any]]] = {
    "partners": [
        {"id": f"P{number}", "name": f"Partner {number}", "changed_at": f"2026-03-0{number}T10:00:00+00:00"}
        for number in range(1, 6)
    ],
    "bills": [
        {
            "id": f"B{number}", "partner": "P1", "day": "2026-02-01", "due": "2026-03-01", "gross": "10.10",
            "currency": "EUR", "changed_at": f"2026-03-0{number}T10:00:00+00:00",
        }
        for number in range(1, 8)
    ],
}  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        _, _, name, *ids = parts.path.split("/")
        if self.headers.get("authorization") != f"Bearer {KEY}":
            return self._answer(401, {"error": "no such key"})
        if ids:
            return self._answer(200, {"ids": [row["id"] for row in ROWS[name]]})
        params = dict(parse_qsl(parts.query))
        rows = [row for row in ROWS[name] if row["changed_at"] >= params.get("changed_since", "")]
        rows = [row for row in rows if row["id"] > params.get("after", "")]
        more = rows[2]["id"] if len(rows) > 3 else None
        return self._answer(200, {"rows": rows[:3], "next": more})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving() -> Iterator[str]:
    """The address of the running service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
