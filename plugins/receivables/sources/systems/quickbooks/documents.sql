-- One row per invoice and credit memo that exists, with what both have, in canonical words.
select
    *,
    day_text(transaction_date) as document_date,
    amount_text(number_of(total_amount), total_amount) as amount,
    company_of(department_id) as company_id,
    case
        when number_of(total_amount) = 0 and contains(coalesce(private_note, ''), getvariable('void_note'))
            then 'void'
        else 'posted'
    end as status,
    utc(moment_of(created_at)) as recorded_at,
    utc(moment_of(updated_at)) as changed_at
from (
    select 'invoice' as kind, * from invoice
    union all by name
    select 'credit_memo' as kind, * from credit_memo
)
where not is_true(_fivetran_deleted)
