-- One row per payment; without a table of payments, one per invoice with something paid.
select
    recordno as receipt_id,
    customerid,
    coalesce(date_of(receiptdate), date_of(paymentdate), date_of(whencreated)) as paid_on,
    coalesce(trx_paymentamount, paymentamount, trx_totalentered, totalentered) as given_amount,
    currency,
    exchange_rate,
    docnumber,
    paymentmethod,
    case
        when state in ('Reversed', 'Voided', 'Reversal', 'V') then 'void'
        when state in ('Draft', 'Submitted') then 'draft'
        else 'posted'
    end as status,
    coalesce(auwhencreated, whencreated) as created,
    whenmodified as modified,
    null as invoice_id
from ar_payment
where not is_true(_fivetran_deleted)
union all
select
    'PAID-' || recordno, customerid,
    coalesce(date_of(whenpaid), cast(moment_of(whenmodified) as date), dated_on), totalpaid, currency, exchange_rate,
    null, null, status, whenmodified, whenmodified, recordno
from bills
where not getvariable('has_ar_payment') and number_of(totalpaid) > 0
