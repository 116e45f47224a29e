-- Customers and segments are cuts of the same receivable: a customer in no segment, or in two, shows here.
with

totals as (

    select
        month_end_date,
        company_id,
        scope_type,
        count(*) - count(ar_amount) as unconverted_count,
        sum(ar_amount) as ar_amount
    from {{ ref('int_scope_months') }}
    where scope_type in ('customer', 'segment', 'company')
    group by month_end_date, company_id, scope_type

)

select
    month_end_date,
    company_id,
    min(ar_amount) as lowest_amount,
    max(ar_amount) as highest_amount
from totals
group by month_end_date, company_id
having
    sum(unconverted_count) = 0
    and (min(ar_amount) <> max(ar_amount) or count(*) <> 3)
