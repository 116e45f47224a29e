with

invoices as (

    select
        source_name,
        invoice_id as document_id,
        document_type,
        customer_id,
        company_id,
        invoice_date as document_date,
        posting_date,
        due_date,
        currency_code,
        amount,
        exchange_rate,
        status,
        voided_on,
        cast(null as varchar(200)) as linked_invoice_id,
        cast(null as varchar(200)) as linked_credit_id,
        version,
        is_removed,
        known_on,
        known_until,
        is_only_version
    from {{ ref('stg_invoices') }}

),

credit_memos as (

    select
        source_name,
        credit_memo_id as document_id,
        'credit_memo' as document_type,
        customer_id,
        company_id,
        credit_memo_date as document_date,
        posting_date,
        credit_memo_date as due_date,
        currency_code,
        amount,
        exchange_rate,
        status,
        voided_on,
        invoice_id as linked_invoice_id,
        cast(null as varchar(200)) as linked_credit_id,
        version,
        is_removed,
        known_on,
        known_until,
        is_only_version
    from {{ ref('stg_credit_memos') }}

),

receipts as (

    select
        source_name,
        receipt_id as document_id,
        'receipt' as document_type,
        customer_id,
        company_id,
        receipt_date as document_date,
        posting_date,
        receipt_date as due_date,
        currency_code,
        amount,
        exchange_rate,
        status,
        voided_on,
        cast(null as varchar(200)) as linked_invoice_id,
        cast(null as varchar(200)) as linked_credit_id,
        version,
        is_removed,
        known_on,
        known_until,
        is_only_version
    from {{ ref('stg_receipts') }}

),

adjustments as (

    select
        source_name,
        adjustment_id as document_id,
        adjustment_type as document_type,
        customer_id,
        company_id,
        adjustment_date as document_date,
        posting_date,
        coalesce(due_date, adjustment_date) as due_date,
        currency_code,
        amount,
        exchange_rate,
        status,
        voided_on,
        invoice_id as linked_invoice_id,
        credit_id as linked_credit_id,
        version,
        is_removed,
        known_on,
        known_until,
        is_only_version
    from {{ ref('stg_adjustments') }}

),

-- Money on a bank account that was applied by itself, for as long as the books do not hold it.
bank_receipts as (

    select distinct
        source_name,
        receipt_id as document_id,
        'receipt' as document_type,
        customer_id,
        company_id,
        booking_date as document_date,
        booking_date as posting_date,
        booking_date as due_date,
        currency_code,
        receipt_amount as amount,
        cast(null as decimal(18, 8)) as exchange_rate,
        'posted' as status,
        cast(null as date) as voided_on,
        cast(null as varchar(200)) as linked_invoice_id,
        cast(null as varchar(200)) as linked_credit_id,
        1 as version,
        false as is_removed,
        known_on,
        known_until,
        true as is_only_version
    from {{ ref('int_bank_applications') }}

),

documents as (

    select * from invoices
    union all
    select * from credit_memos
    union all
    select * from receipts
    union all
    select * from bank_receipts
    union all
    select * from adjustments

),

stated as (

    select
        documents.*,
        case
            when is_removed then 'removed'
            when status = 'void' then 'voided'
            else status
        end as state
    from documents

),

-- `life` counts the versions that were no end: an ended version belongs to the last one before it.
lives as (

    select
        stated.*,
        case when state in ('removed', 'voided') then 0 else 1 end as life
    from stated
    where is_only_version
    union all
    select
        stated.*,
        cast(sum(case when state in ('removed', 'voided') then 0 else 1 end) over (
            partition by document_id
            order by version
            rows between unbounded preceding and current row
        ) as integer) as life
    from stated
    where not is_only_version

),

-- A draft is a promise of a document, not a claim: it never reaches the ledger.
live as (

    select * from lives where state = 'posted'

),

drafts as (

    select
        document_id,
        life
    from lives where state = 'draft'

),

-- A void that names its day ends the document then; any other end counts from the day it was noticed,
-- and seeing the same end again later does not move it.
ended as (

    select
        lives.*,
        case
            when state = 'voided' and voided_on is not null then voided_on
            else min(case when state = 'voided' and voided_on is not null then voided_on else known_on end)
                over so_far
        end as ended_on,
        min(known_on) over so_far as end_known_on,
        max(case when state = 'voided' and voided_on is not null then version end)
            over so_far as dated_void_version
    from lives
    where state in ('removed', 'voided')
    window so_far as (
        partition by document_id, life
        order by version
        rows between unbounded preceding and current row
    )

),

-- Sources blank out what they void: an ended document keeps the facts of its last live version.
ended_with_facts as (

    select
        live.source_name,
        live.document_id,
        live.document_type,
        live.customer_id,
        live.company_id,
        live.document_date,
        live.posting_date,
        live.due_date,
        live.currency_code,
        live.amount,
        live.exchange_rate,
        live.linked_invoice_id,
        live.linked_credit_id,
        ended.ended_on,
        ended.state as end_reason,
        ended.end_known_on,
        ended.version,
        ended.known_on,
        ended.known_until
    from ended
    inner join live
        on ended.document_id = live.document_id
        and ended.life = live.life

),

-- First seen void: the facts of its newest version that says from when to when it counted, also when a
-- later one no longer names the day or is a removal. A cancelled draft never did.
first_seen_void as (

    select
        dated_voids.source_name,
        dated_voids.document_id,
        dated_voids.document_type,
        dated_voids.customer_id,
        dated_voids.company_id,
        dated_voids.document_date,
        dated_voids.posting_date,
        dated_voids.due_date,
        dated_voids.currency_code,
        dated_voids.amount,
        dated_voids.exchange_rate,
        dated_voids.linked_invoice_id,
        dated_voids.linked_credit_id,
        ended.ended_on,
        ended.state,
        ended.version,
        ended.known_on,
        ended.known_until
    from ended
    inner join lives as dated_voids
        on ended.document_id = dated_voids.document_id
        and ended.dated_void_version = dated_voids.version
    left join live
        on ended.document_id = live.document_id
        and ended.life = live.life
    left join drafts
        on ended.document_id = drafts.document_id
        and ended.life = drafts.life
    where live.document_id is null and drafts.document_id is null

),

in_force as (

    select
        source_name,
        document_id,
        document_type,
        customer_id,
        company_id,
        document_date,
        posting_date,
        due_date,
        currency_code,
        amount,
        exchange_rate,
        linked_invoice_id,
        linked_credit_id,
        cast(null as date) as ended_on,
        cast(null as varchar(20)) as end_reason,
        cast(null as date) as end_known_on,
        version,
        known_on,
        known_until
    from live
    union all
    select
        source_name,
        document_id,
        document_type,
        customer_id,
        company_id,
        document_date,
        posting_date,
        due_date,
        currency_code,
        amount,
        exchange_rate,
        linked_invoice_id,
        linked_credit_id,
        ended_on,
        end_reason,
        end_known_on,
        version,
        known_on,
        known_until
    from ended_with_facts
    where ended_on >= document_date
    union all
    select
        source_name,
        document_id,
        document_type,
        customer_id,
        company_id,
        document_date,
        posting_date,
        due_date,
        currency_code,
        amount,
        exchange_rate,
        linked_invoice_id,
        linked_credit_id,
        ended_on,
        state as end_reason,
        cast(null as date) as end_known_on,
        version,
        known_on,
        known_until
    from first_seen_void
    where ended_on >= document_date

)

select * from in_force
