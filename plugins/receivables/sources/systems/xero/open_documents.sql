-- What Xero itself says is open: AmountDue of invoices, RemainingCredit of credit notes, over- and prepayments.
select
    owner_of(null) as company_id, booked(number_of(amount_due), currency_code, booking_rate, null) as amount
from sales
where status in ('AUTHORISED', 'PAID') and date_of(date) <= getvariable('business_day')
union all
select
    owner_of(null),
    -booked(
        number_of(remaining_credit), currency_code,
        cast(1 / nullif(cast(number_of(currency_rate) as double), 0) as decimal(18, 8)), null
    )
from (
    select date, status, remaining_credit, currency_code, currency_rate from credit_notes
    union all
    select date, status, remaining_credit, currency_code, currency_rate from overpayment
    where coalesce(type, 'RECEIVE-OVERPAYMENT') = 'RECEIVE-OVERPAYMENT'
    union all
    select date, status, remaining_credit, currency_code, currency_rate from prepayment
    where coalesce(type, 'RECEIVE-PREPAYMENT') = 'RECEIVE-PREPAYMENT'
)
where coalesce(status, 'AUTHORISED') in ('AUTHORISED', 'PAID') and date_of(date) <= getvariable('business_day')
