-- Days past due are the distance to the due date and nothing else: no business days, no day of grace, no day of the run.
select
    open_item_id,
    as_of_date,
    due_date,
    days_past_due
from {{ ref('ar_open_items') }}
where {{ add_days('due_date', 'days_past_due') }} <> as_of_date
