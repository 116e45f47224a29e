-- Money paid back on a credit note, an overpayment or a prepayment.
select
    payment.payment_id as adjustment_id,
    'refund' as adjustment_type,
    day_text(payment.date) as adjustment_date,
    amount_text(number_of(payment.amount), payment.amount) as amount,
    credit_notes.contact_id as customer_id,
    'credit_memo' as credit_type,
    payment.credit_note_id as credit_id,
    payment.reference as reason,
    credit_notes.currency_code,
    cast(cast(1 / nullif(cast(number_of(payment.currency_rate) as double), 0) as decimal(18, 8)) as varchar)
        as exchange_rate,
    case when payment.status in ('DELETED', 'VOIDED') then 'void' else 'posted' end as status,
    utc(moment_of(payment.updated_date_utc)) as updated_at
from payment
inner join credit_notes on payment.credit_note_id = credit_notes.credit_note_id
