"""The calls of Fxiaoke: tokens of both styles, error codes, descriptions, queries page by page."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from receivables.errors import PermanentError, ReceivablesError
from receivables.settings import Settings
from receivables.sources.base import Window
from receivables.sources.fxiaoke_config import FxiaokeSource
from receivables.sources.http import (
    Answer,
    Api,
    AuthenticationError,
    Call,
    Fault,
    HttpClient,
    Verdict,
    judge_status,
)
from receivables.sources.http_state import Bucket, QuotaError, Spool, ThrottledError, Token, name_of

PAGE_ROWS = 100  # the most that a query returns
CHANGED = "last_modified_time"
# Changes are stamped before they are committed: what is younger than this may still be on its way.
SETTLING = timedelta(seconds=60)


class FxiaokeApi:
    """The calls of one tenant: tokens of both styles, codes, keyset pages."""

    def __init__(self, source: FxiaokeSource, settings: Settings) -> None:
        what = f"source {source.name}"
        unused = {"ea": None} if source.style == "body" else {"user_mobile": None}
        if source.style == "body" and source.auth.user_mobile is not None:
            unused["user"] = None
        self._given = source.auth.model_copy(update=unused).resolve(settings, what=f"{what} ({source.file})")
        self._style = source.style
        self._host = source.host.rstrip("/")
        self._what = what
        self._total_names: set[str] = set()
        self._user: str | None = self._given.get("user")
        per_window = max(source.limits.calls_per_minute // 3, 1)
        buckets = tuple(
            Bucket("calls_per_20_seconds", per_window, 20) if bucket.seconds == 60 else bucket
            for bucket in source.limits.buckets()
        )
        self._http = HttpClient(
            Api(
                what=what,
                authorize=self._authorize,
                fetch_token=self._fetch_token,
                judge=judge,
                identity=("fxiaoke", self._host, self._style, *self._given.values()),
                secrets=tuple(
                    self._given[name] for name in ("app_secret", "permanent_code") if name in self._given
                ),
                buckets=buckets,
                denied="check appId, appSecret, permanentCode and the user, and the user's rights in the CRM",
            ),
            state=settings.http_state,
            attempts=source.limits.attempts,
            timeout=source.limits.timeout_seconds,
        )
        self._spool = Spool(settings.http_state / f"spool-{source.name}.sqlite", clock=self._http.clock)

    def close(self) -> None:
        self._http.close()
        self._spool.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the service did where its pages leave it open."""
        return tuple(f"the total comes as {name}" for name in sorted(self._total_names))

    def describe(self, name: str) -> dict[str, dict[str, Any]]:
        """The fields of an object, by api name.

        Raises:
            PermanentError: the tenant has no such object, or the user may not see it.
        """
        body = {"includeDetail": True, "apiName": name, "data": {"apiName": name, "includeDetail": True}}
        data = self._post(name, "/cgi/crm/v2/object/describe", body).get("data") or {}
        fields = (data.get("describe") or {}).get("fields")
        if not isinstance(fields, dict) or not fields:
            raise PermanentError(
                f"{self._what}, object {name}",
                cause="its description has no fields",
                next_step="check that the user may see the object in the CRM",
            )
        return fields

    def pages(
        self,
        name: str,
        fields: Sequence[str],
        *,
        window: Window | None = None,
        conditions: Sequence[dict[str, Any]] = (),
    ) -> Iterator[list[dict[str, Any]]]:
        """Records of an object in the order of their ids, page by page.

        A read that breaks off is taken up where it stopped, and keeps the end of its first attempt: a row
        that has changed since then belongs to the next window.
        """
        start = None if window is None else window.start
        until = None if window is None else min(window.end, self._http.clock.now() - SETTLING)

        def fetch(cursor: str | None) -> tuple[str, str | None]:
            after, end = json.loads(cursor) if cursor else (None, until and milliseconds(until))
            filters = list(conditions)
            if end is not None:
                filters.append({"field_name": CHANGED, "operator": "LT", "field_values": [end]})
            if start is not None:
                filters.append(
                    {"field_name": CHANGED, "operator": "GTE", "field_values": [milliseconds(start)]}
                )
            if after is not None:
                filters.append({"field_name": "_id", "operator": "GT", "field_values": [after]})
            rows = self._query(name, fields, filters)
            is_last = len(rows) < PAGE_ROWS
            following = None if is_last else json.dumps([rows[-1]["_id"], end])
            return json.dumps(rows, ensure_ascii=False, default=str), following

        if conditions:
            cursor: str | None = None
            while True:
                page, cursor = fetch(cursor)
                yield json.loads(page)
                if cursor is None:
                    return
        stream = name_of(name, *fields, repr(start), repr(window and window.end))
        for page in self._spool.stream(stream, fetch, good_for=timedelta(days=1)):
            yield json.loads(page)

    def _query(self, name: str, fields: Sequence[str], filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        path = "/cgi/crm/custom/v2/data/query" if name.endswith("__c") else "/cgi/crm/v2/data/query"
        body = {
            "data": {
                "dataObjectApiName": name,
                # The default differs between the vendor's own pages; counting costs time for nothing.
                "find_explicit_total_num": False,
                "search_query_info": {
                    "limit": PAGE_ROWS,
                    "offset": 0,
                    "filters": filters,
                    "orders": [{"fieldName": "_id", "isAsc": True}],
                    "fieldProjection": list(fields),
                },
            }
        }
        data = self._post(name, path, body).get("data") or {}
        self._total_names |= {key for key in ("total", "totalSize") if key in data}
        return list(data.get("dataList") or ())

    def _post(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return dict(self._http.send(Call("POST", self._host + path, json=body)).data)
        except ReceivablesError as error:
            # The object is what a person has to grant rights on; the path is the same for all of them.
            raise type(error)(
                f"{error.what}, object {name}", cause=error.cause, next_step=error.next_step
            ) from None

    # --- who calls ---

    def _authorize(self, call: Call, token: Token) -> Call:
        if self._style == "header":
            headers = {
                "authorization": f"Bearer {token.value}",
                "x-fs-ea": self._given["ea"],
                "x-fs-userid": self._given["user"],
            }
            body = {"convertUserId": False, "convertMediaId": False, **call.json}
            return replace(call, headers=headers, params=_FreshTrace(), json=body)
        body = {"corpAccessToken": token.value, "corpId": token.more["corpId"], **call.json}
        return replace(call, json={**body, "currentOpenUserId": self._user or token.more["user"]})

    def _fetch_token(self, send: Callable[[Call], Answer]) -> Token:
        app = {
            "appId": self._given["app_id"],
            "appSecret": self._given["app_secret"],
            "permanentCode": self._given["permanent_code"],
        }
        if self._style == "header":
            call = Call(
                "POST",
                f"{self._host}/oauth2.0/token",
                params=_FreshTrace(),
                json={**app, "grantType": "app_secret"},
            )
            data = self._checked(send(call))
            return self._token(str(data["accessToken"]), data, {})
        data = self._checked(send(Call("POST", f"{self._host}/cgi/corpAccessToken/get/V2", json=app)))
        value, corp = str(data["corpAccessToken"]), str(data["corpId"])
        more = {"corpId": corp}
        if self._user is None:
            body = {"corpAccessToken": value, "corpId": corp, "mobile": self._given["user_mobile"]}
            found = self._checked(send(Call("POST", f"{self._host}/cgi/user/getByMobile", json=body)))
            people = found.get("empList") or ()
            if not people:
                raise AuthenticationError(
                    self._what,
                    cause="no employee has the mobile number of auth.user_mobile",
                    next_step="correct it, or give the employee's openUserId as auth.user",
                )
            more["user"] = str(people[0]["openUserId"])
        return self._token(value, data, more)

    def _token(self, value: str, data: Mapping[str, Any], more: dict[str, str]) -> Token:
        """Used for 6,600 of its 7,200 seconds, of which the cache leaves out the last five minutes anyway."""
        life = timedelta(seconds=int(data.get("expiresIn") or 7200) - 300)
        return Token(value, self._http.clock.now() + life, more)

    def _checked(self, answer: Answer) -> dict[str, Any]:
        """The answer of a token call, whose refusals no new token cures."""
        verdict = judge(answer)
        if verdict is None:
            return dict(answer.data)
        if verdict.fault is Fault.DAY:
            raise QuotaError(self._what, cause=f"no token: {verdict.said}", next_step=NEXT_STEPS[30002])
        if verdict.fault in {Fault.MINUTE, Fault.RETRY}:
            raise ThrottledError(
                self._what,
                cause=f"no token: {verdict.said}",
                next_step="the run tries again by itself; at most ten tokens a minute are given",
            )
        raise AuthenticationError(
            self._what,
            cause=f"no token: {self._http.redacted(verdict.said)}",
            next_step=self._http.api.denied,
        )


def judge(answer: Answer) -> Verdict | None:
    """What an answer means. The status is 200 also for errors; only a proxy on the way answers otherwise."""
    by_status = judge_status(answer)
    if by_status is not None:
        return by_status
    data = answer.data if isinstance(answer.data, dict) else {}
    code = data.get("errorCode")
    if code == 0:
        return None
    said = f"errorCode {code}: {data.get('errorMessage')} (traceId {data.get('traceId')})"
    if code == 10013 and "offset" in str(data.get("errorMessage")):
        return Verdict(Fault.PERMANENT, said)  # the same number means a bad token everywhere else
    fault = CODES.get(code, Fault.PERMANENT if isinstance(code, int) else Fault.RETRY)
    wait = 20.0 if fault is Fault.MINUTE else None
    return Verdict(fault, said, wait=wait, next_step=NEXT_STEPS.get(code))


CODES = {
    **dict.fromkeys((-1, -2, 50009), Fault.RETRY),
    **dict.fromkeys((14001, 30004), Fault.MINUTE),
    30002: Fault.DAY,
    **dict.fromkeys((20016, 20005, 11014, 10013), Fault.TOKEN),
    **dict.fromkeys((20006, 20015, 11013, 20012, 20017), Fault.DENIED),
    **dict.fromkeys((20014, 20020, 20021, 20022, 20023, 15003), Fault.DENIED),
}
NEXT_STEPS = {
    30002: "nothing is lost: the quota counts anew after midnight in China, and the run goes on from here",
    30003: "buy a pack of API calls for the tenant (开放接口调用次数), then run again",
    20012: "correct auth.user: an openUserId for style body, a CRM employee id for style header",
    32000: "correct the object or the field that the source file names",
    **dict.fromkeys(
        (20014, 20020, 20021, 20022, 20023, 15003),
        "let the app and the user read this object (对象权限), or name it in `without`",
    ),
}


class _FreshTrace(Mapping[str, str]):
    """The address's `thirdTraceId`: another one each time it is read, as each attempt needs its own."""

    def __getitem__(self, name: str) -> str:
        if name != "thirdTraceId":
            raise KeyError(name)
        return str(uuid.uuid4())

    def __iter__(self) -> Iterator[str]:
        return iter(("thirdTraceId",))

    def __len__(self) -> int:
        return 1


def milliseconds(moment: datetime) -> int:
    """A moment as the service keeps it: since 1970, in thousandths of a second."""
    return int(moment.timestamp() * 1000)
