-- `open_items_as_of` joins each balance to what was known of its item that day: two descriptions double the balance.
with

stretches as (

    select
        open_item_id,
        known_on,
        known_until,
        lead(known_on) over (partition by open_item_id order by known_on) as next_known_on
    from {{ ref('fct_open_item_versions') }}

)

select * from stretches
where known_until <= known_on or next_known_on < known_until
