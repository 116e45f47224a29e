with

-- With deposits as receipts, what applies them is no money of its own.
passed_on as (

    select distinct later_id from links where credit_id <> later_id and debit_kind <> 'refund'

)

select
    id as receipt_id,
    entity as customer_id,
    day_text(trandate) as receipt_date,
    amount_text(amount, foreigntotal) as amount,
    currency_code,
    company_id,
    document_number as receipt_number,
    type as method,
    otherrefnum as bank_reference,
    exchangerate as exchange_rate,
    state as status,
    utc(moment_of(createddate)) as created_at,
    utc(moment_of(lastmodifieddate)) as updated_at
from transactions
where kind = 'receipt' and id not in (select later_id from passed_on)
