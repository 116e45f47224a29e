select
    id as credit_memo_id,
    customer_id,
    coalesce(cast(date_of(transaction_date) as varchar), transaction_date) as credit_memo_date,
    amount_text(number_of(total_amount), total_amount) as amount,
    currency_id as currency_code,
    company_of(department_id) as company_id,
    doc_number as credit_memo_number,
    customer_memo as reason,
    exchange_rate,
    case
        when number_of(total_amount) = 0 and contains(coalesce(private_note, ''), getvariable('void_note'))
            then 'void'
        else 'posted'
    end as status,
    utc(moment_of(created_at)) as created_at,
    utc(moment_of(updated_at)) as updated_at
from credit_memo
where not is_true(_fivetran_deleted)
