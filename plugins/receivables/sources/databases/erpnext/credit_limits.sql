-- The limits of today, each since it was last changed: ERPNext keeps no history of them, the load does.
select
    credit.parent as customer_id,
    cast(max(credit.modified) as date) as valid_from,
    max(credit.credit_limit) as limit_amount,
    max(company.default_currency) as currency_code,
    max(credit.creation) as created_at,
    max(credit.modified) as updated_at
from "tabCustomer Credit Limit" as credit
inner join "tabCompany" as company on company.name = credit.company
where credit.parenttype = 'Customer' and credit.credit_limit > 0
group by credit.parent
