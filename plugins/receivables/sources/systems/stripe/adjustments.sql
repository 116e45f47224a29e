select
    notes.refund_id || ':' || notes.id as adjustment_id,
    'refund' as adjustment_type,
    cast(coalesce(cast(moment_of(refund.created) as date), notes.dated_on) as varchar) as adjustment_date,
    cast(notes.amount as varchar) as amount,
    notes.customer_id,
    'credit_memo' as credit_type,
    notes.id as credit_id,
    null as invoice_id,
    notes.reason,
    notes.currency_code,
    case notes.status when 'void' then 'void' else 'posted' end as status,
    cast(notes.voided_on as varchar) as voided_on,
    utc(notes.created_at) as created_at
from notes
left join refund on notes.refund_id = refund.id
where notes.refund_id is not null
union all
select
    'UNCOLLECTIBLE-' || id, 'write_off',
    cast(coalesce(date_of(status_transitions_marked_uncollectible_at), billed_on) as varchar),
    cast(remaining_amount as varchar), customer_id, null, null, id, 'uncollectible', currency_code, 'posted', null,
    utc(moment_of(status_transitions_marked_uncollectible_at))
from bills
where status = 'uncollectible' and remaining_amount > 0
