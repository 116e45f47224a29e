with

given as (

    select 'receipt' as credit_type, receipt_id as credit_id, invoice_id, paid_on as applied_on,
        number_of(amount) as amount, updated_date_utc
    from paid
    where invoice_id is not null and status not in ('DELETED', 'VOIDED')
    union all
    select 'credit_memo', credit_note_id, invoice_id, date, number_of(amount), null from credit_note_allocation
    union all
    select 'receipt', overpayment_id, invoice_id, date, number_of(amount), null from overpayment_allocation
    union all
    select 'receipt', prepayment_id, invoice_id, date, number_of(amount), null from prepayment_allocation

)

-- Several allocations of one credit to one invoice on one day cannot be told apart: they are one.
select
    credit_id || ':' || invoice_id || ':' || day_text(applied_on)
        as application_id,
    credit_type,
    credit_id,
    invoice_id,
    cast(sum(amount) as varchar) as amount,
    day_text(applied_on) as applied_on,
    utc(moment_of(min(updated_date_utc))) as updated_at
from given
group by credit_type, credit_id, invoice_id, applied_on
