-- Partners that we sold to: the commercial ones, to whom the receivable belongs. A partner may be shared by
-- companies: it counts to that of its first invoice, without one to the first company.
with first_invoices as (
    select coalesce(move.commercial_partner_id, move.partner_id) as partner_id, min(move.id) as move_id
    from account_move as move
    where move.move_type in ('out_invoice', 'out_receipt', 'out_refund')
    group by coalesce(move.commercial_partner_id, move.partner_id)
)

select
    cast(partner.id as text) as customer_id,
    partner.name as customer_name,
    company.name as company_id,
    country.code as country_code,
    partner.email,
    partner.lang as language,
    {%- if column_type('res_partner', 'credit_limit') == 'jsonb' %}
    (select max(cast(value as {{ number }})) from jsonb_each_text(partner.credit_limit)) as credit_limit_amount,
    {%- elif has('res_partner', 'credit_limit') %}
    nullif(cast(partner.credit_limit as {{ number }}), 0) as credit_limit_amount,
    {%- elif has('ir_property') %}
    {{ note('credit limits are properties (ir_property)') }}
    (
        select max(cast(property.value_float as {{ number }})) from ir_property as property
        where property.name = 'credit_limit' and property.res_id = concat('res.partner,', partner.id)
    ) as credit_limit_amount,
    {%- endif %}
    partner.active as is_active,
    partner.create_date at time zone 'UTC' as created_at,
    partner.write_date at time zone 'UTC' as updated_at
from res_partner as partner
left join res_country as country on country.id = partner.country_id
left join first_invoices on first_invoices.partner_id = partner.id
left join account_move as first_move on first_move.id = first_invoices.move_id
left join res_company as company
    on company.id = coalesce(
        first_move.company_id, (select min(first_company.id) from res_company as first_company)
    )
where first_invoices.move_id is not null
{%- if has('res_partner', 'customer_rank') %}
    or (partner.customer_rank > 0 and partner.commercial_partner_id = partner.id)
{%- endif %}
