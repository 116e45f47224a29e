-- What Sage Intacct itself says is open: TOTALDUE of invoices and adjustments. Of payments it keeps none here: their
-- amount less what their details apply.
with

used as (

    select credit_id, sum(number_of(amount)) as amount from applications where credit_type = 'receipt' group by credit_id

)

select
    owner_of(company_id) as company_id, booked(number_of(totaldue), currency, exchange_rate, company_id) as amount
from bills
where status = 'posted' and dated_on <= getvariable('business_day')
union all
select owner_of(company_id), booked(number_of(totaldue), currency, exchange_rate, company_id)
from memos
where status = 'posted' and date_of(whencreated) <= getvariable('business_day')
union all
select
    owner_of(null),
    -booked(number_of(payments.given_amount) - coalesce(used.amount, 0), currency, exchange_rate, null)
from payments
left join used on payments.receipt_id = used.credit_id
where payments.status = 'posted' and payments.paid_on <= getvariable('business_day')
