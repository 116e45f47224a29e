"""The calls of Kingdee K/3 Cloud: login and session, metadata, queries page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from receivables.errors import PermanentError
from receivables.settings import Settings
from receivables.sources.base import Window
from receivables.sources.http import (
    Answer,
    Api,
    AuthenticationError,
    Call,
    Fault,
    HttpClient,
    Limits,
    Verdict,
    judge_status,
    parse_json,
    text,
)
from receivables.sources.http_state import Spool, Token, name_of

# Changes are stamped before they are committed: what is younger than this may still be on its way.
SETTLING = timedelta(seconds=60)
_STUB = "Kingdee.BOS.WebApi.ServicesStub"

Record = dict[str, str | None]  # one row of a query: field -> text
Document = list[Record]  # the rows of one document


class LoginError(AuthenticationError):
    """The login itself is refused, whatever was to be read."""


@dataclass(frozen=True)
class Account:
    """Whom to log in as, and where; `given` holds account_set, user and a password or an application."""

    source: str
    base_url: str
    given: Mapping[str, str] = field(repr=False)
    language: int
    page_rows: int
    limits: Limits


@dataclass(frozen=True)
class Stamps:
    """The fields that tell when a document was changed, audited, and whether it is (None: there is none)."""

    changed: str
    approved: str | None = None
    status: str | None = None

    def before(self, end: str, *, with_unset: bool) -> str:
        """The condition that a document was neither changed nor audited at or behind a moment."""
        # What was never changed since it came in has no time of change: the first read takes it.
        unset = f" or {self.changed} is null" if with_unset else ""
        said = f"({self.changed}<'{end}'{unset})"
        return f"{said} and ({self.approved} is null or {self.approved}<'{end}')" if self.approved else said

    def since(self, start: str) -> str:
        """The condition that a document may have changed since a moment."""
        parts = [f"{name}>='{start}'" for name in (self.changed, self.approved) if name]
        if self.status:
            parts.append(f"{self.status}<>'C'")
        return f"({' or '.join(parts)})"


class NoFormError(PermanentError):
    """The account set has no such form."""


class KingdeeApi:
    """The calls of one account set: login, metadata, queries."""

    def __init__(self, account: Account, settings: Settings) -> None:
        self._what = f"source {account.source}"
        self._given = account.given
        base = account.base_url.rstrip("/")
        # Without the path the server answers 403 and nothing else.
        self._base = base if base.lower().endswith("/k3cloud") else f"{base}/k3cloud"
        self._language = account.language
        self._page_rows = account.page_rows
        self._notes: list[str] = []
        self._tried: dict[tuple[str, ...], str | None] = {}
        self._http = HttpClient(
            Api(
                what=self._what,
                authorize=lambda call, token: call.with_headers(cookie=f"kdservice-sessionid={token.value}"),
                fetch_token=self._log_in,
                judge=judge,
                parse=parse,
                identity=("kingdee", self._base, *self._given.values()),
                secrets=tuple(
                    self._given[name] for name in ("password", "app_secret") if name in self._given
                ),
                buckets=account.limits.buckets(),
                denied="let the user see this form in the client (查看权限) and call the Web API",
            ),
            state=settings.http_state,
            attempts=account.limits.attempts,
            timeout=account.limits.timeout_seconds,
        )
        self._spool = Spool(settings.http_state / f"spool-{account.source}.sqlite", clock=self._http.clock)

    def close(self) -> None:
        self._http.close()
        self._spool.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the server did where versions differ."""
        return tuple(self._notes)

    def business_info(self, form: str) -> list[dict[str, Any]] | None:
        """The parts of a form with their fields; None where this user may not read metadata.

        Raises:
            NoFormError: the account set has no such form.
        """
        try:
            answer = self._call("DynamicFormService.QueryBusinessInfo", {"FormId": form})
        except LoginError:
            raise
        except AuthenticationError:
            self._note(f"the metadata of {form} may not be read: its fields are found by trying them")
            return None
        except PermanentError as error:
            if "不存在" in error.cause or "not exist" in error.cause.lower():
                raise NoFormError(error.what, cause=error.cause, next_step=error.next_step) from None
            raise
        result = answer.get("Result") if isinstance(answer, dict) else None
        needed = (result or {}).get("NeedReturnData") or {}
        return list(needed.get("Entrys") or ())

    def refused_field(self, form: str, fields: Sequence[str]) -> str | None:
        """The field that a query of one row is refused for; None when it has them all."""
        key = (form, *fields)
        if key not in self._tried:
            self._tried[key] = self._refused_field(form, fields)
        return self._tried[key]

    def _refused_field(self, form: str, fields: Sequence[str]) -> str | None:
        try:
            self._query(form, fields, "", "", limit=1)
        except AuthenticationError:
            raise
        except PermanentError as error:
            said = error.cause.lower()
            named = [name for name in fields[1:] if name.split(".")[0].lower() in said]
            if not named:
                raise
            # FENDDATE is part of FENDDATE_H: the longest name that stands there is the one that is meant.
            return max(named, key=lambda name: (len(name.split(".")[0]), len(name)))
        return None

    def rows(self, form: str, fields: Sequence[str], condition: str) -> list[Record]:
        """All rows of a small query."""
        found = self._query(form, fields, condition, "", limit=self._page_rows)
        return [_record(fields, row) for row in found]

    def has_documents(self, form: str) -> bool:
        """Whether a form that may not exist, or may not be seen, has a document."""
        try:
            return bool(self._query(form, ["FID"], "", "", limit=1))
        except LoginError:
            raise
        except PermanentError:
            return False

    def changed_since(
        self, form: str, key: str, times: Sequence[str], moment: datetime, zone: ZoneInfo
    ) -> bool:
        """Whether one of the fields with a document's times of change lies at or behind a moment."""
        later = " or ".join(f"{name}>='{_local(moment, zone)}'" for name in times)
        return bool(later) and bool(self._query(form, [key], f"({later})", "", limit=1))

    def documents(
        self,
        form: str,
        key: str,
        fields: Sequence[str],
        conditions: Sequence[str],
        *,
        stamps: Stamps | None,
        window: Window | None,
        zone: ZoneInfo,
    ) -> Iterator[Document]:
        """Documents in the order of their keys, each with all its rows.

        The last document of a page may be cut, by our limit or by one that the server does not tell: it is
        asked for again, until a page holds nothing else. A read that breaks off is taken up where it stopped,
        and keeps the end of its first attempt.
        """
        start = window.start if window is not None else None
        until = min(window.end, self._http.clock.now() - SETTLING) if window is not None else None

        def fetch(cursor: str | None) -> tuple[str, str | None]:
            after, end, before = json.loads(cursor) if cursor else (None, until and _local(until, zone), 0)
            parts = list(conditions)
            if stamps and end:
                parts.append(stamps.before(end, with_unset=start is None))
            if stamps and start is not None:
                parts.append(stamps.since(_local(start, zone)))
            if after is not None:
                parts.append(f"{key}>{after}")
            rows = [
                _record(fields, row)
                for row in self._query(form, fields, " and ".join(parts), f"{key} ASC", limit=self._page_rows)
            ]
            groups = [list(group) for _, group in groupby(rows, key=lambda record: record[key])]
            is_end = not groups or (len(groups) == 1 and len(rows) < before)
            if len(groups) == 1 and len(rows) >= self._page_rows:
                raise PermanentError(
                    f"{self._what}, {form} {rows[0][key]}",
                    cause=f"one document has more lines than a page holds ({self._page_rows})",
                    next_step="raise `page_rows` in the source file",
                )
            whole = groups if len(groups) == 1 else groups[:-1]
            if whole and whole[-1][0][key] in {None, after}:
                raise PermanentError(
                    f"{self._what}, {form}",
                    cause=f"the rows do not come in the order of {key}, so a read would not end",
                    next_step="report the server's version; `without` leaves the entity out",
                )
            following = None if is_end else json.dumps([whole[-1][0][key], end, len(rows)])
            return json.dumps(whole, ensure_ascii=False), following

        stream = name_of(form, *fields, *conditions, repr(start), repr(window and window.end))
        for page in self._spool.stream(stream, fetch, good_for=timedelta(days=1)):
            yield from json.loads(page)

    def _query(
        self, form: str, fields: Sequence[str], condition: str, order: str, *, limit: int
    ) -> list[list[Any]]:
        wanted = {
            "FormId": form,
            "FieldKeys": ",".join(fields),
            "FilterString": condition,
            "OrderString": order,
            "TopRowCount": 0,
            "StartRow": 0,
            "Limit": limit,
        }
        try:
            answer = self._call("DynamicFormService.ExecuteBillQuery", wanted)
        except PermanentError as error:
            if "行数" in error.cause and limit > 1:
                self._page_rows = limit // 2
                self._note(f"the server refuses pages of {limit} rows: {self._page_rows} are asked for")
                return self._query(form, fields, condition, order, limit=self._page_rows)
            raise
        return [row for row in answer if isinstance(row, list)] if isinstance(answer, list) else []

    def _call(self, service: str, wanted: Mapping[str, Any]) -> Any:
        url = f"{self._base}/{_STUB}.{service}.common.kdsvc"
        body = {"parameters": [json.dumps(wanted, ensure_ascii=False)]}
        try:
            return self._http.send(Call("POST", url, json=body)).data
        except PermanentError as error:
            # The form is what a person has to grant rights on or to correct.
            raise type(error)(
                f"{self._what}, {service.split('.')[-1]} of {wanted['FormId']}",
                cause=error.cause,
                next_step=error.next_step,
            ) from None

    def _note(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)

    def _log_in(self, send: Callable[[Call], Answer]) -> Token:
        given = self._given
        if "app_id" in given:
            service = "LoginByAppSecret"
            who = [given["account_set"], given["user"], given["app_id"], given["app_secret"]]
        else:
            service, who = "ValidateUser", [given["account_set"], given["user"], given["password"]]
        url = f"{self._base}/{_STUB}.AuthService.{service}.common.kdsvc"
        answer = send(Call("POST", url, json={"parameters": [*who, self._language]}))
        data = answer.data if isinstance(answer.data, dict) else {}
        if data.get("LoginResultType") == 1 and data.get("KDSVCSessionId"):
            # A session ends after some idle minutes, which the next query notices.
            return Token(str(data["KDSVCSessionId"]), self._http.clock.now() + timedelta(hours=8))
        said = self._http.redacted(str(data.get("Message") or answer.text[:200]))
        # Not tried again: a few wrong passwords lock the user.
        raise LoginError(
            self._what, cause=f"the login is refused: {said}", next_step=_login_hint(said, answer.status)
        )


