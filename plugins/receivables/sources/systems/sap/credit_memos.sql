select
    document_id as credit_memo_id,
    kunnr as customer_id,
    cast(counts_from as varchar) as credit_memo_date,
    cast(posted_on as varchar) as posting_date,
    cast(segment_amount as varchar) as amount,
    waers as currency_code,
    company_id,
    coalesce(xblnr, belnr) as credit_memo_number,
    case when segment_id = item_id then coalesce(rstgr, sgtxt) else 'moved to another item' end as reason,
    cast(cast(booking_rate as decimal(18, 8)) as varchar) as exchange_rate,
    case when is_void then 'void' else 'posted' end as status,
    case when is_void then cast(reversed_on as varchar) end as voided_on,
    stamp(coalesce(entered_at, moment_of(cpudt))) as created_at
from segments
where segment_kind = 'credit_memo'
union all
-- A credit whose amount cannot be read: refused, in sight.
select
    item_id, kunnr, cast(counts_from as varchar), cast(posted_on as varchar), wrbtr, waers, company_id,
    belnr, null, null, 'posted', null, null
from items
where side = 'credit' and amount is null
