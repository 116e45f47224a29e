"""Builds the marts of one business day with dbt and makes them a candidate for publication.

**Starts** when every source of the day has passed its raw checks, or by hand with a partition key such as
`2026-03-31`. **Steps:** one dbt process builds and tests all models (`models.dbt_producer_watcher`; it owns
the warehouse meanwhile) and one task per model shows how that model fared; marts and run record are copied
into a hidden folder; the copy is opened as a reader would open it. **Stops** when a model cannot be built or
a dbt test fails: nothing is announced, readers keep the version they have. **Again:** clear the run; dbt
starts from the beginning and ends in the same tables. Runbook: docs/runbooks/transform_receivables.md
"""

from __future__ import annotations

from airflow.sdk import DAG, task

from receivables import orchestration as flow


@task(pool=flow.WAREHOUSE_POOL, priority_weight=100)  # before the tasks that only show a model
def build_candidate(**context) -> None:
    from receivables import pipeline

    with flow.working(context) as step:
        pipeline.candidate(step.settings, step.day, step.run)


@task(outlets=[flow.CANDIDATE], priority_weight=100)
def check_candidate(**context) -> None:
    from receivables import publish

    with flow.working(context) as step:
        publish.audit(publish.candidate_database(step.settings, step.day, step.run).parent, step.day)
        flow.announce(context, flow.CANDIDATE, step.run)


with DAG(
    "transform_receivables",
    schedule=flow.when_all_sources_are_checked(),
    doc_md=__doc__,
    user_defined_macros={"business_day": flow.business_day},
    **flow.dag_defaults(hours=6, levels=("published",)),
):
    flow.dbt_models() >> build_candidate() >> check_candidate() >> flow.end()
