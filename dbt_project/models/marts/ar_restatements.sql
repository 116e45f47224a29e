with

restatements as (

    select * from {{ ref('int_restatements') }}

),

published as (

    select
        detected_on,
        as_of_date,
        company_id,
        cause,
        {{ money('amount_before') }} as amount_before,
        {{ money('amount_after') }} as amount_after,
        {{ money('increase_amount') }} as increase_amount,
        {{ money('decrease_amount') }} as decrease_amount,
        cast(entry_count as bigint) as entry_count
    from restatements

)

select * from published
