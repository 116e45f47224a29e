-- Reports by segment join a month end to the customer's segment of that day: two of them double its receivable.
with

stretches as (

    select
        customer_id,
        valid_from,
        valid_to,
        lead(valid_from) over (partition by customer_id order by valid_from) as next_valid_from
    from {{ ref('dim_customer_history') }}

)

select * from stretches
where valid_to <= valid_from or next_valid_from < valid_to
