select
    document_id as receipt_id,
    kunnr as customer_id,
    cast(counts_from as varchar) as receipt_date,
    cast(posted_on as varchar) as posting_date,
    cast(segment_amount as varchar) as amount,
    waers as currency_code,
    company_id,
    belnr as receipt_number,
    case when umskz = 'A' then 'down payment' end as method,
    coalesce(xblnr, zuonr) as bank_reference,
    cast(cast(booking_rate as decimal(18, 8)) as varchar) as exchange_rate,
    case when is_void then 'void' else 'posted' end as status,
    case when is_void then cast(reversed_on as varchar) end as voided_on,
    stamp(coalesce(entered_at, moment_of(cpudt))) as created_at
from segments
where segment_kind = 'receipt'
