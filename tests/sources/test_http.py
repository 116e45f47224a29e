"""The client of web services: tokens, pauses, limits, exact numbers, and errors without secrets."""

from __future__ import annotations

import logging
import sqlite3
import stat
import threading
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from receivables.errors import PermanentError, TransientError
from receivables.sources.http import (
    Answer,
    Api,
    AuthenticationError,
    Call,
    Fault,
    GoneError,
    HttpClient,
    Verdict,
    judge_status,
)
from receivables.sources.http_state import (
    Bucket,
    QuotaError,
    RateLimit,
    Spool,
    ThrottledError,
    Token,
    TokenCache,
)
from tests.sources.http_fakes import Script, Scripted, TestClock

URL = "https://api.example.com/v1/invoices"
SECRET = "s3cr3t/with+signs"


class Service:
    """A client on a scripted service that counts the tokens it gives."""

    def __init__(self, state: Path, answers: Iterable[Scripted], *, clock: TestClock | None = None) -> None:
        self.clock = clock or TestClock()
        self.script = Script(answers)
        self.tokens = 0
        self.client = HttpClient(
            Api(
                what="source books",
                authorize=lambda call, token: call.with_headers(Authorization=f"Bearer {token.value}"),
                fetch_token=self._fetch,
                judge=self._judge,
                identity=("https://accounts.example.com", "client", SECRET),
                secrets=(SECRET,),
                denied="grant the scope invoices.READ",
            ),
            state=state,
            clock=self.clock.clock,
            attempts=4,
            transport=self.script,
        )

    def _fetch(self, send: object) -> Token:
        self.tokens += 1
        return Token(f"token-{self.tokens}-abcdef", self.clock.now() + timedelta(hours=1))

    def _judge(self, answer: Answer) -> Verdict | None:
        if answer.status == 429 and "day" in answer.text:
            return Verdict(Fault.DAY, answer.text)
        return judge_status(answer)

    def send(self, **params: str) -> Answer:
        return self.client.send(Call("GET", URL, params=params))


def ok(text: str = '{"ok": true}') -> httpx.Response:
    return httpx.Response(200, text=text)


def test_numbers_are_exact(tmp_path: Path) -> None:
    answer = Service(tmp_path, [ok('{"amount": 0.1, "id": 982000000567114}')]).send()
    assert answer.data == {"amount": Decimal("0.1"), "id": 982000000567114}


def test_a_plus_in_a_parameter_is_encoded(tmp_path: Path) -> None:
    service = Service(tmp_path, [ok()])
    service.send(since="2026-01-05T10:00:00+0800")
    assert b"+" not in service.script.requests[0].url.query


def test_one_token_serves_many_calls_and_clients(tmp_path: Path) -> None:
    first = Service(tmp_path, [ok()])
    first.send()
    first.send()
    second = Service(tmp_path, [ok()])
    second.send()
    assert (first.tokens, second.tokens) == (1, 0)


def test_the_token_file_belongs_to_its_owner_and_names_no_secret(tmp_path: Path) -> None:
    state = tmp_path / "http"
    Service(state, [ok()]).send()
    files = list(state.glob("*.json"))
    assert files
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert all(SECRET not in path.read_text() and SECRET not in path.name for path in files)


def test_a_token_is_renewed_before_it_expires(tmp_path: Path) -> None:
    service = Service(tmp_path, [ok()])
    service.send()
    service.clock.sleep(56 * 60)
    service.send()
    assert service.tokens == 2


def test_a_refused_token_is_renewed_once_and_the_call_repeated(tmp_path: Path) -> None:
    service = Service(tmp_path, [httpx.Response(401), ok()])
    assert service.send().status == 200
    assert service.tokens == 2
    assert service.script.requests[1].headers["authorization"] == "Bearer token-2-abcdef"


def test_a_new_token_that_is_refused_too_is_a_matter_of_rights(tmp_path: Path) -> None:
    service = Service(tmp_path, [httpx.Response(401, text="not authorized")])
    with pytest.raises(AuthenticationError, match=r"invoices\.READ"):
        service.send()
    assert len(service.script.requests) == 2


def test_tasks_that_need_a_token_at_once_fetch_one(tmp_path: Path) -> None:
    clock = TestClock()
    fetched: list[str] = []
    started = threading.Barrier(4)

    def fetch() -> Token:
        fetched.append("token")
        return Token("token", clock.now() + timedelta(hours=1))

    def work() -> None:
        cache = TokenCache(tmp_path / "token.json", clock=clock.clock)
        started.wait()
        cache.get(fetch)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == ["token"]


