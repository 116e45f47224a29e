-- One row per invoice that exists, in its own currency.
with

rates as (

    select
        recordkey,
        max(case when currency is distinct from basecurr then exchange_rate end) as exchange_rate
    from ar_invoice_item
    group by recordkey

)

select
    ar_invoice.*,
    rates.exchange_rate,
    company_of(megaentityid) as company_id,
    coalesce(date_of(whencreated), date_of(whenposted)) as dated_on,
    case
        when state in ('Draft', 'Submitted', 'Partially Approved', 'Declined', 'Analyzing') then 'draft'
        when state in ('Reversed', 'Voided', 'Reversal') then 'void'
        else 'posted'
    end as status
from ar_invoice
left join rates on ar_invoice.recordno = rates.recordkey
where not is_true(_fivetran_deleted)
