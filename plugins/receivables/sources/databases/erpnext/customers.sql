-- Customers. A customer of ERPNext belongs to no company; its documents do. It counts to that of its first invoice,
-- without one to the first company.
select
    customer.name as customer_id,
    customer.customer_name,
    coalesce(
        (
            select min(invoice.company) from "tabSales Invoice" as invoice
            where invoice.customer = customer.name and invoice.name = (
                select min(first_invoice.name) from "tabSales Invoice" as first_invoice
                where first_invoice.customer = customer.name
            )
        ),
        (select min(company.name) from "tabCompany" as company)
    ) as company_id,
    customer.customer_group as segment,
    customer.territory as region,
    customer.default_currency as currency_code,
    {%- if has('tabCustomer Credit Limit') %}
    -- In the company's currency; the largest, where several companies grant one.
    (
        select max(credit.credit_limit) from "tabCustomer Credit Limit" as credit
        where credit.parent = customer.name and credit.credit_limit > 0
    ) as credit_limit_amount,
    {%- endif %}
    {%- if has('tabCustomer', 'account_manager') %}
    customer.account_manager as salesperson,
    {%- endif %}
    {%- if has('tabCustomer', 'language') %}
    customer.language,
    {%- endif %}
    case when customer.disabled = 1 then 'no' else 'yes' end as is_active,
    customer.creation as created_at,
    customer.modified as updated_at
from "tabCustomer" as customer
