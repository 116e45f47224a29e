-- Journals on a receivable account, write-offs, discounts by journal, and money paid back.
with {% include '_ledger.sql' %},

-- A journal that only carries a return over to an invoice changes no balance.
carried as (
    select ledger.voucher_no
    from ledger
    inner join "tabSales Invoice" as memo on memo.name = ledger.against_voucher_no and memo.is_return = 1
    where ledger.voucher_type = 'Journal Entry' and ledger.amount > 0
    group by ledger.voucher_no
)

select
    concat(ledger.voucher_no, '/', ledger.against_voucher_no) as adjustment_id,
    ledger.voucher_no as adjustment_number,
    journals.purpose as adjustment_type,
    ledger.posting_date as adjustment_date,
    ledger.posting_date,
    cast(null as date) as due_date,
    -ledger.amount as amount,
    ledger.party as customer_id,
    case when ledger.against_voucher_type = 'Sales Invoice' then ledger.against_voucher_no end as invoice_id,
    nullif('', '') as credit_type,
    nullif('', '') as credit_id,
    journals.remark as reason,
    ledger.company as company_id,
    ledger.account_currency as currency_code,
    journals.exchange_rate,
    case when journals.docstatus = 2 then 'void' else 'posted' end as status,
    case when journals.docstatus = 2 then cast(journals.modified as date) end as voided_on,
    journals.creation as created_at,
    journals.modified as updated_at
from ledger
inner join journals on journals.name = ledger.voucher_no
where ledger.voucher_type = 'Journal Entry' and journals.purpose in ('write_off', 'discount')
    and ledger.amount < 0
union all
-- A credit journal is one document, whatever it was set against.
select
    concat(ledger.voucher_no, '/', ledger.party),
    ledger.voucher_no,
    'journal_credit',
    ledger.posting_date,
    ledger.posting_date,
    null,
    -sum(ledger.amount),
    ledger.party,
    null,
    null,
    null,
    max(journals.remark),
    ledger.company,
    ledger.account_currency,
    max(journals.exchange_rate),
    max(case when journals.docstatus = 2 then 'void' else 'posted' end),
    max(case when journals.docstatus = 2 then cast(journals.modified as date) end),
    max(journals.creation),
    max(journals.modified)
from ledger
inner join journals on journals.name = ledger.voucher_no
where ledger.voucher_type = 'Journal Entry' and journals.purpose = 'journal' and ledger.amount < 0
    and ledger.voucher_no not in (select carried.voucher_no from carried)
group by ledger.voucher_no, ledger.party, ledger.company, ledger.posting_date, ledger.account_currency
union all
select
    concat(ledger.voucher_no, '/', ledger.against_voucher_no, '/debit'),
    ledger.voucher_no,
    case when ledger.against_voucher_type = 'Payment Entry' then 'refund' else 'journal_debit' end,
    ledger.posting_date,
    ledger.posting_date,
    (
        select max(entry.due_date) from "tabPayment Ledger Entry" as entry
        where entry.voucher_no = ledger.voucher_no and entry.against_voucher_no = ledger.against_voucher_no
    ),
    ledger.amount,
    ledger.party,
    case when ledger.against_voucher_type = 'Sales Invoice' then ledger.against_voucher_no end,
    case when ledger.against_voucher_type = 'Payment Entry' then 'receipt' end,
    case when ledger.against_voucher_type = 'Payment Entry' then ledger.against_voucher_no end,
    journals.remark,
    ledger.company,
    ledger.account_currency,
    journals.exchange_rate,
    case when journals.docstatus = 2 then 'void' else 'posted' end,
    case when journals.docstatus = 2 then cast(journals.modified as date) end,
    journals.creation,
    journals.modified
from ledger
inner join journals on journals.name = ledger.voucher_no
where ledger.voucher_type = 'Journal Entry' and ledger.amount > 0
    and ledger.voucher_no not in (select carried.voucher_no from carried)
union all
-- Money paid back: against a return, a payment, or nothing.
select
    concat(ledger.voucher_no, '/', ledger.against_voucher_no),
    ledger.voucher_no,
    'refund',
    ledger.posting_date,
    ledger.posting_date,
    null,
    ledger.amount,
    ledger.party,
    null,
    case
        when ledger.against_voucher_no = ledger.voucher_no then null
        when ledger.against_voucher_type = 'Sales Invoice' then 'credit_memo'
        when ledger.against_voucher_type = 'Payment Entry' then 'receipt'
    end,
    case when ledger.against_voucher_no <> ledger.voucher_no then ledger.against_voucher_no end,
    payment.remarks,
    ledger.company,
    ledger.account_currency,
    payment.source_exchange_rate,
    case when payment.docstatus = 2 then 'void' else 'posted' end,
    case when payment.docstatus = 2 then cast(payment.modified as date) end,
    payment.creation,
    payment.modified
from ledger
inner join "tabPayment Entry" as payment on payment.name = ledger.voucher_no
where ledger.voucher_type = 'Payment Entry' and ledger.amount > 0
union all
-- What an invoice itself wrote off when it was submitted.
select
    concat(invoice.name, '/write-off'),
    invoice.name,
    'write_off',
    invoice.posting_date,
    invoice.posting_date,
    null,
    case
        when invoice.party_account_currency = invoice.currency then invoice.write_off_amount
        else invoice.base_write_off_amount
    end,
    invoice.customer,
    invoice.name,
    null,
    null,
    'written off on the invoice',
    invoice.company,
    invoice.party_account_currency,
    case when invoice.party_account_currency = invoice.currency then invoice.conversion_rate else 1 end,
    case when invoice.docstatus = 2 then 'void' else 'posted' end,
    case when invoice.docstatus = 2 then cast(invoice.modified as date) end,
    invoice.creation,
    invoice.modified
from "tabSales Invoice" as invoice
where invoice.is_return = 0 and invoice.write_off_amount > 0 and invoice.docstatus > 0
