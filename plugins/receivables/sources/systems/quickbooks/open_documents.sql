-- What QuickBooks itself says is open: Balance of invoices and credit memos, UnappliedAmt of payments. Of journals it
-- keeps none: their lines less what was set against them.
with

applied_to as (

    select invoice_id, sum(number_of(amount)) as amount from applications group by invoice_id

),

applied_from as (

    select credit_id, sum(number_of(amount)) as amount from applications where credit_type = 'journal' group by credit_id

)

select
    owner_of(company_id) as company_id,
    case kind
        when 'invoice' then booked(number_of(balance), currency_id, exchange_rate, company_id)
        else -booked(number_of(coalesce(remaining_credit, balance)), currency_id, exchange_rate, company_id)
    end as amount
from documents
where date_of(transaction_date) <= getvariable('business_day')
union all
select owner_of(null), -booked(number_of(unapplied_amount), currency_id, exchange_rate, null)
from payment
where not is_true(_fivetran_deleted) and date_of(transaction_date) <= getvariable('business_day')
union all
select
    owner_of(null),
    case journals.side
        when 'debit'
            then booked(
                journals.amount - coalesce(applied_to.amount, 0), journals.currency_id, journals.exchange_rate, null
            )
        else -booked(
            journals.amount - coalesce(applied_from.amount, 0), journals.currency_id, journals.exchange_rate, null
        )
    end
from journals
left join applied_to on 'JE-' || journals.line_id = applied_to.invoice_id
left join applied_from on 'JE-' || journals.line_id = applied_from.credit_id
where date_of(journals.transaction_date) <= getvariable('business_day')
