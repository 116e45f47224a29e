with

entries as (

    select * from {{ ref('int_restated_entries') }}

),

published as (

    select event_id, open_item_id, {{ money('amount') }} as amount, effective_date
    from entries

)

select * from published
