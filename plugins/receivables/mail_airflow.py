"""Alert mails through Airflow's SMTP provider. Airflow is imported only when a mail is to be sent.

For the DAG: `send_alerts(settings, alert_transport(settings))`; for a run without Airflow: `send_by_hand`.
"""

from __future__ import annotations

import logging
import os
import smtplib
import sqlite3
from typing import TYPE_CHECKING

from receivables.alerts import Mail, Outbox, SmtpTransport
from receivables.errors import PermanentError, ReceivablesError, TransientError
from receivables.settings import Settings

if TYPE_CHECKING:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

logger = logging.getLogger(__name__)

CONNECTION_ID = "smtp_default"


class AirflowSmtp:
    """Sends through the Airflow connection `connection_id`.

    The provider's hook connects, encrypts and logs in, as the connection says (`disable_ssl`, `disable_tls`,
    `ssl_context`, `timeout`, `retry_limit`, `auth_type` in its extra); its own `send_email_smtp` cannot add a
    text part to the HTML, so the finished message goes through the hook's open client.
    """

    def __init__(self, connection_id: str = CONNECTION_ID) -> None:
        self.connection_id = connection_id

    def send(self, mail: Mail) -> None:
        """See `SmtpTransport.send`. No error carries the login or the server's own words about it."""
        from airflow.exceptions import AirflowException

        message = mail.message()
        try:
            with _hook(self.connection_id) as hook:
                refused = hook._smtp_client.send_message(message)
        except smtplib.SMTPAuthenticationError as error:
            raise PermanentError(
                f"mail server of the Airflow connection {self.connection_id}",
                cause=f"it refused the login (code {error.smtp_code})",
                next_step="correct login and password of the connection; the alert stays open until it is"
                " sent",
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            kind = TransientError if all(400 <= code < 500 for code in codes) else PermanentError
            raise kind(
                f"mail server of the Airflow connection {self.connection_id}",
                cause=f"it refused every recipient (codes {', '.join(map(str, codes))})",
                next_step="correct the address (receivables.yml, or RECEIVABLES_ALERT_TO); the mail waits"
                " until it is sent",
            ) from error
        except smtplib.SMTPResponseException as error:
            kind = TransientError if 400 <= error.smtp_code < 500 else PermanentError
            raise kind(
                f"mail server of the Airflow connection {self.connection_id}",
                cause=f"it answered with code {error.smtp_code}",
                next_step="read the mail server's log, correct RECEIVABLES_ALERT_FROM if it refuses the"
                " sender; the alert stays open until it is sent",
            ) from error
        except smtplib.SMTPNotSupportedError as error:
            raise PermanentError(
                f"mail server of the Airflow connection {self.connection_id}",
                cause=f"it does not offer what the connection asks for ({error})",
                next_step='set "disable_tls": true in the extra of the connection, or remove its login, or'
                " switch"
                " it on in the server; the alert stays open until it is sent",
            ) from error
        except (OSError, smtplib.SMTPException, AirflowException) as error:
            raise TransientError(
                f"mail server of the Airflow connection {self.connection_id}",
                cause=f"it cannot be reached ({type(error).__name__})",
                next_step="check host, port, disable_ssl and disable_tls of the connection and that the"
                " server runs; the alert stays open and is sent by the next attempt",
            ) from error
        if refused:
            logger.warning("the mail server refused %d of the recipients", len(refused))


def _hook(connection_id: str) -> SmtpHook:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    return SmtpHook(smtp_conn_id=connection_id)


def alert_transport(settings: Settings, connection_id: str = CONNECTION_ID) -> SmtpTransport:
    """Airflow's SMTP connection when there is one, else the outbox folder."""
    from airflow.exceptions import AirflowNotFoundException
    from airflow.providers.common.compat.sdk import BaseHook

    try:
        BaseHook.get_connection(connection_id)
    except AirflowNotFoundException:
        return Outbox(settings.outbox)
    return AirflowSmtp(connection_id)


def transport_by_hand(settings: Settings, connection_id: str = CONNECTION_ID) -> SmtpTransport:
    """The same outside of Airflow, where only the environment is asked: there may be no metadata database."""
    if os.environ.get(f"AIRFLOW_CONN_{connection_id.upper()}"):
        return AirflowSmtp(connection_id)
    return Outbox(settings.outbox)


def send_by_hand(settings: Settings) -> int:
    """Send what waits, from the command line; return how many mails were taken. A mail is never worth a run:
    what cannot be sent is logged, and waits in the spool for the next call.
    """
    from receivables.alert_spool import send_alerts

    try:
        return send_alerts(settings, transport_by_hand(settings))
    except (ReceivablesError, OSError, sqlite3.Error) as error:
        logger.error("alerts were not sent, and wait: %s", error)
        return 0
