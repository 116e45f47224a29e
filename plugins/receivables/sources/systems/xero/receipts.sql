select
    receipt_id,
    contact_id as customer_id,
    day_text(paid_on) as receipt_date,
    amount_text(number_of(amount), amount) as amount,
    currency_code,
    reference as bank_reference,
    cast(cast(1 / nullif(cast(number_of(currency_rate) as double), 0) as decimal(18, 8)) as varchar) as exchange_rate,
    case when status in ('DELETED', 'VOIDED') then 'void' else 'posted' end as status,
    utc(moment_of(updated_date_utc)) as updated_at
from paid
