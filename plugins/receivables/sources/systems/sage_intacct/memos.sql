-- One row per adjustment: below zero it lowers what the customer owes.
with

rates as (

    select
        recordkey,
        max(case when currency is distinct from basecurr then exchange_rate end) as exchange_rate
    from ar_adjustment_item
    group by recordkey

)

select
    ar_adjustment.*,
    rates.exchange_rate,
    number_of(totalentered) as amount,
    company_of(megaentityid) as company_id,
    case
        when state in ('Draft', 'Submitted', 'Partially Approved', 'Declined', 'Analyzing') then 'draft'
        when state in ('Reversed', 'Voided', 'Reversal') then 'void'
        else 'posted'
    end as status
from ar_adjustment
left join rates on ar_adjustment.recordno = rates.recordkey
where not is_true(_fivetran_deleted)
