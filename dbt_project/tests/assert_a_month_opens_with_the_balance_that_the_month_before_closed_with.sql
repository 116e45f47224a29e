-- A gap between two months is a movement that nobody reports: it is in neither of them.
with

months as (

    select
        roll_forward.*,
        lag(closing_amount) over (
            partition by company_id, currency_code order by month_end_date
        ) as previous_closing_amount
    from {{ ref('ar_roll_forward') }} as roll_forward

)

select * from months
where opening_amount <> coalesce(previous_closing_amount, 0)
