-- One row per part of a credit item: the document itself, the discount taken with it, what it only moves.
--
-- A payment of 80 on an invoice of 100 with a residual item posts 100 to the credit and 20 to the debit of the
-- customer: 80 is cash, 20 only changes its name. The same holds for transfers to a special ledger.
with

posted as (

    select * from items where kind <> 'unknown' and amount is not null

),

-- What a document moves on the debit side: items that are neither billing nor money paid out.
moved as (

    select
        mandt, bukrs, gjahr, belnr, kunnr, waers,
        sum(amount) filter (where special <> 'write_off') as amount,
        sum(amount) filter (where special = 'write_off') as written_off
    from posted
    where kind = 'debit_memo'
    group by all

),

credits as (

    select
        posted.*,
        -- A discount is taken in the document that clears: elsewhere WSKTO only says what could be taken.
        case
            when kind = 'receipt' and augbl = belnr and discount > 0 and discount < posted.amount then discount
            else 0
        end as taken,
        coalesce(moved.amount, 0) as moved_total,
        coalesce(moved.written_off, 0) as written_off_total,
        coalesce(sum(posted.amount) over (
            partition by posted.mandt, posted.bukrs, posted.gjahr, posted.belnr, posted.kunnr, posted.waers
            order by posted.buzei
            rows between unbounded preceding and 1 preceding
        ), 0) as earlier_lines
    from posted
    left join moved using (mandt, bukrs, gjahr, belnr, kunnr, waers)
    where side = 'credit' and special <> 'write_off'

),

parts as (

    select
        credits.*,
        case
            when kind in ('receipt', 'journal')
                then greatest(0, least(amount - taken, written_off_total - earlier_lines))
            else 0
        end as written_off_part,
        case
            when kind in ('receipt', 'journal')
                then greatest(0, least(amount - taken, written_off_total + moved_total - earlier_lines))
            else 0
        end as moved_or_written_off
    from credits

)

select parts.*, item_id as segment_id, 1 as segment, kind as segment_kind, item_id as document_id,
    amount - taken - moved_or_written_off as segment_amount
from parts
where amount - taken - moved_or_written_off > 0
union all
select parts.*, item_id || '-D', 2, 'discount', item_id, taken
from parts
where taken > 0
union all
select parts.*, item_id || '-T', 3, 'credit_memo', item_id || '-T', moved_or_written_off - written_off_part
from parts
where moved_or_written_off - written_off_part > 0
union all
select parts.*, item_id || '-W', 4, 'write_off', item_id || '-W', written_off_part
from parts
where written_off_part > 0
