-- Both sides of an application are one fact. A side without the other creates money, or makes it vanish, and the ledger no
-- longer agrees with the books. Discounts settle the invoice only and are entries of their own type.
select
    application_id,
    effective_date,
    known_on,
    sum(amount) as difference_amount
from {{ ref('fct_ledger_entries') }}
where entry_type = 'application' and application_id is not null
group by application_id, effective_date, known_on
having sum(amount) <> 0
