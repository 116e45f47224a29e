-- Journals, write-offs and money paid back. One item that touches several others becomes several rows; the first
-- keeps the item's own number, so that a later clearing edits it and leaves no gap.
with

journals as (

    select
        segments.*,
        'journal_credit' as adjustment_type,
        null as other_id,
        null as other_kind,
        segment_amount as part,
        1 as position
    from segments
    where segment_kind = 'journal'

),

write_off_parts as (

    select segment_id, debit_id, sum(amount) as amount, min(matched_on) as matched_on
    from matches
    where segment_kind = 'write_off' and debit_kind in ('invoice', 'debit_memo')
    group by all

),

write_offs as (

    select
        segments.*,
        'write_off' as adjustment_type,
        parts.debit_id as other_id,
        null as other_kind,
        parts.amount as part,
        row_number() over (
            partition by segments.segment_id order by parts.debit_id is null, parts.matched_on, parts.debit_id
        ) as position
    from segments
    inner join (
        select * from write_off_parts
        union all
        select segments.segment_id, null, segments.segment_amount - coalesce(sum(write_off_parts.amount), 0), null
        from segments
        left join write_off_parts using (segment_id)
        group by segments.segment_id, segments.segment_amount
    ) as parts on segments.segment_id = parts.segment_id
    where segments.segment_kind = 'write_off' and parts.amount > 0

),

refund_parts as (

    select
        debit_id, credit_id, segment_kind, sum(amount) as amount, min(matched_on) as matched_on
    from matches
    where debit_kind = 'refund' and segment_kind in ('receipt', 'credit_memo', 'journal')
    group by all

),

refunds as (

    select
        items.*,
        parts.credit_id as other_id,
        parts.segment_kind as other_kind,
        parts.amount as part,
        row_number() over (
            partition by items.item_id order by parts.credit_id is null, parts.matched_on, parts.credit_id
        ) as position
    from items
    inner join (
        select * from refund_parts
        union all
        select items.item_id, null, null, items.amount - coalesce(sum(refund_parts.amount), 0), null
        from items
        left join refund_parts on items.item_id = refund_parts.debit_id
        group by items.item_id, items.amount
    ) as parts on items.item_id = parts.debit_id
    where items.kind = 'refund' and parts.amount > 0

),

-- A cleared item without a counterpart in the extract, or with one in another currency, is settled all the same.
debit_rests as (

    select items.*, items.amount - coalesce(settled.amount, 0) as rest
    from items
    left join (select debit_id, sum(amount) as amount from matches group by debit_id) as settled
        on items.item_id = settled.debit_id
    where items.side = 'debit' and items.kind in ('invoice', 'debit_memo') and items.special <> 'write_off'
        and items.is_cleared and not items.is_void and items.amount > coalesce(settled.amount, 0)

),

credit_rests as (

    select segments.*, segments.segment_amount - coalesce(used.amount, 0) as rest
    from segments
    left join (select segment_id, sum(amount) as amount from matches group by segment_id) as used
        using (segment_id)
    where segments.segment_kind in ('receipt', 'credit_memo', 'journal')
        and segments.is_cleared and not segments.is_void
        and segments.segment_amount > coalesce(used.amount, 0)

),

adjustments as (

    select item_id, document_id, adjustment_type, counts_from, posted_on, part, kunnr, belnr, other_id, other_kind,
        coalesce(rstgr, sgtxt) as reason, waers, company_id, booking_rate, is_void, reversed_on, entered_at, cpudt,
        position
    from journals
    union all by name
    select item_id, document_id, adjustment_type, counts_from, posted_on, part, kunnr, belnr, other_id, other_kind,
        coalesce(rstgr, sgtxt) as reason, waers, company_id, booking_rate, is_void, reversed_on, entered_at, cpudt,
        position
    from write_offs
    union all by name
    select item_id, item_id as document_id, 'refund' as adjustment_type, counts_from, posted_on, part, kunnr, belnr,
        other_id, other_kind, coalesce(rstgr, sgtxt) as reason, waers, company_id, booking_rate, is_void,
        reversed_on, entered_at, cpudt, position
    from refunds
    union all by name
    select item_id, 'CLEARED-' || item_id as document_id, 'journal_credit' as adjustment_type,
        cleared_on as counts_from, cleared_on as posted_on, rest as part, kunnr, augbl as belnr,
        item_id as other_id, null as other_kind, 'cleared; the other side is not in the extract' as reason, waers,
        company_id, booking_rate, false as is_void, null as reversed_on, null as entered_at, augdt as cpudt,
        1 as position
    from debit_rests
    union all by name
    select item_id, 'CLEARED-' || segment_id as document_id, 'refund' as adjustment_type,
        cleared_on as counts_from, cleared_on as posted_on, rest as part, kunnr, augbl as belnr,
        document_id as other_id, segment_kind as other_kind, 'cleared; the other side is not in the extract' as reason,
        waers, company_id, booking_rate, false as is_void, null as reversed_on, null as entered_at,
        augdt as cpudt, 1 as position
    from credit_rests

)

select
    document_id || case when position > 1 then '-' || position else '' end as adjustment_id,
    adjustment_type,
    cast(counts_from as varchar) as adjustment_date,
    cast(posted_on as varchar) as posting_date,
    cast(part as varchar) as amount,
    kunnr as customer_id,
    belnr as adjustment_number,
    case when adjustment_type <> 'refund' then other_id end as invoice_id,
    case when adjustment_type = 'refund' then other_kind end as credit_type,
    case when adjustment_type = 'refund' then other_id end as credit_id,
    reason,
    waers as currency_code,
    company_id,
    cast(cast(booking_rate as decimal(18, 8)) as varchar) as exchange_rate,
    case when is_void then 'void' else 'posted' end as status,
    case when is_void then cast(reversed_on as varchar) end as voided_on,
    stamp(coalesce(entered_at, moment_of(cpudt))) as created_at
from adjustments
