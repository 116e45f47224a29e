-- One row per sales invoice that exists; CurrencyRate is foreign currency per unit of the organisation's own.
select
    *,
    cast(cast(1 / nullif(cast(number_of(currency_rate) as double), 0) as decimal(18, 8)) as varchar) as booking_rate
from invoice
where type = 'ACCREC' and status <> 'DELETED'
