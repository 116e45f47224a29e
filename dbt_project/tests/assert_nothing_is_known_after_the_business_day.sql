-- A day that is run again must not see what was learnt later: a view as known then would be untrue.
select
    entry_id,
    known_on
from {{ ref('fct_ledger_entries') }}
where known_on > {{ as_of_date() }}
