select
    receipt_id,
    customerid as customer_id,
    cast(paid_on as varchar) as receipt_date,
    amount_text(number_of(given_amount), given_amount) as amount,
    currency as currency_code,
    paymentmethod as method,
    docnumber as bank_reference,
    exchange_rate,
    status,
    utc(moment_of(created)) as created_at,
    utc(moment_of(modified)) as updated_at
from payments
