-- What settles an invoice, except write-offs, which name their invoice themselves.
with

settling as (

    select * from matches
    where
        debit_kind in ('invoice', 'debit_memo')
        and segment_kind in ('receipt', 'discount', 'credit_memo', 'journal')

)

select
    case when clearing = 'REBZG' then 'REBZG' else clearing end || ':' || credit_id || ':' || debit_id
        as application_id,
    case max(segment_kind)
        when 'credit_memo' then 'credit_memo' when 'journal' then 'journal' else 'receipt'
    end as credit_type,
    credit_id,
    debit_id as invoice_id,
    cast(coalesce(sum(amount) filter (where segment_kind <> 'discount'), 0) as varchar) as amount,
    cast(sum(amount) filter (where segment_kind = 'discount') as varchar) as discount_amount,
    cast(min(matched_on) as varchar) as applied_on,
    stamp(min(entered_at)) as created_at
from settling
group by clearing, credit_id, debit_id
