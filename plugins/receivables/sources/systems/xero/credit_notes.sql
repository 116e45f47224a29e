-- One row per credit note of a customer; without a type it is taken for one only if it has an amount.
select *
from credit_note
where coalesce(type, case when total is not null then 'ACCRECCREDIT' end) = 'ACCRECCREDIT'
    and coalesce(status, 'AUTHORISED') <> 'DELETED'
