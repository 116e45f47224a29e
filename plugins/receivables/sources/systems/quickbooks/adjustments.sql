select
    'JE-' || line_id as adjustment_id,
    'journal_credit' as adjustment_type,
    day_text(transaction_date) as adjustment_date,
    amount_text(amount, given_amount) as amount,
    customer_id,
    doc_number as adjustment_number,
    null as credit_type,
    null as credit_id,
    description as reason,
    currency_id as currency_code,
    exchange_rate,
    utc(moment_of(created_at)) as created_at
from journals
where side = 'credit'
union all
-- A cheque or expense that a payment sets against a credit: money paid back.
select
    'REFUND-' || matches.payment_id || ':' || matches.debit_id || ':' || matches.credit_id,
    'refund',
    day_text(matches.applied_on),
    cast(matches.amount as varchar),
    payment.customer_id,
    matches.debit_id,
    matches.credit_kind,
    matches.credit_id,
    null,
    payment.currency_id,
    payment.exchange_rate,
    utc(moment_of(matches.created_at))
from matches
inner join payment on matches.payment_id = payment.id
where matches.debit_kind = 'refund'
