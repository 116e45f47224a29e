"""Brings one source system's rows of one business day into the warehouse, and checks that they arrived
whole.

One DAG per file in `sources/`. **Starts** each night for the day that has ended (RECEIVABLES_SCHEDULE), by a
backfill, or by hand with a partition key such as `2026-03-31`. **Steps:** every entity is extracted in
parallel into the landing folder; one task loads them all (it owns the warehouse meanwhile); the raw checks
decide. **Stops** when the source cannot be read (retries with growing pauses if it may come back, at once if
not) or a critical check fails: then nothing is announced, and no day is built on it. **Again:** clear the
run; what is loaded already is not loaded twice. Runbook: docs/runbooks/ingest.md
"""

from __future__ import annotations

from airflow.sdk import DAG, task

from receivables import orchestration as flow


def ingest(source: str) -> DAG:
    checked = flow.raw_asset(source)

    @task
    def entities() -> list[str]:
        from receivables import pipeline

        return pipeline.entities_of(flow.Settings.load(), source)

    @task(map_index_template="{{ entity }}", max_active_tis_per_dagrun=4)
    def extract(entity: str, **context) -> None:
        from receivables import pipeline

        context["entity"] = entity
        with flow.working(context) as step:
            pipeline.extract_entity(step.settings, source, entity, step.day, step.run)

    @task(pool=flow.WAREHOUSE_POOL)
    def load(**context) -> None:
        from receivables import pipeline

        with flow.working(context) as step:
            pipeline.load_source(step.settings, source, step.day, step.run)

    @task(pool=flow.WAREHOUSE_POOL, outlets=[checked])
    def check_raw(**context) -> None:
        from receivables import pipeline

        with flow.working(context) as step:
            flow.decide(pipeline.check_source(step.settings, source, step.day, step.run), context)
            flow.announce(context, checked, step.run)

    defaults = flow.dag_defaults(hours=6, levels=("landed", "published"))
    with DAG(f"ingest_{source}", schedule=flow.daily(), doc_md=__doc__, **defaults) as dag:
        extract.expand(entity=entities()) >> load() >> check_raw() >> flow.end()
    return dag


for name in flow.source_names():
    globals()[f"ingest_{name}"] = ingest(name)
