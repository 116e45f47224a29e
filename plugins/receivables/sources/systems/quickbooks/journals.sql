-- One row per journal line on a receivable account that names a customer.
select
    journal_entry.id as journal_entry_id,
    journal_entry.id || '-' || coalesce(journal_entry_line.index, '0') as line_id,
    lower(journal_entry_line.posting_type) as side,
    journal_entry_line.customer_id,
    journal_entry.transaction_date,
    number_of(journal_entry_line.amount) as amount,
    journal_entry_line.amount as given_amount,
    journal_entry.doc_number,
    journal_entry.currency_id,
    journal_entry.exchange_rate,
    journal_entry_line.description,
    journal_entry.created_at,
    journal_entry.updated_at
from journal_entry_line
inner join journal_entry on journal_entry_line.journal_entry_id = journal_entry.id
inner join account on journal_entry_line.account_id = account.id
where lower(replace(account.account_type, ' ', '')) = 'accountsreceivable'
    and journal_entry_line.customer_id is not null
    and not is_true(journal_entry._fivetran_deleted)
