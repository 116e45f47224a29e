-- What NetSuite itself says is open: foreignAmountUnpaid of invoices, foreignPaymentAmountUnused of credits and payments.
with

open_documents as (

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

)

select
    company_id,
    cast(getvariable('business_day') as varchar) as balance_date,
    cast(sum(amount) as varchar) as balance_amount,
    'netsuite' as account
from open_documents
where company_id is not null
group by company_id
having count(*) = count(amount)
