-- The payment schedule of invoices that have more than one part; the others have their due date.
select
    schedule.parent as invoice_id,
    schedule.idx as instalment_number,
    schedule.due_date,
    {%- if has('tabPayment Schedule', 'base_payment_amount') %}
    case
        when invoice.party_account_currency = invoice.currency then schedule.payment_amount
        else schedule.base_payment_amount
    end as amount,
    {%- else %}
    {{ note('Payment Schedule has no base_payment_amount: parts of invoices in another currency than their account are converted at the booking rate') }}
    case
        when invoice.party_account_currency = invoice.currency then schedule.payment_amount
        else round(schedule.payment_amount * invoice.conversion_rate, 2)
    end as amount,
    {%- endif %}
    invoice.creation as created_at,
    invoice.modified as updated_at
from "tabPayment Schedule" as schedule
inner join "tabSales Invoice" as invoice on invoice.name = schedule.parent
where schedule.parenttype = 'Sales Invoice'
    and invoice.is_return = 0
    and exists (
        select 1 from "tabPayment Schedule" as second_part
        where second_part.parent = schedule.parent and second_part.parenttype = 'Sales Invoice'
            and second_part.idx > 1
    )
