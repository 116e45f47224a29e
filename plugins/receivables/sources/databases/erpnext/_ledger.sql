-- The payment ledger of receivables: what each voucher did to what, in the currency of the account.
--
-- Rows that were unlinked no longer count. Those of a cancelled voucher did count until that day, and the voucher's
-- own void ends them; what the cancellation itself added (the same amounts turned) never did.
ledger as (
    select
        entry.voucher_type, entry.voucher_no, entry.against_voucher_type, entry.against_voucher_no,
        entry.party, entry.company, entry.account_currency, entry.posting_date,
        sum(entry.amount_in_account_currency) as amount,
        min(entry.creation) as creation,
        max(entry.modified) as modified
    from "tabPayment Ledger Entry" as entry
    left join "tabPayment Entry" as payment
        on entry.voucher_type = 'Payment Entry' and payment.name = entry.voucher_no
    left join "tabSales Invoice" as invoice
        on entry.voucher_type = 'Sales Invoice' and invoice.name = entry.voucher_no
    left join "tabJournal Entry" as journal
        on entry.voucher_type = 'Journal Entry' and journal.name = entry.voucher_no
    where entry.account_type = 'Receivable' and entry.party_type = 'Customer'
        and entry.amount_in_account_currency <> 0
        and (
            entry.delinked = 0
            or (payment.docstatus = 2 and entry.creation < payment.modified)
            or (invoice.docstatus = 2 and entry.creation < invoice.modified)
            or (journal.docstatus = 2 and entry.creation < journal.modified)
        )
    group by
        entry.voucher_type, entry.voucher_no, entry.against_voucher_type, entry.against_voucher_no,
        entry.party, entry.company, entry.account_currency, entry.posting_date
),

-- What a journal is, by its type and by the accounts it touches beside the receivable.
journals as (
    select
        journal.name, journal.docstatus, journal.creation, journal.modified, journal.remark,
        {%- if has('tabJournal Entry', 'owner') %}
        journal.owner,
        {%- endif %}
        (
            select max(line.exchange_rate) from "tabJournal Entry Account" as line
            where line.parent = journal.name and line.party_type = 'Customer'
        ) as exchange_rate,
        case
            when journal.voucher_type in ('Bank Entry', 'Cash Entry') then 'receipt'
            when journal.voucher_type = 'Write Off Entry' then 'write_off'
            when exists (
                select 1 from "tabJournal Entry Account" as line
                inner join "tabCompany" as company on company.name = journal.company
                where line.parent = journal.name and line.account = company.write_off_account
            ) then 'write_off'
            {%- if has('tabCompany', 'default_discount_account') %}
            when exists (
                select 1 from "tabJournal Entry Account" as line
                inner join "tabCompany" as company on company.name = journal.company
                where line.parent = journal.name and line.account = company.default_discount_account
            ) then 'discount'
            {%- else %}
            {{ note('Company has no default_discount_account: discounts by journal count as journal credits') }}
            {%- endif %}
            else 'journal'
        end as purpose
    from "tabJournal Entry" as journal
)
