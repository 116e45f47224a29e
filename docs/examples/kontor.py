"""The worked example of docs/how-to/write-a-connector.md: an invoicing service with an API key.

`GET /v1/<list>?changed_since=…&after=<id>` answers `{"rows": […], "next": "<id>" or null}`, sorted by change;
`GET /v1/<list>/ids` answers `{"ids": […]}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field

from receivables.settings import Settings
from receivables.sources.base import SourceBatch, Window
from receivables.sources.config import SourceConfig
from receivables.sources.credentials import Credentials
from receivables.sources.http import Api, Call, HttpClient, HttpEntity, Limits, batches, parse_json
from receivables.sources.http_state import Spool, Token

# Canonical entity: the service's list, and where each canonical column comes from.
LISTS: dict[str, tuple[str, dict[str, str]]] = {
    "customers": (
        "partners",
        {"customer_id": "id", "customer_name": "name", "updated_at": "changed_at"},
    ),
    "invoices": (
        "bills",
        {
            "invoice_id": "id",
            "customer_id": "partner",
            "invoice_date": "day",
            "due_date": "due",
            "amount": "gross",
            "currency_code": "currency",
            "updated_at": "changed_at",
        },
    ),
}


class KontorCredentials(Credentials):
    """The API key. In an Airflow connection it is the password."""

    CONNECTION_FIELDS: ClassVar[dict[str, str]] = {"api_key": "password"}

    api_key: str = Field("${KONTOR_API_KEY}", description="As ${VARIABLE}.")


class KontorSource(SourceConfig):
    """An account at Kontor."""

    kind: Literal["kontor"]
    url: str = "https://api.kontor.example"
    auth: KontorCredentials = Field(default_factory=KontorCredentials)
    limits: Limits = Field(default_factory=Limits)
    entities: dict[str, HttpEntity] = Field(
        default_factory=lambda: {name: HttpEntity() for name in LISTS}, description="Default: all."
    )


class KontorConnector:
    """Reads one account."""

    def __init__(self, source: KontorSource, settings: Settings) -> None:
        self.source = source
        what = f"source {source.name}"
        key = source.auth.resolve(settings, what=f"{what} ({source.file})")["api_key"]
        self._client = HttpClient(
            Api(
                what=what,
                # A key that never expires is a token that nobody has to ask for.
                fetch_token=lambda send: Token(key, self._client.clock.now() + timedelta(days=1)),
                authorize=lambda call, token: call.with_headers(Authorization=f"Bearer {token.value}"),
                identity=(source.url, key),
                secrets=(key,),
                buckets=source.limits.buckets(),
                denied="check KONTOR_API_KEY",
            ),
            state=settings.http_state,
            attempts=source.limits.attempts,
        )
        self._spool = Spool(settings.http_state / f"{source.name}.sqlite", clock=self._client.clock)

    def close(self) -> None:
        self._spool.close()
        self._client.close()

    def describe(self, entity: str) -> tuple[str, ...]:
        """The canonical columns that the service fills."""
        return tuple(LISTS[entity][1])

    def read(self, entity: str, window: Window) -> Iterator[SourceBatch]:
        """Rows that changed in the window; the pages of an attempt that broke off are not asked for again."""
        path, columns = LISTS[entity]
        since = {"changed_since": window.start.isoformat()} if window.start else {}

        def fetch(cursor: str | None) -> tuple[str, str | None]:
            params = {**since, **({"after": cursor} if cursor else {})}
            answer = self._client.send(Call("GET", f"{self.source.url}/v1/{path}", params))
            return answer.text, answer.data["next"]

        stream = f"{entity}/{since.get('changed_since', 'all')}"
        changed = (
            {name: row[field] for name, field in columns.items()}
            for page in self._spool.stream(stream, fetch)
            for row in parse_json(page)["rows"]
            if self._is_in(row, entity, window)
        )
        yield from batches(changed, self.describe(entity), origin=f"kontor/{path}")

    def sweep(self, entity: str) -> Iterator[SourceBatch]:
        """The ids that are there."""
        path, columns = LISTS[entity]
        answer = self._client.send(Call("GET", f"{self.source.url}/v1/{path}/ids"))
        key = next(name for name, field in columns.items() if field == "id")
        rows = ({key: one} for one in answer.data["ids"])
        yield from batches(rows, self.describe(entity), origin=f"kontor/{path}")

    def _is_in(self, row: dict[str, Any], entity: str, window: Window) -> bool:
        if self.source.entities[entity].mode == "full":
            return True
        return datetime.fromisoformat(row["changed_at"]) < window.end
