-- Stretches that overlap count an item twice on the days they share: every ageing of those days is too high.
with

stretches as (

    select
        open_item_id,
        valid_from,
        valid_to,
        lead(valid_from) over (partition by open_item_id order by valid_from) as next_valid_from
    from {{ ref('fct_open_item_history') }}

)

select * from stretches
where valid_to <= valid_from or next_valid_from < valid_to
