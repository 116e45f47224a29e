"""Lets the rule book decide about the candidate version of one business day, and publishes it when it
passes.

**Starts** when `transform_receivables` has built a candidate, or by hand with a partition key such as
`2026-03-31` and, if there is more than one candidate of that day, the conf `{"run": "…"}`. **Steps:** Great
Expectations checks the marts; the version is sealed and the link `published/current` flips to it in one
step; the published files are opened through the link and compared with their manifest. **Stops** when a
critical check fails: readers keep the version they have, the mail and Data Docs show the rows. A version of
an older day is stored and does not become current. **Again:** clear the run; publishing twice ends in the
same state. Runbook: docs/runbooks/publish_receivables.md
"""

from __future__ import annotations

from airflow.sdk import DAG, task

from receivables import orchestration as flow


@task(pool=flow.WAREHOUSE_POOL)
def check_marts(**context) -> str:
    from receivables import pipeline

    with flow.working(context) as step:
        run = flow.candidate_run(context, step)
        flow.decide(pipeline.check_candidate(step.settings, step.day, run), context)
        return run


@task(pool=flow.WAREHOUSE_POOL)
def publish(run: str, **context) -> str:
    from receivables import pipeline

    with flow.working(context) as step:
        return pipeline.publish_version(step.settings, step.day, run).version.name


@task(outlets=[flow.PUBLISHED])
def check_published(version: str, **context) -> None:
    from receivables.publish import verify

    with flow.working(context) as step:
        verify(step.settings, version)
        flow.note_recovery(step)
        flow.announce(context, flow.PUBLISHED, version)


with DAG(
    "publish_receivables",
    schedule=flow.when(flow.CANDIDATE),
    doc_md=__doc__,
    **flow.dag_defaults(hours=2, levels=("published",)),
):
    check_published(publish(check_marts())) >> flow.end()
