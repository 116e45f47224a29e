with recursive

customers as (

    select
        customer_id,
        parent_customer_id
    from {{ ref('int_customer_history') }}
    where is_current

),

-- Up the chain; ten steps at most, so that a circle of parents ends.
chain as (

    select
        customer_id,
        customer_id as ancestor_id,
        0 as steps
    from customers
    union all
    select
        chain.customer_id,
        parents.parent_customer_id as ancestor_id,
        chain.steps + 1 as steps
    from chain
    inner join customers as parents
        on chain.ancestor_id = parents.customer_id
    where
        parents.parent_customer_id is not null
        and parents.parent_customer_id <> chain.customer_id
        and chain.steps < 10

),

ranked as (

    select
        customer_id,
        ancestor_id,
        row_number() over (partition by customer_id order by steps desc) as distance_rank
    from chain

)

select
    customer_id,
    ancestor_id as ultimate_parent_customer_id
from ranked
where distance_rank = 1
