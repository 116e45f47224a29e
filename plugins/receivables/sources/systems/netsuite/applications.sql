select
    later_id || ':' || credit_id || ':' || debit_id as application_id,
    credit_kind as credit_type,
    credit_id,
    debit_id as invoice_id,
    cast(amount as varchar) as amount,
    day_text(applied_on) as applied_on,
    utc(moment_of(recorded)) as updated_at
from links
where debit_kind in ('invoice', 'debit_memo')
