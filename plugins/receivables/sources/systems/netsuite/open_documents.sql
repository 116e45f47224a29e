-- What NetSuite itself says is open: foreignAmountUnpaid of invoices, foreignPaymentAmountUnused of credits and payments.
select
    owner_of(company_id) as company_id,
    case
        when kind in ('invoice', 'debit_memo')
            then booked(number_of(foreignamountunpaid), currency_code, exchangerate, company_id)
        else -booked(number_of(foreignpaymentamountunused), currency_code, exchangerate, company_id)
    end as amount
from transactions
where kind in ('invoice', 'debit_memo', 'credit_memo', 'receipt') and state = 'posted'
    and date_of(trandate) <= getvariable('business_day')
