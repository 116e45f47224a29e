select
    customerid as customer_id,
    name as customer_name,
    parentid as parent_customer_id,
    custtype as segment,
    territoryid as region,
    currency as currency_code,
    creditlimit as credit_limit_amount,
    case when is_true(_fivetran_deleted) or status = 'inactive' then 'false' else 'true' end as is_active,
    utc(moment_of(whencreated)) as created_at,
    utc(moment_of(whenmodified)) as updated_at
from customer
union all
select customerid, max(customername), null, null, null, null, null, 'true', null, null
from ar_invoice
where not getvariable('has_customer')
group by customerid
