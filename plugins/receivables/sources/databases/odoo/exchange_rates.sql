-- Published rates. Odoo keeps units of the foreign currency per unit of the company's; here it is the other way.
select
    rate.name as rate_date,
    currency.name as from_currency,
    company_currency.name as to_currency,
    round(1 / max(cast(rate.rate as {{ number }})), 8) as rate,
    'closing' as rate_type
from res_currency_rate as rate
inner join res_currency as currency on currency.id = rate.currency_id
inner join res_company as company
    on company.id = coalesce(rate.company_id, (select min(first_company.id) from res_company as first_company))
inner join res_currency as company_currency on company_currency.id = company.currency_id
where rate.rate <> 0 and currency.id <> company_currency.id
group by rate.name, currency.name, company_currency.name
