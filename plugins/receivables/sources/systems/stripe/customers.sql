select
    id as customer_id,
    coalesce(name, description, email) as customer_name,
    address_country as country_code,
    upper(currency) as currency_code,
    email,
    case when is_true(is_deleted) then 'false' else 'true' end as is_active,
    utc(moment_of(created)) as created_at
from customer
