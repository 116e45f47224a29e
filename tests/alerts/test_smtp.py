"""Alerts through Airflow's SMTP provider to a real mail server on the loopback interface."""

from __future__ import annotations

import email
import email.policy
import json
import logging
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from receivables.alert_spool import send_alerts, unsent
from receivables.alerts import Outbox, record_incident
from receivables.errors import PermanentError, TransientError
from receivables.mail_airflow import AirflowSmtp, alert_transport, send_by_hand
from receivables.settings import PACKAGE_DIR, Settings
from tests.alerts.test_alerts import incident

pytestmark = pytest.mark.airflow

PASSWORD = "correct horse"


class Mailbox:
    """What the server accepted; `refuse` makes it answer with an error instead."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.logins: list[str] = []
        self.refuse: str | None = None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it by this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        self.logins.append(data.login.decode())
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def serve(mailbox: Mailbox) -> Iterator[Callable[..., int]]:
    """Start a server with the given options; returns its port."""
    controllers: list[Controller] = []

    def start(**options: Any) -> int:
        controller = Controller(mailbox, hostname="127.0.0.1", port=_free_port(), **options)
        controller.start()
        controllers.append(controller)
        return controller.port

    yield start
    for controller in controllers:
        controller.stop()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.setenv("RECEIVABLES_ALERT_TO", "Wang Li <wang@example.com>")
    monkeypatch.setenv("RECEIVABLES_ALERT_FROM", "Receivables <receivables@example.com>")
    return replace(Settings.load(), root=PACKAGE_DIR.parent.parent, home=tmp_path)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_connection(port: int, *, login: str = "", password: str = "", **extra: Any) -> None:
        connection = {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": port,
            "login": login,
            "password": password,
            "extra": {"disable_ssl": True, "disable_tls": True, "timeout": 5, "retry_limit": 0, **extra},
        }
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))

    return set_connection


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_an_alert_arrives_with_text_and_html(
    settings: Settings, serve: Callable[..., int], connect: Callable[..., None], mailbox: Mailbox
) -> None:
    connect(serve())
    record_incident(settings, incident())
    transport = alert_transport(settings)
    assert isinstance(transport, AirflowSmtp)
    assert send_alerts(settings, transport) == 1
    (envelope,) = mailbox.envelopes
    assert envelope.rcpt_tos == ["wang@example.com"]
    assert envelope.mail_from == "receivables@example.com"
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert message["Subject"].startswith("[Receivables] critical: Checks on the marts of 2024-03-29")
    assert message["Bcc"] is None
    for kind in ("plain", "html"):
        body = message.get_body((kind,)).get_content()
        assert "erp:INV-1:1" in body
        assert "华东" in body
    assert "<script" not in message.get_body(("html",)).get_content()
    assert unsent(settings) == []


def test_login_and_starttls_are_those_of_the_connection(
    settings: Settings,
    serve: Callable[..., int],
    connect: Callable[..., None],
    mailbox: Mailbox,
    certificate: ssl.SSLContext,
) -> None:
    port = serve(
        tls_context=certificate,
        require_starttls=True,
        auth_required=True,
        authenticator=mailbox.authenticate,
    )
    connect(port, login="robot", password=PASSWORD, disable_tls=False, ssl_context="none")
    record_incident(settings, incident())
    assert send_alerts(settings, alert_transport(settings)) == 1
    assert mailbox.logins == ["robot"]
    assert len(mailbox.envelopes) == 1


def test_a_certificate_that_nobody_vouches_for_is_not_accepted(
    settings: Settings,
    serve: Callable[..., int],
    connect: Callable[..., None],
    mailbox: Mailbox,
    certificate: ssl.SSLContext,
) -> None:
    connect(serve(tls_context=certificate, require_starttls=True), disable_tls=False)
    record_incident(settings, incident())
    with pytest.raises(TransientError, match="SSLCertVerificationError"):
        send_alerts(settings, alert_transport(settings))
    assert mailbox.envelopes == []
    assert len(unsent(settings)) == 1


def test_a_wrong_password_is_said_without_saying_it(
    settings: Settings,
    serve: Callable[..., int],
    connect: Callable[..., None],
    mailbox: Mailbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = serve(auth_required=True, authenticator=mailbox.authenticate, auth_require_tls=False)
    connect(port, login="robot", password="s3cret")
    record_incident(settings, incident())
    with caplog.at_level(logging.DEBUG), pytest.raises(PermanentError, match="refused the login") as caught:
        send_alerts(settings, alert_transport(settings))
    assert "s3cret" not in str(caught.value) + caplog.text
    assert len(unsent(settings)) == 1


def test_a_server_that_is_down_is_tried_again_later(
    settings: Settings, serve: Callable[..., int], connect: Callable[..., None], mailbox: Mailbox
) -> None:
    connect(_free_port())
    record_incident(settings, incident())
    with pytest.raises(TransientError, match="cannot be reached"):
        send_alerts(settings, alert_transport(settings))
    assert len(unsent(settings)) == 1
    connect(serve())
    assert send_alerts(settings, alert_transport(settings)) == 1
    assert len(mailbox.envelopes) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [("450 try later", TransientError), ("550 no such mailbox", PermanentError)],
)
def test_a_refused_mail_waits(
    answer: str,
    error: type[Exception],
    settings: Settings,
    serve: Callable[..., int],
    connect: Callable[..., None],
    mailbox: Mailbox,
) -> None:
    connect(serve())
    mailbox.refuse = answer
    record_incident(settings, incident())
    with pytest.raises(error, match="refused every recipient"):
        send_alerts(settings, alert_transport(settings))
    assert len(unsent(settings)) == 1


def test_without_a_connection_the_outbox_takes_the_mail(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SMTP_DEFAULT", raising=False)
    assert isinstance(alert_transport(settings), Outbox)


def test_a_run_without_airflow_sends_through_the_connection_of_the_environment(
    settings: Settings, serve: Callable[..., int], connect: Callable[..., None], mailbox: Mailbox
) -> None:
    connect(serve())
    record_incident(settings, incident())
    assert send_by_hand(settings) == 1
    assert len(mailbox.envelopes) == 1


def test_a_mail_that_cannot_be_sent_never_breaks_a_run_without_airflow(
    settings: Settings, connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    connect(_free_port())
    record_incident(settings, incident())
    assert send_by_hand(settings) == 0
    assert len(unsent(settings)) == 1
    assert "alerts were not sent, and wait" in caplog.text


def test_without_a_connection_a_run_without_airflow_writes_to_the_outbox(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SMTP_DEFAULT", raising=False)
    record_incident(settings, incident())
    assert send_by_hand(settings) == 1
    assert len(list(settings.outbox.glob("*.eml"))) == 1


def test_each_recipient_gets_a_mail_of_their_own_in_their_language(
    settings: Settings,
    serve: Callable[..., int],
    connect: Callable[..., None],
    mailbox: Mailbox,
    tmp_path: Path,
) -> None:
    connect(serve())
    config = tmp_path / "receivables.yml"
    recipients = "[{address: ar@example.com}, {address: 王丽 <wang@example.com>, language: zh}]"
    ours = settings.config_file.read_text(encoding="utf-8")
    config.write_text(f"{ours}\nalerts: {{recipients: {recipients}}}\n", encoding="utf-8")
    settings = replace(settings, config_file=config)
    record_incident(settings, incident())
    assert send_by_hand(settings) == 2

    read = [
        email.message_from_bytes(envelope.content, policy=email.policy.default)
        for envelope in mailbox.envelopes
    ]
    assert [envelope.rcpt_tos for envelope in mailbox.envelopes] == [["ar@example.com"], ["wang@example.com"]]
    assert [message["Subject"] for message in read] == [
        "[Receivables] critical: Checks on the marts of 2024-03-29: 1 critical failure",
        "[应收账款] 严重：2024-03-29 数据集市的检查：1 项严重失败",
    ]
    assert read[1]["To"].addresses[0].display_name == "王丽"
    assert "没有分期的未清金额低于零。" in read[1].get_body(("plain",)).get_content()
    assert 'lang="zh"' in read[1].get_body(("html",)).get_content()
    assert read[0]["Message-ID"] != read[1]["Message-ID"]