def test_after_no_for_a_new_token_nobody_asks_for_a_while(tmp_path: Path) -> None:
    clock = TestClock()
    cache = TokenCache(tmp_path / "token.json", clock=clock.clock)
    asked: list[str] = []

    def fetch() -> Token:
        asked.append("token")
        raise ThrottledError("source books", cause="too many tokens", next_step="wait")

    for _ in range(3):
        with pytest.raises(ThrottledError, match="too many tokens"):
            cache.get(fetch)
    assert len(asked) == 1
    clock.sleep(16 * 60)
    with pytest.raises(ThrottledError):
        cache.get(fetch)
    assert len(asked) == 2


@pytest.mark.parametrize(
    "fault",
    [
        httpx.Response(500),
        httpx.Response(503),
        httpx.ReadTimeout("slow"),
        httpx.ReadError("connection reset by peer"),
        httpx.RemoteProtocolError("peer closed connection"),
        httpx.Response(200, text='{"invoices": [{"invoice_id": "1"'),
    ],
)
def test_what_may_pass_is_tried_again_with_growing_pauses(tmp_path: Path, fault: Scripted) -> None:
    service = Service(tmp_path, [fault, fault, ok()])
    assert service.send().data == {"ok": True}
    assert len(service.clock.slept) == 2
    assert 0 < service.clock.slept[0] < service.clock.slept[1] <= 62


def test_attempts_are_capped(tmp_path: Path) -> None:
    service = Service(tmp_path, [httpx.Response(500, text="Internal error")])
    with pytest.raises(TransientError, match="Internal error") as caught:
        service.send()
    assert len(service.script.requests) == 4
    assert caught.value.exit_code == 75


def test_a_throttled_minute_is_waited_for_by_everybody(tmp_path: Path) -> None:
    service = Service(tmp_path, [httpx.Response(429), ok()])
    start = service.clock.now()
    service.send()
    assert service.clock.now() - start >= timedelta(seconds=60)
    other = Service(tmp_path, [ok()], clock=TestClock(start))
    other.send()
    assert other.clock.now() - start >= timedelta(seconds=60)


def test_the_service_says_how_long_to_wait(tmp_path: Path) -> None:
    service = Service(tmp_path, [httpx.Response(429, headers={"Retry-After": "7"}), ok()])
    service.send()
    assert 7 <= sum(service.clock.slept) <= 13


def test_a_minute_that_never_passes_is_a_throttle(tmp_path: Path) -> None:
    with pytest.raises(ThrottledError):
        Service(tmp_path, [httpx.Response(429)]).send()


def test_a_days_quota_ends_the_run_at_once(tmp_path: Path) -> None:
    service = Service(tmp_path, [httpx.Response(429, text="calls of the day")])
    with pytest.raises(QuotaError, match="goes on where it stopped") as caught:
        service.send()
    assert len(service.script.requests) == 1
    assert service.clock.slept == []
    assert caught.value.exit_code == 75


@pytest.mark.parametrize(
    ("status", "error"), [(400, PermanentError), (403, AuthenticationError), (404, GoneError)]
)
def test_what_no_retry_cures_is_not_tried_again(tmp_path: Path, status: int, error: type[Exception]) -> None:
    service = Service(tmp_path, [httpx.Response(status)])
    with pytest.raises(error):
        service.send()
    assert len(service.script.requests) == 1


def test_a_redirect_is_not_followed_with_the_token(tmp_path: Path) -> None:
    service = Service(tmp_path, [httpx.Response(302, headers={"Location": "https://elsewhere.example"})])
    with pytest.raises(PermanentError, match="redirects elsewhere"):
        service.send()
    assert len(service.script.requests) == 1


def test_no_secret_and_no_token_is_in_an_error_or_a_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    echo = f'bad: {SECRET} s3cr3t%2Fwith%2Bsigns token-1-abcdef {{"refresh_token":"1000.zz"}}'
    service = Service(tmp_path, [httpx.Response(500, text=echo), httpx.Response(400, text=echo)])
    caplog.set_level(logging.DEBUG)
    with pytest.raises(PermanentError) as caught:
        service.send()
    for text in (str(caught.value), caplog.text):
        assert "bad: ***" in text
        assert not [word for word in ("s3cr3t", "token-1", "1000.zz") if word in text]
    assert caught.value.__cause__ is None


