-- One row per customer line of a posted document: open (BSID) or cleared (BSAD), with what it is.
with

lines as (

    -- A line that was cleared between the two extracts stands in both: the clearing counts.
    select * from (
        select 1 as place, * from bsad
        union all by name
        select 2 as place, * from bsid
    )
    where getvariable('client') = '' or mandt = getvariable('client')
    qualify row_number() over (
        partition by mandt, bukrs, gjahr, belnr, buzei order by place
    ) = 1

),

numbers as (

    select
        lines.* exclude (mandt),
        coalesce(lines.mandt, '') as mandt,
        lines.bukrs || '-' || lines.gjahr || '-' || lines.belnr || '-' || lines.buzei as item_id,
        case when lines.shkzg = 'S' then 'debit' when lines.shkzg = 'H' then 'credit' end as side,
        number_of(lines.wrbtr) * power10(document_currency.currdec) as amount,
        coalesce(number_of(lines.wskto), 0) * power10(document_currency.currdec) as discount,
        number_of(lines.dmbtr) * power10(company_currency.currdec) as company_amount,
        coalesce(headers.hwaer, t001.waers) as company_currency,
        headers.kursf,
        headers.entered_at,
        coalesce(headers.is_reversal, false) as is_reversal,
        coalesce(headers.is_reversed and not headers.is_reversal, false) as is_void,
        headers.reversed_on,
        date_of(lines.budat) as posted_on,
        coalesce(date_of(lines.bldat), date_of(lines.budat)) as dated_on,
        date_of(lines.augdt) as cleared_on,
        date_of(lines.zfbdt) as baseline,
        case when trim(lines.rebzg, '0 ') <> '' then lines.rebzg end as points_at,
        case getvariable('document_date') when 'posting' then date_of(lines.budat) else date_of(lines.bldat) end
            as counts_from,
        coalesce(getvariable('special_gl')[lines.umskz], 'keep') as special
    from lines
    left join headers
        on coalesce(lines.mandt, '') = headers.mandt
        and lines.bukrs = headers.bukrs
        and lines.gjahr = headers.gjahr
        and lines.belnr = headers.belnr
    left join t001
        on lines.bukrs = t001.bukrs and coalesce(lines.mandt, '') = coalesce(t001.mandt, '')
    left join tcurx as document_currency on lines.waers = document_currency.currkey
    left join tcurx as company_currency
        on coalesce(headers.hwaer, t001.waers) = company_currency.currkey
    -- Noted items and down payment requests are statistics, a reversal is the end of what it reverses.
    where coalesce(lines.bstat, '') <> 'S'

)

select
    numbers.*,
    -- ZFBDT + the last of the three periods that is there; a period of 0 days is none.
    coalesce(baseline, dated_on) + cast(
        case
            when number_of(zbd3t) > 0 then number_of(zbd3t)
            when number_of(zbd2t) > 0 then number_of(zbd2t)
            else coalesce(number_of(zbd1t), 0)
        end as integer
    ) as due_on,
    case
        when side is null then 'unknown'
        when side = 'debit' and bschl in ('05', '25') then 'refund'
        when side = 'debit' and (bschl in ('01', '21') or (bschl is null and blart in ('DR', 'RV'))) then 'invoice'
        when side = 'debit' then 'debit_memo'
        when list_contains(getvariable('write_off_reasons'), rstgr)
            or list_contains(getvariable('write_off_document_types'), blart) then 'write_off'
        when bschl in ('11', '12') or (bschl is null and blart in ('DG')) then 'credit_memo'
        when bschl = '15' or umskz = 'A' or list_contains(getvariable('receipt_document_types'), blart)
            then 'receipt'
        else 'journal'
    end as kind,
    case
        when waers = company_currency then null
        -- KURSF where it is exact: the ratio of two rounded amounts is not.
        when kursf > 0 and round(amount * kursf, 2) = company_amount then kursf
        -- Below zero it is quoted the other way round: company currency units are divided by it.
        when kursf < 0 and round(cast(amount / -kursf as decimal(38, 6)), 2) = company_amount
            then cast(1 / -kursf as decimal(18, 8))
        when amount <> 0 then company_amount / amount
    end as booking_rate,
    cleared_on is not null as is_cleared,
    coalesce(company_of(bukrs), bukrs) as company_id
from numbers
where special <> 'leave_out' and not is_reversal
