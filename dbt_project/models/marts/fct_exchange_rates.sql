with

rates as (

    select * from {{ ref('int_exchange_rates') }}

)

select
    from_currency,
    to_currency,
    rate_date,
    valid_until,
    rate
from rates
