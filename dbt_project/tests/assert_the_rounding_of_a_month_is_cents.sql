-- Rounding closes the month in company currency. More than two minor units for each entry of the month is no rounding:
-- a movement, or an exchange difference, is missing and hides there.
with

companies as (

    select * from {{ ref('int_companies') }}

),

currencies as (

    select * from {{ source('settings', 'currencies') }}

),

entry_counts as (

    select
        entries.company_id,
        entries.currency_code,
        month_days.month_end_date,
        count(*) as entry_count
    from {{ ref('int_ledger_entries') }} as entries
    inner join {{ ref('int_month_days') }} as month_days
        on entries.company_id = month_days.company_id
        and entries.effective_date = month_days.date_day
    where month_days.is_company_period
    group by entries.company_id, entries.currency_code, month_days.month_end_date

)

select
    months.month_end_date,
    months.company_id,
    months.currency_code,
    months.company_rounding_amount,
    entry_counts.entry_count
from {{ ref('ar_roll_forward') }} as months
left join entry_counts
    on months.company_id = entry_counts.company_id
    and months.currency_code = entry_counts.currency_code
    and months.month_end_date = entry_counts.month_end_date
left join companies
    on months.company_id = companies.company_id
left join currencies
    on companies.currency_code = currencies.currency_code
where
    abs(months.company_rounding_amount) > 2 * coalesce(entry_counts.entry_count, 0)
    * case coalesce(currencies.minor_unit, 2) when 0 then 1 when 3 then 0.001 when 4 then 0.0001 else 0.01 end
