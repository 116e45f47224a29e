-- Money paid back: on the credits that it names, and the rest by itself.
with

parts as (

    select debit_id, credit_kind, credit_id, amount from links where debit_kind = 'refund'
    union all
    select transactions.id, null, null, transactions.amount - coalesce(sum(links.amount), 0)
    from transactions
    left join links on transactions.id = links.debit_id
    where transactions.kind = 'refund'
    group by transactions.id, transactions.amount

)

select
    transactions.id || case when position > 1 then '-' || position else '' end as adjustment_id,
    'refund' as adjustment_type,
    day_text(transactions.trandate) as adjustment_date,
    cast(numbered.amount as varchar) as amount,
    transactions.entity as customer_id,
    transactions.document_number as adjustment_number,
    numbered.credit_kind as credit_type,
    numbered.credit_id,
    transactions.memo as reason,
    transactions.currency_code,
    transactions.company_id,
    transactions.exchangerate as exchange_rate,
    transactions.state as status,
    utc(moment_of(transactions.createddate)) as created_at
from (
    select *, row_number() over (partition by debit_id order by credit_id nulls last) as position
    from parts
    where amount > 0
) as numbered
inner join transactions on numbered.debit_id = transactions.id
