-- One row per credit note, in whole money; a refund that no credit note explains is one too: it takes back the sale.
select
    credit_note.id,
    credit_note.invoice_id,
    bills.customer_id,
    cast(moment_of(credit_note.created) as date) as dated_on,
    moment_of(credit_note.created) as created_at,
    number_of(credit_note.total) * bills.unit as amount,
    bills.currency_code,
    credit_note.number,
    coalesce(credit_note.reason, credit_note.memo) as reason,
    credit_note.refund_id,
    coalesce(credit_note.status, 'issued') as status,
    cast(moment_of(credit_note.voided_at) as date) as voided_on,
    coalesce(credit_note.type, 'pre_payment') as type
from credit_note
inner join bills on credit_note.invoice_id = bills.id
union all
select
    'REFUND-' || refund.id, paid.invoice_id, paid.customer_id, cast(moment_of(refund.created) as date),
    moment_of(refund.created), number_of(refund.amount) * bills.unit, paid.currency_code, null,
    coalesce(refund.reason, 'refund without a credit note'), refund.id, 'issued', null, 'post_payment'
from refund
inner join paid on refund.charge_id = paid.receipt_id
inner join bills on paid.invoice_id = bills.id
where coalesce(refund.status, 'succeeded') = 'succeeded'
    and refund.id not in (select refund_id from credit_note where refund_id is not null)
