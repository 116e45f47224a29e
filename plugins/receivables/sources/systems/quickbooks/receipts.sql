select
    id as receipt_id,
    customer_id,
    day_text(transaction_date) as receipt_date,
    amount_text(number_of(total_amount), total_amount) as amount,
    currency_id as currency_code,
    payment_method_id as method,
    reference_number as bank_reference,
    exchange_rate,
    case
        when number_of(total_amount) = 0 then 'void'
        else 'posted'
    end as status,
    utc(moment_of(created_at)) as created_at,
    utc(moment_of(updated_at)) as updated_at
from payment
-- A payment of 0 applies credits and is no money, unless it says that it was voided.
where not is_true(_fivetran_deleted)
    and (
        number_of(total_amount) is distinct from 0
        or contains(coalesce(private_note, ''), getvariable('void_note'))
    )
