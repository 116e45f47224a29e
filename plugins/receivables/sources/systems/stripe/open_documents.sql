-- What Stripe itself says is open: amount_remaining of open invoices. What it owes back it does not add up: credit notes
-- after the payment that no refund has paid out.
select
    owner_of(null) as company_id,
    case when amount_remaining is not null then booked(remaining_amount, currency_code, null, null) end as amount
from bills
where status = 'open' and billed_on <= getvariable('business_day')
union all
select owner_of(null), -booked(amount, currency_code, null, null)
from notes
where type = 'post_payment' and status = 'issued' and refund_id is null and dated_on <= getvariable('business_day')
