-- What a customer kept of what a payment settles (an early payment discount): the lines of the payment's own entry
-- on income and expense accounts.
kept as (
    select line.move_id, sum(line.amount_currency) as amount
    from account_move_line as line
    inner join account_account as account on account.id = line.account_id
    inner join moves on moves.id = line.move_id and moves.purpose = 'receipt'
    where
        {%- if has('account_account', 'account_type') %}
        (account.account_type like 'income%' or account.account_type like 'expense%')
        {%- else %}
        account.internal_group in ('income', 'expense')
        {%- endif %}
    group by line.move_id
    having sum(line.amount_currency) > 0
)
