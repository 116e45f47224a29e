select
    customer.id as customer_id,
    coalesce(customer.companyname, customer.altname, customer.entityid) as customer_name,
    customer.parent as parent_customer_id,
    customer.category as segment,
    customer.territory as region,
    currency.symbol as currency_code,
    cast(cast(number_of(term.daysuntilnetdue) as integer) as varchar) as payment_terms_days,
    customer.creditlimit as credit_limit_amount,
    customer.salesrep as salesperson,
    customer.email,
    customer.language,
    case when is_true(customer.isinactive) or is_true(customer._fivetran_deleted) then 'false' else 'true' end
        as is_active,
    utc(moment_of(customer.datecreated)) as created_at,
    utc(moment_of(customer.lastmodifieddate)) as updated_at
from customer
left join currency
    on customer.currency = currency.id and is_true(coalesce(currency._fivetran_active, 'true'))
left join term on customer.terms = term.id
where is_true(coalesce(customer._fivetran_active, 'true'))
