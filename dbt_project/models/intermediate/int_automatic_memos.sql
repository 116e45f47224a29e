with

memos as (

    select * from {{ ref('int_documents') }}
    where
        document_type in ('credit_memo', 'journal_credit')
        and linked_invoice_id is not null

),

applications as (

    select * from {{ ref('int_application_versions') }}

),

memos_with_applications as (

    select distinct memos.document_id
    from memos
    inner join applications
        on memos.document_id = applications.credit_id

),

known_days as (

    select
        memos.document_id,
        memos.known_on as known_at
    from memos
    inner join memos_with_applications
        on memos.document_id = memos_with_applications.document_id
    union
    select
        applications.credit_id as document_id,
        applications.known_on as known_at
    from applications
    inner join memos_with_applications
        on applications.credit_id = memos_with_applications.document_id

),

known_intervals as (

    select
        document_id,
        known_at,
        coalesce(
            lead(known_at) over (partition by document_id order by known_at), {{ forever() }}
        ) as next_known_at
    from known_days

),

-- A source that has ever shown an application of a memo applies its memos itself: when it takes the
-- application back, the memo is unapplied. Until it shows one, the invoice that the memo names counts.
unapplied_then as (

    select
        memos.document_id,
        greatest(memos.known_on, known_intervals.known_at) as known_on,
        least(memos.known_until, known_intervals.next_known_at) as known_until
    from known_intervals
    inner join memos
        on known_intervals.document_id = memos.document_id
        and known_intervals.known_at < memos.known_until
        and known_intervals.next_known_at > memos.known_on
    left join applications
        on known_intervals.document_id = applications.credit_id
        and known_intervals.known_at >= applications.known_on
        and known_intervals.known_at < applications.known_until
    where applications.application_id is null

),

automatic as (

    select
        memos.document_id,
        memos.linked_invoice_id,
        memos.document_type,
        memos.amount,
        memos.currency_code,
        memos.document_date,
        memos.ended_on,
        memos.end_reason,
        unapplied_then.known_on,
        unapplied_then.known_until
    from unapplied_then
    inner join memos
        on unapplied_then.document_id = memos.document_id
        and unapplied_then.known_on >= memos.known_on
        and unapplied_then.known_on < memos.known_until
    union all
    select
        memos.document_id,
        memos.linked_invoice_id,
        memos.document_type,
        memos.amount,
        memos.currency_code,
        memos.document_date,
        memos.ended_on,
        memos.end_reason,
        memos.known_on,
        memos.known_until
    from memos
    left join memos_with_applications
        on memos.document_id = memos_with_applications.document_id
    where memos_with_applications.document_id is null

)

select * from automatic
