-- One row per credit and debit that a link joins. A link leads from the earlier document (the invoice, or the credit
-- that is paid back) to the later one (the payment, credit memo or refund).
with

given as (

    select
        earlier.id as earlier_id, earlier.kind as earlier_kind, earlier.type as earlier_type,
        later.id as later_id, later.kind as later_kind, later.type as later_type,
        later.trandate as applied_on, coalesce(link.lastmodifieddate, later.createddate) as recorded,
        abs(number_of(link.foreignamount)) as amount
    from previous_transaction_line_link as link
    inner join transactions as earlier on link.previousdoc = earlier.id
    inner join transactions as later on link.nextdoc = later.id
    where not is_true(link._fivetran_deleted)

),

-- A deposit application only passes its deposit on.
deposits as (

    select later_id as application_id, min(earlier_id) as deposit_id
    from given
    where earlier_type = 'CustDep' and later_type = 'DepAppl'
    group by later_id

)

select
    case when given.later_kind = 'refund' then given.later_id else given.earlier_id end as debit_id,
    case when given.later_kind = 'refund' then 'refund' else given.earlier_kind end as debit_kind,
    case when given.later_kind = 'refund' then given.earlier_id else coalesce(deposits.deposit_id, given.later_id) end
        as credit_id,
    case when given.later_kind = 'refund' then given.earlier_kind else given.later_kind end as credit_kind,
    given.later_id,
    min(given.applied_on) as applied_on,
    min(given.recorded) as recorded,
    sum(given.amount) as amount
from given
left join deposits on given.later_id = deposits.application_id
where (given.earlier_kind in ('invoice', 'debit_memo') and given.later_kind in ('receipt', 'credit_memo'))
    or (given.earlier_kind in ('receipt', 'credit_memo') and given.later_kind = 'refund')
group by all
having sum(given.amount) > 0
