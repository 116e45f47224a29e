"""Service levels as deadlines of Airflow's runs: when they are due, and that nobody is told twice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from receivables import service_levels
from receivables.alert_spool import send_alerts
from receivables.alerts import Mail, open_incidents
from receivables.deadline_airflow import Promised, moment, tell
from receivables.errors import TransientError
from receivables.settings import Settings
from tests.orchestration.conftest import Parse

DAY = date(2026, 3, 27)
DUE = datetime(2026, 3, 28, 5, 30, tzinfo=UTC)
PROMISES = 'service_levels: {landed_by: "04:00", published_by: "06:30", timezone: Europe/Berlin}\n'


@pytest.fixture
def settings(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (home.sources_dir / "erp.yml").touch()
    home.config_file.write_text(
        home.config_file.read_text(encoding="utf-8") + "\n" + PROMISES, encoding="utf-8"
    )
    monkeypatch.setenv("RECEIVABLES_HOME", str(home.home))
    monkeypatch.setenv("RECEIVABLES_SOURCES", str(home.sources_dir))
    monkeypatch.setenv("RECEIVABLES_CONFIG", str(home.config_file))
    return home


def test_a_run_is_due_when_its_day_is_promised(settings: Settings) -> None:
    assert moment(settings, "published", DAY, now=DUE - timedelta(seconds=1)) == DUE


def test_a_run_that_starts_after_its_day_was_due_has_no_deadline(settings: Settings) -> None:
    assert moment(settings, "published", DAY, now=DUE) is None


def test_without_a_promise_there_is_no_deadline(home: Settings) -> None:
    assert moment(home, "published", DAY, now=DUE - timedelta(hours=1)) is None


def test_settings_that_cannot_be_read_never_keep_a_run_from_being_created(settings: Settings) -> None:
    settings.config_file.write_text("companies: 7\n", encoding="utf-8")
    assert moment(settings, "published", DAY, now=DUE - timedelta(hours=1)) is None


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("2099-03-27", None), datetime(2099, 3, 28, 5, 30, tzinfo=UTC)),
        ((None, {"as_of_date": "2099-03-27"}), datetime(2099, 3, 28, 5, 30, tzinfo=UTC)),
        ((None, None), None),
        (("tomorrow", None), None),
        (None, None),
    ],
)
def test_the_day_of_a_run_is_its_partition_key_or_stands_in_its_conf(
    settings: Settings, row: object, expected: datetime | None
) -> None:
    session: Any = SimpleNamespace(execute=lambda query: SimpleNamespace(one_or_none=lambda: row))
    assert Promised("published")._evaluate_with(session=session, dag_id="ingest_erp", run_id="r") == expected


def test_airflow_keeps_the_reference_between_its_processes(settings: Settings) -> None:
    from airflow.serialization.decoders import decode_deadline_reference
    from airflow.serialization.encoders import encode_deadline_reference

    stored = encode_deadline_reference(Promised("landed"))
    assert decode_deadline_reference(stored).inner_ref == Promised("landed")
    assert Promised("landed") != Promised("published")


def test_each_dag_of_the_chain_has_the_deadlines_that_are_promised(parse: Parse, settings: Settings) -> None:
    def names(dags: dict[str, Any]) -> dict[str, list[str]]:
        return {dag_id: [each.name for each in dag.deadline or []] for dag_id, dag in dags.items()}

    found = names(parse("erp", RECEIVABLES_CONFIG=str(settings.config_file)))
    assert found == {
        "ingest_erp": ["landed as promised", "published as promised"],
        "transform_receivables": ["published as promised"],
        "publish_receivables": ["published as promised"],
        "alert_receivables": [],
        "watch_landed": [],
        "watch_published": [],
    }


def missed(day: date = DAY) -> dict[str, Any]:
    return {"dag_run": {"partition_key": day.isoformat(), "conf": None}}


class _Server:
    """Takes every mail."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    def send(self, mail: Mail) -> None:
        self.mails.append(mail)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> _Server:
    server = _Server()
    monkeypatch.setattr("receivables.mail_airflow.alert_transport", lambda settings: server)
    monkeypatch.setenv("RECEIVABLES_ALERT_TO", "ar@example.com")
    return server


def test_a_missed_deadline_is_mailed_once_whoever_notices_it(settings: Settings, server: _Server) -> None:
    tell("published", missed())
    assert [mail.subject for mail in server.mails] == [
        "[Receivables] late: The marts of 2026-03-27 were not published by 06:30 (Europe/Berlin)"
    ]

    with pytest.raises(service_levels.ServiceLevelMissedError):
        service_levels.watch(settings, "published", DAY)
    tell("published", missed())
    send_alerts(settings, server)
    assert len(server.mails) == 1


def test_a_failed_run_whose_day_another_run_has_published_is_no_news(
    settings: Settings, server: _Server
) -> None:
    service_levels.note_published(settings, DAY)
    tell("published", missed())
    assert (server.mails, open_incidents(settings)) == ([], [])


def test_a_mail_server_that_is_down_loses_no_missed_deadline(
    settings: Settings, server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(mail: Mail) -> None:
        raise TransientError("mail server", cause="is down", next_step="wait")

    taken, server.send = server.send, down  # type: ignore[method-assign]
    tell("published", missed())
    server.send = taken  # type: ignore[method-assign]
    assert send_alerts(settings, server) == 1
