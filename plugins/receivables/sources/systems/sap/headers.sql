-- One row per document header; for a reversed document the posting date of its reversal.
with

given as (

    select
        coalesce(mandt, '') as mandt,
        bukrs,
        gjahr,
        belnr,
        coalesce(cpudt, '') || coalesce(cputm, '') as entered,
        moment_of(cpudt || coalesce(lpad(cputm, 6, '0'), '000000')) as entered_at,
        date_of(budat) as posted_on,
        nullif(trim(stblg, '0 '), '') is not null as has_partner,
        stblg,
        nullif(trim(stjah, '0 '), '') as stjah,
        xreversal,
        number_of(kursf) as kursf,
        hwaer
    from bkpf

)

select
    given.*,
    -- XREVERSAL says which of the two it is: 1 reversed, 2 the reversal. Without it the later entry reverses.
    given.has_partner and coalesce(
        given.xreversal = '2',
        (given.entered, given.gjahr, given.belnr) > (partner.entered, partner.gjahr, partner.belnr),
        false
    ) as is_reversal,
    given.has_partner as is_reversed,
    partner.posted_on as reversed_on
from given
left join given as partner
    on given.mandt = partner.mandt
    and given.bukrs = partner.bukrs
    and given.stblg = partner.belnr
    and coalesce(given.stjah, given.gjahr) = partner.gjahr
