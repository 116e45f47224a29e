-- A payment detail settles an invoice with a payment or, where it names one, with a credit memo.
with

details as (

    select
        coalesce(nullif(adjustmentkey, '0'), paymentkey) as credit_id,
        case when nullif(adjustmentkey, '0') is null then 'receipt' else 'credit_memo' end as credit_type,
        recordkey as invoice_id,
        coalesce(date_of(paymentdate), date_of(whencreated)) as applied_on,
        number_of(coalesce(trx_paymentamount, paymentamount)) as amount,
        number_of(discountamount) as discount,
        whencreated as recorded
    from ar_payment_detail
    where not is_true(_fivetran_deleted)
        and coalesce(state, 'A') not in ('Reversed', 'Voided', 'V', 'Draft')
    union all
    select receipt_id, 'receipt', invoice_id, paid_on, number_of(given_amount), null, created
    from payments
    where invoice_id is not null

)

select
    credit_id || ':' || invoice_id || ':' || cast(applied_on as varchar) as application_id,
    credit_type,
    credit_id,
    invoice_id,
    cast(sum(amount) as varchar) as amount,
    cast(sum(discount) as varchar) as discount_amount,
    cast(applied_on as varchar) as applied_on,
    utc(moment_of(min(recorded))) as created_at
from details
group by credit_id, credit_type, invoice_id, applied_on
