with

instalments as (

    select * from {{ ref('int_instalments') }}

),

settlements as (

    select * from {{ ref('int_settlements') }}

),

largest_settlements as (

    select
        invoice_id,
        settlement_id,
        max(amount + discount_amount) as amount
    from settlements
    group by invoice_id, settlement_id

),

settled as (

    select
        invoice_id,
        sum(amount) as amount
    from largest_settlements
    group by invoice_id

),

smallest_claims as (

    select
        document_id,
        min(amount) as amount,
        max(case when is_scheduled then 1 else 0 end) as is_scheduled
    from instalments
    group by document_id

),

-- One instalment that can never be over-settled needs no allocation: the mass of invoices.
complex_invoices as (

    select smallest_claims.document_id as invoice_id
    from smallest_claims
    left join settled
        on smallest_claims.document_id = settled.invoice_id
    where
        smallest_claims.is_scheduled = 1
        or coalesce(settled.amount, 0) > smallest_claims.amount

)

select * from complex_invoices
