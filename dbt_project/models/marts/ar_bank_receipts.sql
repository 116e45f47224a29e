with

receipts as (

    select * from {{ ref('int_bank_receipts') }}

),

matches as (

    select
        transaction_id,
        sum(proposed_amount) as matched_amount,
        sum(case when is_proposed then proposed_amount else 0 end) as proposed_amount,
        max(confidence) as confidence,
        count(*) as match_count
    from {{ ref('int_bank_matches') }}
    group by transaction_id

),

applications as (

    select
        transaction_id,
        sum(amount) as applied_amount,
        min(confidence) as confidence
    from {{ ref('int_bank_applications') }}
    where known_until = {{ forever() }}
    group by transaction_id

),

joined as (

    select
        receipts.*,
        coalesce(applications.applied_amount, matches.matched_amount, 0) as matched_amount,
        coalesce(matches.proposed_amount, 0) as proposed_amount,
        cast(coalesce(matches.match_count, 0) as integer) as match_count,
        coalesce(applications.confidence, matches.confidence) as confidence
    from receipts
    left join matches
        on receipts.transaction_id = matches.transaction_id
    left join applications
        on receipts.transaction_id = applications.transaction_id

),

published as (

    select
        {{ as_of_date() }} as as_of_date,
        transaction_id,
        statement_id,
        company_id,
        account,
        currency_code,
        case
            when recorded_receipt_id is not null then 'recorded'
            when applied_receipt_id is not null then 'applied'
            when proposed_amount = amount then 'proposed'
            when match_count > 0 then 'to_review'
            else 'unmatched'
        end as status,
        recorded_receipt_id,
        applied_receipt_id,
        counterparty_name,
        counterparty_account,
        reference,
        remittance,
        amount,
        {{ money('matched_amount') }} as matched_amount,
        {{ money('case when recorded_receipt_id is null then amount - matched_amount else 0 end') }}
            as unmatched_amount,
        confidence,
        match_count,
        booking_date
    from joined

)

select * from published
