select
    customer.id as customer_id,
    coalesce(display_name, fully_qualified_name, company_name) as customer_name,
    parent_customer_id,
    currency_id as currency_code,
    cast(cast(number_of(term.due_days) as integer) as varchar) as payment_terms_days,
    email,
    case when is_true(_fivetran_deleted) then 'false' else lower(active) end as is_active,
    utc(moment_of(created_at)) as created_at,
    utc(moment_of(updated_at)) as updated_at
from customer
left join term on customer.sales_term_id = term.id
