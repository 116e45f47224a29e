-- What Odoo itself says is open (amount_residual_currency), in the company's currency, at the end of a day. It is that
-- of the moment: when an entry has changed since, it is not that day's, and there is none.
with {% include '_receivable.sql' %},

open_lines as (
    select
        company.name as company_id,
        case
            when line.currency_id = company.currency_id then line.amount_residual_currency
            else round(line.amount_residual_currency * coalesce(rates.exchange_rate, turned.exchange_rate), 2)
        end as amount
    from receivable
    inner join account_move_line as line on line.id = receivable.id
    inner join account_move as move on move.id = line.move_id
    inner join res_company as company on company.id = move.company_id
    left join rates on rates.move_id = move.id
    left join rates as turned on turned.move_id = move.reversed_entry_id
    where move.state = 'posted' and move.date <= {{ business_day }}
)

select
    open_lines.company_id,
    {{ business_day }} as balance_date,
    sum(open_lines.amount) as balance_amount,
    'odoo' as account
from open_lines
where not exists (
    select 1 from account_move as move
    where cast(timezone({{ zone }}, move.write_date at time zone 'UTC') as date) >= {{ next_day }}
) and not exists (
    select 1 from account_partial_reconcile as partial
    where cast(timezone({{ zone }}, partial.write_date at time zone 'UTC') as date) >= {{ next_day }}
)
group by open_lines.company_id
having count(*) = count(open_lines.amount)
