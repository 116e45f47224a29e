-- The lines of receivable accounts: every claim and every credit is one of them, in its own currency. Lines
-- without an amount in their currency only carry exchange differences.
receivable as (
    select
        line.id, line.move_id, line.partner_id, line.date_maturity, line.amount_currency, line.balance,
        line.currency_id, line.write_date
    from account_move_line as line
    inner join account_account as account on account.id = line.account_id
    where line.amount_currency <> 0
        {%- if has('account_account', 'account_type') %}
        and account.account_type = 'asset_receivable'
        {%- else %}
        {{ note('account_account has no account_type: receivable accounts are those of internal_type receivable') }}
        and account.internal_type = 'receivable'
        {%- endif %}
),

-- A journal or payment that was turned in full by its reversal counts until that day.
reversals as (
    select
        reversal.reversed_entry_id as move_id, min(reversal.date) as reversed_on,
        max(reversal.write_date) as write_date
    from account_move as reversal
    inner join account_move as original on original.id = reversal.reversed_entry_id
    where reversal.state = 'posted' and reversal.move_type = 'entry' and original.move_type = 'entry'
    group by reversal.reversed_entry_id
),

-- What each entry is: an invoice, a refund, money in or out, or a journal on a receivable account.
moves as (
    select
        move.id, move.name, move.date, move.invoice_date, move.invoice_date_due, move.ref,
        company.name as company_id, currency.name as currency_code, move.amount_total, move.amount_tax,
        coalesce(move.commercial_partner_id, move.partner_id) as partner_id,
        case
            when reversals.move_id is not null then 'void'
            when move.state = 'posted' then 'posted'
            when move.state = 'cancel'{% if has('account_move', 'posted_before') %} and move.posted_before{% endif %} then 'void'
            else 'draft'
        end as status,
        case
            when reversals.move_id is not null then reversals.reversed_on
            when move.state = 'cancel' then cast(timezone({{ zone }}, move.write_date at time zone 'UTC') as date)
        end as voided_on,
        move.create_date at time zone 'UTC' as created_at,
        greatest(move.write_date, reversals.write_date) at time zone 'UTC' as updated_at,
        {%- if has('account_move', 'debit_origin_id') %}
        move.debit_origin_id is not null as is_debit_note,
        {%- else %}
        false as is_debit_note,
        {%- endif %}
        {%- if has('account_move', 'invoice_currency_rate') %}
        nullif(cast(move.invoice_currency_rate as {{ number }}), 0) as invoice_rate,
        {%- else %}
        {{ note('account_move has no invoice_currency_rate: booking rates come from the rates table and the lines') }}
        cast(null as {{ number }}) as invoice_rate,
        {%- endif %}
        move.currency_id = company.currency_id as is_own_currency,
        case
            when move.move_type in ('out_invoice', 'out_receipt') then 'invoice'
            when move.move_type = 'out_refund' then 'refund'
            when payment.payment_type = 'outbound' then 'paid_back'
            when payment.id is not null or journal.type in ('bank', 'cash') then 'receipt'
            {%- if options.write_off_accounts %}
            when exists ({{ touches(options.write_off_accounts) }}) then 'write_off'
            {%- endif %}
            {%- if options.discount_accounts %}
            when exists ({{ touches(options.discount_accounts) }}) then 'discount'
            {%- endif %}
            else 'journal'
        end as purpose
    from account_move as move
    inner join account_journal as journal on journal.id = move.journal_id
    inner join res_company as company on company.id = move.company_id
    inner join res_currency as currency on currency.id = move.currency_id
    left join reversals on reversals.move_id = move.id
    {%- if has('account_payment', 'move_id') %}
    left join account_payment as payment on payment.move_id = move.id
    {%- else %}
    {{ note('account_payment has no move_id: the entry names its payment') }}
    left join account_payment as payment on payment.id = move.payment_id
    {%- endif %}
    where move.move_type not in ('in_invoice', 'in_refund', 'in_receipt')
        -- The reversal itself is no document: it ends the one that it turns.
        and not (
            move.move_type = 'entry' and move.reversed_entry_id is not null
            and exists (
                select 1 from account_move as original
                where original.id = move.reversed_entry_id and original.move_type = 'entry'
            )
        )
),

-- The booking rate: what the document states, else the published rate when it explains the booking to the cent,
-- else what the lines come to.
rates as (
    select
        receivable.move_id,
        case
            when bool_and(moves.is_own_currency) then 1
            when max(moves.invoice_rate) is not null then round(1 / max(moves.invoice_rate), 8)
            when abs(sum(receivable.balance) - round(sum(receivable.amount_currency) * max(published.rate), 2)) <= 0.01
                then max(published.rate)
            else round(sum(receivable.balance) / nullif(sum(receivable.amount_currency), 0), 8)
        end as exchange_rate
    from receivable
    inner join moves on moves.id = receivable.move_id
    inner join account_move as move on move.id = receivable.move_id
    left join lateral (
        select round(1 / cast(rate.rate as {{ number }}), 8) as rate
        from res_currency_rate as rate
        where rate.currency_id = receivable.currency_id and rate.name <= move.date and rate.rate <> 0
            and (rate.company_id = move.company_id or rate.company_id is null)
        order by rate.name desc
        limit 1
    ) as published on true
    group by receivable.move_id
)
