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
        known_until
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
        known_until
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
        known_until
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
        known_until
    from {{ ref('stg_adjustments') }}

),

documents as (

    select * from invoices
    union all
    select * from credit_memos
    union all
    select * from receipts
    union all
    select * from adjustments

),

-- `life` counts the live versions so far: an ended version belongs to the last live one before it.
lives as (

    select
        documents.*,
        case when not is_removed and status = 'posted' then 1 else 0 end as is_live,
        case when is_removed or status = 'void' then 1 else 0 end as is_ended,
        sum(case when not is_removed and status = 'posted' then 1 else 0 end) over (
            partition by document_id
            order by version
            rows between unbounded preceding and current row
        ) as life
    from documents

),

-- A draft is a promise of a document, not a claim: it never reaches the ledger.
live as (

    select * from lives where is_live = 1

),

-- A void that names its day ends the document then; any other end counts from the day it was noticed,
-- and seeing the same end again later does not move it.
ended as (

    select
        lives.*,
        case
            when not is_removed and voided_on is not null then voided_on
            else min(
                case when not is_removed and voided_on is not null then voided_on else known_on end
            ) over (
                partition by document_id, life
                order by version
                rows between unbounded preceding and current row
            )
        end as ended_on,
        case when is_removed then 'removed' else 'voided' end as end_reason
    from lives
    where is_ended = 1

),

-- Sources blank out what they void: an ended document keeps the facts of its last live version.
ended_with_facts as (

    select
        ended.source_name,
        ended.document_id,
        coalesce(live.document_type, ended.document_type) as document_type,
        case when live.document_id is null then ended.customer_id else live.customer_id end as customer_id,
        case when live.document_id is null then ended.company_id else live.company_id end as company_id,
        coalesce(live.document_date, ended.document_date) as document_date,
        case when live.document_id is null then ended.posting_date else live.posting_date end as posting_date,
        case when live.document_id is null then ended.due_date else live.due_date end as due_date,
        case when live.document_id is null then ended.currency_code else live.currency_code end
            as currency_code,
        case when live.document_id is null then ended.amount else live.amount end as amount,
        case when live.document_id is null then ended.exchange_rate else live.exchange_rate end
            as exchange_rate,
        case when live.document_id is null then ended.linked_invoice_id else live.linked_invoice_id end
            as linked_invoice_id,
        case when live.document_id is null then ended.linked_credit_id else live.linked_credit_id end
            as linked_credit_id,
        ended.ended_on,
        ended.end_reason,
        ended.version,
        ended.known_on,
        ended.known_until
    from ended
    left join live
        on ended.document_id = live.document_id
        and ended.life = live.life
    where live.document_id is not null or (not ended.is_removed and ended.voided_on is not null)

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
        version,
        known_on,
        known_until
    from ended_with_facts
    where ended_on >= document_date

)

select * from in_force