def _login_hint(said: str, status: int) -> str:
    if status == 403:
        return "correct base_url: it must lead to /k3cloud of the server"
    if "WebAPI" in said:
        return "add the user to those that may call the Web API (参数设置 → 基础管理 → BOS平台 → WebAPI)"
    if "数据中心" in said:
        return "correct auth.account_set: it is the id of the account set, not its name"
    return "check user and password, in upper and lower case; several wrong attempts lock the user"


def _record(fields: Sequence[str], row: Sequence[Any]) -> Record:
    return {name: text(value) for name, value in zip(fields, row, strict=False)}


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%dT%H:%M:%S}"


def parse(said: str) -> Any:
    """The JSON of an answer; a session's end or an exception of the server may come as a bare sentence.

    Raises:
        ValueError: it is half an answer.
    """
    try:
        return parse_json(said)
    except ValueError:
        if said.startswith("response_error") or "会话" in said[:100]:
            return _Sentence(said[:300])
        raise


class _Sentence(str):
    """An answer that is no JSON and still means something."""


def judge(answer: Answer) -> Verdict | None:
    """What an answer means: errors come with status 200, in the shape of rows."""
    by_status = judge_status(answer)
    if by_status is not None:
        return by_status
    if isinstance(answer.data, _Sentence):
        return _judged(answer.data)
    status = _response_status(answer.data)
    if status is None or status.get("IsSuccess") is not False:
        return None
    said = "; ".join(str(one.get("Message") or one) for one in status.get("Errors") or ()) or "no reason"
    return _judged(said)


def _judged(said: str) -> Verdict:
    if "会话" in said or "session" in said.lower():
        return Verdict(Fault.TOKEN, said)
    if "权限" in said or "permission" in said.lower():
        return Verdict(Fault.DENIED, said)
    if "超时" in said or "timeout" in said.lower() or "死锁" in said:
        return Verdict(Fault.RETRY, said)
    return Verdict(
        Fault.PERMANENT, said, next_step="correct the form or the field that the source file names"
    )


def _response_status(data: Any) -> dict[str, Any] | None:
    """The status inside {Result: {ResponseStatus: …}}, bare or in one or two lists."""
    while isinstance(data, list) and len(data) == 1:
        data = data[0]
    result = data.get("Result") if isinstance(data, dict) else None
    status = result.get("ResponseStatus") if isinstance(result, dict) else None
    return status if isinstance(status, dict) else None
