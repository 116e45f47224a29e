-- What SAP itself says is open: the items of BSID in the company's currency (DMBTR), whatever was cleared with what.
select
    coalesce(company_of(bsid.bukrs), bsid.bukrs) as company_id,
    case bsid.shkzg when 'S' then 1 when 'H' then -1 end
    * number_of(bsid.dmbtr) * power10(company_currency.currdec) as amount
from bsid
left join t001 on bsid.bukrs = t001.bukrs and coalesce(bsid.mandt, '') = coalesce(t001.mandt, '')
left join headers
    on coalesce(bsid.mandt, '') = headers.mandt
    and bsid.bukrs = headers.bukrs
    and bsid.gjahr = headers.gjahr
    and bsid.belnr = headers.belnr
left join tcurx as company_currency on coalesce(headers.hwaer, t001.waers) = company_currency.currkey
where (getvariable('client') = '' or bsid.mandt = getvariable('client'))
    and coalesce(bsid.bstat, '') <> 'S'
    and coalesce(getvariable('special_gl')[bsid.umskz], 'keep') = 'keep'
    and date_of(bsid.budat) <= getvariable('business_day')
