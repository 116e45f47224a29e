-- One row per amount of a credit part that settles a debit item.
--
-- First what points at its invoice (REBZG), as far as both are open or were cleared together; then, within each
-- clearing, the rest: the oldest due debit with the oldest credit, customer by customer.
with

debits as (

    select * from items
    where side = 'debit' and kind <> 'unknown' and amount > 0 and special <> 'write_off' and not is_void

),

credits as (

    select * from segments where not is_void

),

pointing as (

    select
        credits.*,
        debits.item_id as debit_id,
        debits.amount as debit_amount,
        greatest(credits.counts_from, debits.counts_from) as matched_on,
        coalesce(sum(credits.segment_amount) over (
            partition by debits.item_id
            order by credits.counts_from, credits.item_id, credits.segment
            rows between unbounded preceding and 1 preceding
        ), 0) as already_settled
    from credits
    inner join debits
        on credits.mandt = debits.mandt
        and credits.bukrs = debits.bukrs
        and credits.waers = debits.waers
        and credits.points_at = debits.belnr
        and credits.rebzj = debits.gjahr
        and number_of(credits.rebzz) = number_of(debits.buzei)
    where (credits.augbl, credits.cleared_on) is not distinct from (debits.augbl, debits.cleared_on)

),

pointed as (

    select
        'REBZG' as clearing,
        debit_id,
        segment_id,
        matched_on,
        coalesce(entered_at, moment_of(cpudt), cast(matched_on as timestamp)) as entered_at,
        least(segment_amount, debit_amount - already_settled) as amount
    from pointing
    where debit_amount > already_settled

),

open_debits as (

    select
        debits.*,
        debits.amount - coalesce(settled.amount, 0) as rest
    from debits
    left join (select debit_id, sum(amount) as amount from pointed group by all) as settled
        on debits.item_id = settled.debit_id
    where is_cleared

),

open_credits as (

    select
        credits.*,
        credits.segment_amount - coalesce(used.amount, 0) as rest
    from credits
    left join (select segment_id, sum(amount) as amount from pointed group by all) as used using (segment_id)
    where is_cleared

),

-- Each side laid out as consecutive stretches of one line: what overlaps belongs together.
debit_stretches as (

    select *, sum(rest) over (
        partition by mandt, bukrs, augbl, cleared_on, waers
        order by kunnr, kind = 'refund', due_on, item_id
    ) as until
    from open_debits
    where rest > 0

),

credit_stretches as (

    select *, sum(rest) over (
        partition by mandt, bukrs, augbl, cleared_on, waers
        order by kunnr, counts_from, item_id, segment
    ) as until
    from open_credits
    where rest > 0

),

cleared as (

    select
        debit.bukrs || '-' || debit.augbl || '-' || strftime(debit.cleared_on, '%Y%m%d') as clearing,
        debit.item_id as debit_id,
        credit.segment_id,
        debit.cleared_on as matched_on,
        coalesce(clearing.entered_at, cast(debit.cleared_on as timestamp)) as entered_at,
        least(debit.until, credit.until) - greatest(debit.until - debit.rest, credit.until - credit.rest) as amount
    from debit_stretches as debit
    inner join credit_stretches as credit
        on debit.mandt = credit.mandt
        and debit.bukrs = credit.bukrs
        and debit.augbl = credit.augbl
        and debit.cleared_on = credit.cleared_on
        and debit.waers = credit.waers
        and debit.until > credit.until - credit.rest
        and credit.until > debit.until - debit.rest
    left join headers as clearing
        on debit.mandt = clearing.mandt
        and debit.bukrs = clearing.bukrs
        and debit.augbl = clearing.belnr
        and clearing.posted_on = debit.cleared_on

)

select
    matched.*,
    debits.kind as debit_kind,
    credits.segment_kind,
    credits.document_id as credit_id,
    credits.item_id as credit_item_id
from (
    select * from pointed
    union all
    select * from cleared
) as matched
inner join debits on matched.debit_id = debits.item_id
inner join credits on matched.segment_id = credits.segment_id
where matched.amount > 0
