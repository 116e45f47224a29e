select
    dispute.id as dispute_id,
    paid.invoice_id,
    cast(cast(moment_of(dispute.created) as date) as varchar) as opened_on,
    cast(number_of(dispute.amount) * bills.unit as varchar) as amount,
    dispute.reason,
    dispute.status as outcome,
    utc(moment_of(dispute.created)) as created_at
from dispute
inner join paid on dispute.charge_id = paid.receipt_id
inner join bills on paid.invoice_id = bills.id
