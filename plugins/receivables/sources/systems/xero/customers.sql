select
    contact_id as customer_id,
    name as customer_name,
    default_currency as currency_code,
    case when payment_terms_sales_type = 'DAYSAFTERBILLDATE'
        then cast(cast(number_of(payment_terms_sales_day) as integer) as varchar) end as payment_terms_days,
    email_address as email,
    case when is_true(_fivetran_deleted) or contact_status = 'ARCHIVED' then 'false' else 'true' end as is_active,
    utc(moment_of(updated_date_utc)) as updated_at
from contact
