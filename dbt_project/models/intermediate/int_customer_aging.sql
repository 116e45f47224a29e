with

items as (

    select * from {{ ref('int_item_snapshots') }}

),

aggregated as (

    select
        as_of_date,
        snapshot_type,
        company_id,
        customer_id,
        currency_code,
        aging_bucket,
        {{ money('sum(open_amount)') }} as open_amount,
        case when count(company_amount) = count(*) then {{ money('sum(company_amount)') }} end
            as company_amount,
        case when count(group_amount) = count(*) then {{ money('sum(group_amount)') }} end
            as group_amount,
        {{ money('sum(case when is_credit then 0 else open_amount end)') }} as debit_amount,
        {{ money('sum(case when is_credit then open_amount else 0 end)') }} as credit_amount,
        count(*) as item_count,
        cast(sum(case when days_past_due > 0 then 1 else 0 end) as bigint) as overdue_item_count,
        case
            when
                count(case when days_past_due <= 0 then company_amount end)
                = sum(case when days_past_due <= 0 then 1 else 0 end)
                then {{ money('sum(case when days_past_due <= 0 then company_amount else 0 end)') }}
        end as not_due_company_amount,
        count(*) > count(company_amount) or count(*) > count(group_amount) as is_conversion_incomplete,
        sum(case when is_rate_carried then 1 else 0 end) > 0 as is_rate_carried,
        sum(case when is_booking_rate_carried then 1 else 0 end) > 0 as is_booking_rate_carried
    from items
    group by as_of_date, snapshot_type, company_id, customer_id, currency_code, aging_bucket

)

select * from aggregated
