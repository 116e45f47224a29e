"""Mails what a person has to know: failed checks with their rows, broken runs, and recoveries.

**Starts** after a failure in any of the other DAGs, and after each publication (for warnings that stopped
nothing). **Steps:** all open incidents go into one mail through the Airflow connection `smtp_default` to
RECEIVABLES_ALERT_TO; without that connection the mail is written to the outbox folder and the log says so.
**Stops** when the mail server is down: retried for hours, and the incidents stay open until a mail about
them was accepted, so no alert is lost. **Again:** clear the run; an incident that was mailed is not mailed
twice. Runbook: docs/runbooks/alert_receivables.md
"""

from __future__ import annotations

from airflow.sdk import DAG, task

from receivables import orchestration as flow


@task(retries=8)
def send_alerts(**context) -> int:
    from receivables import alerts, mail_airflow

    with flow.working(context) as step:
        return alerts.send_alerts(step.settings, mail_airflow.alert_transport(step.settings))


with DAG(
    "alert_receivables",
    schedule=flow.when(flow.INCIDENTS, flow.PUBLISHED),
    doc_md=__doc__,
    **flow.dag_defaults(hours=24, on_failure_callback=None),
):
    send_alerts()
