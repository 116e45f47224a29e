-- A gap between two buckets drops items from every ageing, an overlap counts them twice. Buckets are configuration, so
-- the edges are checked, not the items: the first is open below, each starts the day after the one before, the last is
-- open above.
with

edges as (

    select
        aging_bucket,
        min_days,
        max_days,
        lag(max_days) over (order by position) as previous_max_days,
        row_number() over (order by position) as place,
        count(*) over () as bucket_count
    from {{ ref('dim_aging_buckets') }}

)

select * from edges
where
    (place = 1) <> (min_days is null)
    or (place = bucket_count) <> (max_days is null)
    or (place > 1 and (previous_max_days is null or min_days <> previous_max_days + 1))
