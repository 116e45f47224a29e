select
    item_id as invoice_id,
    kunnr as customer_id,
    coalesce(cast(counts_from as varchar), budat) as invoice_date,
    cast(posted_on as varchar) as posting_date,
    amount_text(amount, wrbtr) as amount,
    coalesce(xblnr, belnr) as invoice_number,
    company_id,
    -- A debit item that is no billing (interest, a residual item, a transfer) is a debit memo.
    case kind when 'invoice' then 'invoice' else 'debit_memo' end as document_type,
    cast(due_on as varchar) as due_date,
    waers as currency_code,
    cast(cast(booking_rate as decimal(18, 8)) as varchar) as exchange_rate,
    case when is_void then 'void' else 'posted' end as status,
    case when is_void then cast(reversed_on as varchar) end as voided_on,
    list_contains(getvariable('dispute_reasons'), rstgr) as is_disputed,
    coalesce(vbeln, zuonr) as reference,
    stamp(coalesce(entered_at, moment_of(cpudt))) as created_at
from items
where
    (side = 'debit' and kind in ('invoice', 'debit_memo') and special <> 'write_off')
    -- Neither S nor H: let the row be refused, in sight.
    or kind = 'unknown'
    or (side = 'debit' and amount is null)
