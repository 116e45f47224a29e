-- Sales invoices that claim money. A document is in the currency of its receivable account: that is what the
-- payment ledger counts. A cancelled one stays as a row: void since the day it was last touched.
select
    invoice.name as invoice_id,
    invoice.name as invoice_number,
    invoice.customer as customer_id,
    invoice.company as company_id,
    {%- if has('tabSales Invoice', 'is_debit_note') %}
    case when invoice.is_debit_note = 1 then 'debit_memo' else 'invoice' end as document_type,
    {%- endif %}
    invoice.posting_date as invoice_date,
    invoice.posting_date,
    invoice.due_date,
    invoice.party_account_currency as currency_code,
    -- The rounded total is what is owed; it is 0 where rounding is switched off.
    case
        when invoice.party_account_currency = invoice.currency
            then coalesce(nullif(invoice.rounded_total, 0), invoice.grand_total)
        else coalesce(nullif(invoice.base_rounded_total, 0), invoice.base_grand_total)
    end as amount,
    case
        when invoice.party_account_currency = invoice.currency then invoice.total_taxes_and_charges
        else invoice.base_total_taxes_and_charges
    end as tax_amount,
    case when invoice.party_account_currency = invoice.currency then invoice.conversion_rate else 1 end
        as exchange_rate,
    case invoice.docstatus when 0 then 'draft' when 1 then 'posted' else 'void' end as status,
    case when invoice.docstatus = 2 then cast(invoice.modified as date) end as voided_on,
    invoice.po_no as reference,
    invoice.creation as created_at,
    invoice.modified as updated_at
from "tabSales Invoice" as invoice
where invoice.is_return = 0
