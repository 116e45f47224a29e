"""What Zoho Books and Zoho CRM share: data centres, OAuth with a refresh token, limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field

from receivables.errors import PermanentError
from receivables.settings import Settings
from receivables.sources.config import SourceConfig
from receivables.sources.credentials import Credentials
from receivables.sources.http import Answer, Api, AuthenticationError, Call, HttpClient, Limits, Verdict
from receivables.sources.http_state import Clock, ThrottledError, Token

# Data centre: (accounts host, API host). Canada's accounts host is not zoho.ca.
DATA_CENTRES = {
    "us": ("https://accounts.zoho.com", "https://www.zohoapis.com"),
    "eu": ("https://accounts.zoho.eu", "https://www.zohoapis.eu"),
    "in": ("https://accounts.zoho.in", "https://www.zohoapis.in"),
    "au": ("https://accounts.zoho.com.au", "https://www.zohoapis.com.au"),
    "jp": ("https://accounts.zoho.jp", "https://www.zohoapis.jp"),
    "cn": ("https://accounts.zoho.com.cn", "https://www.zohoapis.com.cn"),
    "sa": ("https://accounts.zoho.sa", "https://www.zohoapis.sa"),
    "ca": ("https://accounts.zohocloud.ca", "https://www.zohoapis.ca"),
}
# What the token endpoint answers, most of it under HTTP 200, and what to do.
_TOKEN_ERRORS = {
    "invalid_code": (
        "the refresh token is not valid here",
        "make a new one in this data centre's API console; a token of another data centre is not valid",
    ),
    "invalid_client": (
        "the client id is not known here",
        "check client_id, and that data_centre is where the client was registered",
    ),
    "invalid_client_secret": ("the client secret is wrong", "check client_secret"),
}


class ZohoCredentials(Credentials):
    """OAuth of a Zoho client. In an Airflow connection: login, password, and refresh_token in its extra."""

    CONNECTION_FIELDS: ClassVar[dict[str, str]] = {"client_id": "login", "client_secret": "password"}

    client_id: str = Field("${ZOHO_CLIENT_ID}", description="As ${VARIABLE}.")
    client_secret: str = Field("${ZOHO_CLIENT_SECRET}", description="As ${VARIABLE}.")
    refresh_token: str = Field("${ZOHO_REFRESH_TOKEN}", description="As ${VARIABLE}.")


class ZohoLimits(Limits):
    """Zoho allows 100 calls a minute for an organization, and a number a day that follows the plan."""

    calls_per_minute: int = Field(90, ge=1, description="All tasks together; Zoho Books allows 100.")


class ZohoSource(SourceConfig):
    """What both Zoho kinds have."""

    data_centre: Literal["us", "eu", "in", "au", "jp", "cn", "sa", "ca"] = Field(
        "us", description="Where the account lives: the ending of its address, e.g. eu for zoho.eu."
    )
    accounts_url: str | None = Field(None, description="Instead of the data centre's, e.g. a proxy.")
    api_url: str | None = Field(
        None, description="Instead of the address that comes with the token, e.g. a proxy."
    )
    auth: ZohoCredentials = Field(default_factory=ZohoCredentials)
    limits: ZohoLimits = Field(default_factory=ZohoLimits)


def open_client(
    source: ZohoSource,
    settings: Settings,
    *,
    judge: Callable[[Answer], Verdict | None],
    scopes: tuple[str, ...],
    account: str,
    clock: Clock | None = None,
) -> HttpClient:
    """A client for one of Zoho's services. Its calls name paths; the host comes with the token.

    Raises:
        ConfigError: credentials are missing; all of them are named.
    """
    what = f"source {source.name}"
    credentials = source.auth.resolve(settings, what=f"{what} ({source.file})")
    default_accounts, default_api = DATA_CENTRES[source.data_centre]
    accounts = (source.accounts_url or default_accounts).rstrip("/")

    def fetch_token(send: Callable[[Call], Answer]) -> Token:
        form = {"grant_type": "refresh_token", **credentials}
        answer = send(Call("POST", f"{accounts}/oauth/v2/token", form=form))
        return _token(answer, what=what, now=client.clock.now)

    def authorize(call: Call, token: Token) -> Call:
        host = (source.api_url or token.more.get("api_domain") or default_api).rstrip("/")
        return replace(call, url=host + call.url).with_headers(Authorization=f"Zoho-oauthtoken {token.value}")

    client = HttpClient(
        Api(
            what=what,
            authorize=authorize,
            fetch_token=fetch_token,
            judge=judge,
            identity=(accounts, *credentials.values()),
            account=account,
            secrets=tuple(credentials.values()),
            buckets=source.limits.buckets(),
            denied=f"let the refresh token have the scopes {', '.join(scopes)}, and its user the rights",
        ),
        state=settings.http_state,
        clock=clock,
        attempts=source.limits.attempts,
        timeout=source.limits.timeout_seconds,
    )
    return client


def _token(answer: Answer, *, what: str, now: Callable[[], object]) -> Token:
    """The token in an answer of the token endpoint, which reports most faults under HTTP 200.

    Raises:
        AuthenticationError: the credentials are wrong.
        ThrottledError: too many tokens were asked for.
    """
    data = answer.data if isinstance(answer.data, dict) else {}
    if data.get("access_token"):
        seconds = int(data.get("expires_in_sec") or data.get("expires_in") or 3600)
        # Some data centres have given milliseconds; no token lives for more than a day.
        seconds = seconds // 1000 if seconds > 86_400 else seconds
        return Token(
            data["access_token"],
            now() + timedelta(seconds=seconds),  # type: ignore[operator]
            {"api_domain": str(data["api_domain"])} if data.get("api_domain") else {},
        )
    error = str(data.get("error") or "")
    if error in _TOKEN_ERRORS:
        cause, next_step = _TOKEN_ERRORS[error]
        raise AuthenticationError(f"{what}, access token", cause=f"{cause} ({error})", next_step=next_step)
    # The text of this one is in the language of the account; `Access Denied` and 400 are not.
    if error == "Access Denied" or answer.status in {400, 429}:
        raise ThrottledError(
            f"{what}, access token",
            cause="Zoho gives no more access tokens for a while: too many were asked for",
            next_step="the run tries again by itself; use a refresh token of its own for this warehouse",
        )
    raise PermanentError(
        f"{what}, access token",
        cause=f"Zoho answers HTTP {answer.status} {error or 'without a token'}",
        next_step="check accounts_url and data_centre",
    )
