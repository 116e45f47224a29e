select
    credit_note_id as credit_memo_id,
    contact_id as customer_id,
    day_text(date) as credit_memo_date,
    amount_text(number_of(total), total) as amount,
    currency_code,
    credit_note_number as credit_memo_number,
    reference as reason,
    cast(cast(1 / nullif(cast(number_of(currency_rate) as double), 0) as decimal(18, 8)) as varchar) as exchange_rate,
    case status when 'VOIDED' then 'void' when 'DRAFT' then 'draft' when 'SUBMITTED' then 'draft' else 'posted' end
        as status,
    utc(moment_of(updated_date_utc)) as updated_at
from credit_notes