def test_calls_wait_for_their_turn_in_the_minute(tmp_path: Path) -> None:
    clock = TestClock()
    limits = [
        RateLimit(
            tmp_path / "limits.json", (Bucket("minute", 100, 60),), what="source books", clock=clock.clock
        )
        for _ in range(2)
    ]
    start = clock.now()
    moments = []
    for number in range(250):
        limits[number % 2].acquire()
        moments.append((clock.now() - start).total_seconds())
    assert moments[99] == 0
    assert all(later - earlier >= 60 for earlier, later in zip(moments, moments[100:], strict=False))
    assert moments[-1] < 125


def test_a_used_up_budget_of_the_day_ends_the_run(tmp_path: Path) -> None:
    clock = TestClock()
    limit = RateLimit(
        tmp_path / "limits.json",
        (Bucket("calls_per_day", 3, 86_400, is_quota=True),),
        what="source books",
        clock=clock.clock,
    )
    for _ in range(3):
        limit.acquire()
    with pytest.raises(QuotaError, match="calls_per_day"):
        limit.acquire()
    clock.sleep(25 * 3600)
    limit.acquire()


def spool(tmp_path: Path, clock: TestClock) -> Spool:
    return Spool(tmp_path / "spool.sqlite", clock=clock.clock)


PAGES = {None: ("a", "1"), "1": ("b", "2"), "2": ("c", None)}


def test_a_read_that_broke_off_goes_on_behind_what_arrived(tmp_path: Path) -> None:
    clock = TestClock()
    asked: list[str | None] = []

    def fetch(cursor: str | None) -> tuple[str, str | None]:
        asked.append(cursor)
        if cursor == "2" and len(asked) == 3:
            raise QuotaError("x", cause="y", next_step="z")
        return PAGES[cursor]

    with pytest.raises(QuotaError):
        list(spool(tmp_path, clock).stream("invoices", fetch))
    assert list(spool(tmp_path, clock).stream("invoices", fetch)) == ["a", "b", "c"]
    assert asked == [None, "1", "2", "2"]
    assert list(spool(tmp_path, clock).stream("invoices", fetch)) == ["a", "b", "c"], (
        "a whole read starts anew"
    )
    assert len(asked) == 7


def test_a_read_that_broke_off_long_ago_starts_anew(tmp_path: Path) -> None:
    clock = TestClock()
    first = spool(tmp_path, clock).stream("invoices", lambda cursor: PAGES[cursor])
    assert next(first) == "a"
    first.close()
    clock.sleep(4 * 86_400)
    asked: list[str | None] = []

    def fetch(cursor: str | None) -> tuple[str, str | None]:
        asked.append(cursor)
        return PAGES[cursor]

    assert list(spool(tmp_path, clock).stream("invoices", fetch)) == ["a", "b", "c"]
    assert asked[0] is None


def test_a_document_is_good_for_its_version(tmp_path: Path) -> None:
    kept = spool(tmp_path, TestClock())
    kept.keep("payments", "7", "v1", '{"a": 1}')
    again = spool(tmp_path, TestClock())
    assert again.document("payments", "7", "v1") == '{"a": 1}'
    assert again.document("payments", "7", "v2") is None
    assert again.document("payments", "7") == '{"a": 1}', "the last one, whatever its version"
    assert stat.S_IMODE((tmp_path / "spool.sqlite").stat().st_mode) == 0o600


def test_what_nobody_can_ask_for_any_more_goes_after_a_month(tmp_path: Path) -> None:
    clock = TestClock()
    kept = spool(tmp_path, clock)
    for key in ("there", "gone"):
        kept.keep("payments", key, "v1", "{}")
    broken_off = kept.stream("receipts", lambda cursor: PAGES[cursor])
    next(broken_off)
    clock.sleep(20 * 86_400)
    kept.keep("payments", "gone lately", "v1", "{}")
    kept.prune("payments", {"there"})
    assert kept.document("payments", "gone") == "{}"
    clock.sleep(11 * 86_400)
    kept.prune("payments", {"there"})
    kept.close()
    again = spool(tmp_path, clock)
    found = [key for key in ("there", "gone", "gone lately") if again.document("payments", key)]
    assert found == ["there", "gone lately"]
    with closing(sqlite3.connect(tmp_path / "spool.sqlite")) as connection:
        assert connection.execute("select count(*) from pages").fetchall() == [(0,)]
