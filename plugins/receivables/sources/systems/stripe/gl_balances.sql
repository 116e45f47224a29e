-- What Stripe itself says is open: amount_remaining of open invoices. What it owes back it does not add up: credit notes
-- after the payment that no refund has paid out.
with

open_documents as (

    select
        owner_of(null) as company_id,
        case when amount_remaining is not null then booked(remaining_amount, currency_code, null, null) end as amount
    from bills
    where status = 'open' and billed_on <= getvariable('business_day')
    union all
    select owner_of(null), -booked(amount, currency_code, null, null)
    from notes
    where type = 'post_payment' and status = 'issued' and refund_id is null and dated_on <= getvariable('business_day')

)

select
    company_id,
    cast(getvariable('business_day') as varchar) as balance_date,
    cast(sum(amount) as varchar) as balance_amount,
    'stripe' as account
from open_documents
where company_id is not null
group by company_id
having count(*) = count(amount)
