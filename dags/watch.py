"""Asks at the time that `receivables.yml` promises whether a business day is loaded, or published.

One DAG per promise under `service_levels:`. **Starts** each day at that time of day, for the day before.
**Steps:** one look at the notes that the other DAGs leave; it opens no database, so it answers while a run
that is late holds the warehouse. **Stops** (fails, and is mailed at once) when the day is late; a day that
reaches its level later is recorded so in `quality.service_levels`. **Again:** clear the run; nobody is told
twice. Runbook: docs/runbooks/watch.md
"""

from __future__ import annotations

from airflow.sdk import DAG, task

from receivables import orchestration as flow


def watch(level: str, schedule) -> DAG:
    @task(retries=0)
    def is_on_time(**context) -> None:
        from receivables import service_levels

        with flow.working(context) as step:
            service_levels.watch(step.settings, level, step.day)

    with DAG(f"watch_{level}", schedule=schedule, doc_md=__doc__, **flow.dag_defaults(hours=1)) as dag:
        is_on_time() >> flow.end()
    return dag


for level, schedule in flow.promises().items():
    globals()[f"watch_{level}"] = watch(level, schedule)
