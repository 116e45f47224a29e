-- The list that collectors work and the ageing that managers read are of the same evening.
with

items as (

    select
        company_id,
        customer_id,
        currency_code,
        aging_bucket,
        sum(open_amount) as amount,
        count(*) as item_count
    from {{ ref('ar_open_items') }}
    group by company_id, customer_id, currency_code, aging_bucket

),

snapshots as (

    select
        company_id,
        customer_id,
        currency_code,
        aging_bucket,
        open_amount as amount,
        item_count
    from {{ ref('ar_aging_snapshots') }}
    where as_of_date = {{ as_of_date() }}

),

differences as (

    (
        select * from items
        except
        select * from snapshots
    )
    union all
    (
        select * from snapshots
        except
        select * from items
    )

)

select * from differences
