-- One row per amount of money set against an invoice: by a charge, or by something that is not in the extract.
with

charges as (

    select
        charge.id as receipt_id,
        coalesce(by_charge.invoice_id, by_intent.invoice_id, charge.invoice_id) as invoice_id,
        charge.customer_id,
        moment_of(charge.created) as paid_at,
        number_of(coalesce(charge.amount_captured, charge.amount)) as units,
        charge.currency,
        'charge' as method
    from charge
    left join invoice_payment as by_charge
        on charge.id = by_charge.charge_id and by_charge.status = 'paid'
    left join invoice_payment as by_intent
        on charge.payment_intent_id = by_intent.payment_intent_id and by_intent.status = 'paid'
    where charge.status = 'succeeded'
        and lower(coalesce(charge.paid, 'true')) in ('true', 't', '1')
        and lower(coalesce(charge.captured, 'true')) in ('true', 't', '1')
    qualify row_number() over (partition by charge.id order by by_charge.id, by_intent.id) = 1

),

-- Only a charge for an invoice pays a receivable: any other was a sale on the spot.
invoiced as (

    select
        charges.receipt_id, bills.id as invoice_id, bills.customer_id, charges.paid_at,
        charges.units * bills.unit as amount, bills.currency_code, charges.method
    from charges
    inner join bills on charges.invoice_id = bills.id

),

others as (

    select
        'PAID-' || bills.id as receipt_id, bills.id as invoice_id, bills.customer_id,
        cast(bills.paid_on as timestamp) as paid_at,
        bills.paid_amount - coalesce(sum(invoiced.amount), 0) as amount, bills.currency_code, 'other' as method
    from bills
    left join invoiced on bills.id = invoiced.invoice_id
    where bills.status not in ('draft', 'void')
    group by bills.id, bills.customer_id, bills.paid_on, bills.paid_amount, bills.currency_code
    having bills.paid_amount > coalesce(sum(invoiced.amount), 0)

)

select * from invoiced
union all
select * from others
