-- The table of rates that ERPNext itself books with.
select
    rate.date as rate_date,
    rate.from_currency,
    rate.to_currency,
    max(rate.exchange_rate) as rate,
    'closing' as rate_type
from "tabCurrency Exchange" as rate
group by rate.date, rate.from_currency, rate.to_currency
