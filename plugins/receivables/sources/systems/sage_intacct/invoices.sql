select
    recordno as invoice_id,
    customerid as customer_id,
    coalesce(cast(dated_on as varchar), whencreated) as invoice_date,
    cast(date_of(whenposted) as varchar) as posting_date,
    amount_text(number_of(totalentered), totalentered) as amount,
    coalesce(recordid, docnumber) as invoice_number,
    company_id,
    'invoice' as document_type,
    cast(date_of(whendue) as varchar) as due_date,
    currency as currency_code,
    exchange_rate,
    status,
    docnumber as reference,
    utc(moment_of(auwhencreated)) as created_at,
    utc(moment_of(whenmodified)) as updated_at
from bills
union all
select
    recordno, customerid, day_text(whencreated),
    cast(date_of(whenposted) as varchar), amount_text(amount, totalentered), coalesce(recordid, docnumber), company_id,
    'debit_memo', null, currency, exchange_rate, status, description,
    utc(moment_of(auwhencreated)), utc(moment_of(whenmodified))
from memos
where amount > 0 or amount is null
