-- What ERPNext itself says is open, in the company's currency, at the end of a day: outstanding_amount of invoices and
-- returns, unallocated_amount of payments; of journals it keeps no such amount, the payment ledger says theirs. It is
-- that of the moment: when something has changed since, it is not that day's, and there is none.
with open_documents as (
    select
        invoice.company,
        case
            when invoice.party_account_currency = invoice.currency
                then round(invoice.outstanding_amount * invoice.conversion_rate, 2)
            else invoice.outstanding_amount
        end as amount
    from "tabSales Invoice" as invoice
    where invoice.docstatus = 1 and invoice.posting_date <= {{ business_day }}
    union all
    select
        payment.company,
        round(payment.unallocated_amount * payment.source_exchange_rate, 2)
        * case payment.payment_type when 'Receive' then -1 else 1 end
    from "tabPayment Entry" as payment
    where payment.docstatus = 1 and payment.party_type = 'Customer' and payment.posting_date <= {{ business_day }}
    union all
    select
        entry.company,
        round(
            sum(entry.amount_in_account_currency) * (
                select max(line.exchange_rate) from "tabJournal Entry Account" as line
                where line.parent = entry.against_voucher_no and line.party_type = 'Customer'
            ),
            2
        )
    from "tabPayment Ledger Entry" as entry
    where entry.against_voucher_type = 'Journal Entry' and entry.account_type = 'Receivable'
        and entry.party_type = 'Customer' and entry.delinked = 0 and entry.posting_date <= {{ business_day }}
    group by entry.company, entry.against_voucher_no
)

select
    open_documents.company as company_id,
    {{ business_day }} as balance_date,
    sum(open_documents.amount) as balance_amount,
    'erpnext' as account
from open_documents
where not exists (
    select 1 from "tabPayment Ledger Entry" as entry where entry.modified >= {{ next_day }}
) and not exists (
    select 1 from "tabSales Invoice" as invoice where invoice.modified >= {{ next_day }}
) and not exists (
    select 1 from "tabPayment Entry" as payment where payment.modified >= {{ next_day }}
)
group by open_documents.company
having count(*) = count(open_documents.amount)
