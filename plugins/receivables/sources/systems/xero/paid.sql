-- One row per amount of money that came in for one invoice, or for none (a prepayment or overpayment).
select
    payment.payment_id as receipt_id,
    sales.contact_id,
    sales.invoice_id,
    payment.date as paid_on,
    payment.amount,
    sales.currency_code,
    payment.currency_rate,
    payment.reference,
    coalesce(payment.status, 'AUTHORISED') as status,
    payment.updated_date_utc
from payment
inner join sales on payment.invoice_id = sales.invoice_id
where coalesce(payment.payment_type, 'ACCRECPAYMENT') = 'ACCRECPAYMENT'
union all
select
    'PAID-' || invoice_id, contact_id, invoice_id,
    coalesce(fully_paid_on_date, cast(cast(moment_of(updated_date_utc) as date) as varchar), date),
    amount_paid, currency_code, currency_rate, null, 'AUTHORISED', updated_date_utc
from sales
where not getvariable('has_payment') and number_of(amount_paid) > 0
union all
select
    overpayment_id, contact_id, null, date, total, currency_code, currency_rate, null,
    coalesce(status, 'AUTHORISED'), updated_date_utc
from overpayment
where coalesce(type, 'RECEIVE-OVERPAYMENT') = 'RECEIVE-OVERPAYMENT'
union all
select
    prepayment_id, contact_id, null, date, total, currency_code, currency_rate, null,
    coalesce(status, 'AUTHORISED'), updated_date_utc
from prepayment
where coalesce(type, 'RECEIVE-PREPAYMENT') = 'RECEIVE-PREPAYMENT'
