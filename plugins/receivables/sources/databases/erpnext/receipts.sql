-- Money in: payment entries of customers, invoices paid at the counter, and bank and cash journals.
select
    payment.name as receipt_id,
    payment.name as receipt_number,
    payment.party as customer_id,
    payment.company as company_id,
    payment.posting_date as receipt_date,
    payment.posting_date,
    payment.paid_from_account_currency as currency_code,
    payment.paid_amount as amount,
    payment.source_exchange_rate as exchange_rate,
    payment.mode_of_payment as method,
    payment.reference_no as bank_reference,
    case payment.docstatus when 0 then 'draft' when 1 then 'posted' else 'void' end as status,
    case when payment.docstatus = 2 then cast(payment.modified as date) end as voided_on,
    payment.creation as created_at,
    payment.modified as updated_at
from "tabPayment Entry" as payment
where payment.payment_type = 'Receive' and payment.party_type = 'Customer'
union all
select
    concat(invoice.name, '/paid'),
    invoice.name,
    invoice.customer,
    invoice.company,
    invoice.posting_date,
    invoice.posting_date,
    invoice.party_account_currency,
    case
        when invoice.party_account_currency = invoice.currency
            then invoice.paid_amount - coalesce(invoice.change_amount, 0)
        else invoice.base_paid_amount - coalesce(invoice.base_change_amount, 0)
    end,
    case when invoice.party_account_currency = invoice.currency then invoice.conversion_rate else 1 end,
    'point of sale',
    null,
    case invoice.docstatus when 0 then 'draft' when 1 then 'posted' else 'void' end,
    case when invoice.docstatus = 2 then cast(invoice.modified as date) end,
    invoice.creation,
    invoice.modified
from "tabSales Invoice" as invoice
where invoice.is_pos = 1 and invoice.is_return = 0 and invoice.paid_amount > 0
union all
select
    concat(journal.name, '/', line.party),
    journal.name,
    line.party,
    journal.company,
    journal.posting_date,
    journal.posting_date,
    line.account_currency,
    sum(line.credit_in_account_currency),
    max(line.exchange_rate),
    journal.voucher_type,
    max(journal.cheque_no),
    case journal.docstatus when 0 then 'draft' when 1 then 'posted' else 'void' end,
    case when journal.docstatus = 2 then cast(journal.modified as date) end,
    journal.creation,
    journal.modified
from "tabJournal Entry" as journal
inner join "tabJournal Entry Account" as line on line.parent = journal.name
where line.party_type = 'Customer' and line.credit_in_account_currency > 0
    and journal.voucher_type in ('Bank Entry', 'Cash Entry')
group by
    journal.name, line.party, journal.company, journal.posting_date, line.account_currency,
    journal.voucher_type, journal.docstatus, journal.creation, journal.modified
