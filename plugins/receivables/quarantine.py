"""Rows that the models refuse: they point at a document that nobody delivered, or contradict it.

They are loaded like any other row, so each comes back by itself when its target arrives or its source
mends it; the models decide again on every run (`int_refused_rows`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from receivables.settings import Settings
from receivables.warehouse import writing

# Where the row was refused; a load writes the place in its file instead.
LOCATION = "models"


def record_refused(settings: Settings, day: date, run: str) -> int:
    """Bring `quality.quarantined_rows` in line with what the models refuse as of `day`; return how many."""
    values = {"day": day, "run": run, "now": datetime.now(UTC).replace(tzinfo=None), "models": LOCATION}
    with writing(settings.warehouse) as connection:
        connection.execute("begin")
        connection.execute(
            """
            create or replace temp table refused as
            select
                source_name as source, entity, row_id as key, reason,
                cast(to_json(row) as varchar) as payload
            from intermediate.int_refused_rows as row
            """
        )
        connection.execute(
            """
            update quality.quarantined_rows as old set is_resolved = not exists (
                select 1 from refused as new
                where old.source = new.source and old.entity = new.entity and old.key = new.key
                    and old.reason = new.reason
            )
            where location = $models
            """,
            {"models": LOCATION},
        )
        connection.execute(
            """
            update quality.quarantined_rows as old
            set last_seen_on = greatest(old.last_seen_on, $day), loaded_at = $now, load_id = $run
            where location = $models and not is_resolved
            """,
            values,
        )
        connection.execute(
            """
            insert into quality.quarantined_rows
            select source, entity, key, reason, payload, $now, $run, $models, $day, $day, false
            from refused as new
            where not exists (
                select 1 from quality.quarantined_rows as old
                where old.location = $models and old.source = new.source and old.entity = new.entity
                    and old.key = new.key and old.reason = new.reason
            )
            """,
            values,
        )
        connection.execute("commit")
        return int(connection.execute("select count(*) from refused").fetchall()[0][0])
