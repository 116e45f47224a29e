"""Mails what a person has to know: failed checks with their rows, broken runs, delays, and what is mended.

**Starts** after a failure or delay in any of the other DAGs, and after each publication (for warnings that
stopped nothing). **Steps:** each recipient of `receivables.yml` gets what is critical at once and the rest in
at most one digest a day, through the Airflow connection `smtp_default`; without that connection mails are
written to the outbox folder and the log says so. **Stops** when the mail server is down: retried for hours,
and mails wait in the spool until the server has taken them, so no alert is lost. **Again:** clear the run;
what was mailed is not mailed twice. Runbook: docs/runbooks/alert_receivables.md
"""

from __future__ import annotations

from airflow.sdk import DAG, task

from receivables import orchestration as flow


@task(retries=8)
def send_alerts(**context) -> int:
    from receivables import alert_spool, mail_airflow

    with flow.working(context) as step:
        return alert_spool.send_alerts(step.settings, mail_airflow.alert_transport(step.settings))


with DAG(
    "alert_receivables",
    schedule=flow.when(flow.INCIDENTS, flow.PUBLISHED),
    doc_md=__doc__,
    **flow.dag_defaults(hours=24, on_failure_callback=None),
):
    send_alerts()
