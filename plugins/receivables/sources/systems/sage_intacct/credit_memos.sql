select
    recordno as credit_memo_id,
    customerid as customer_id,
    day_text(whencreated) as credit_memo_date,
    cast(date_of(whenposted) as varchar) as posting_date,
    cast(-amount as varchar) as amount,
    currency as currency_code,
    company_id,
    coalesce(recordid, docnumber) as credit_memo_number,
    description as reason,
    exchange_rate,
    status,
    utc(moment_of(auwhencreated)) as created_at,
    utc(moment_of(whenmodified)) as updated_at
from memos
where amount < 0
