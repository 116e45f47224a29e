with

documents as (

    select * from {{ ref('int_documents') }}

),

complex_invoices as (

    select * from {{ ref('int_complex_invoices') }}

),

settlements as (

    select * from {{ ref('int_settlements') }}

),

allocations as (

    select * from {{ ref('int_allocations') }} where view_name = 'known'

),

-- Documents with an item of their own; the instalments of complex invoices come from the allocation.
own_items as (

    select documents.*
    from documents
    left join complex_invoices
        on documents.document_id = complex_invoices.invoice_id
    where
        complex_invoices.invoice_id is null
        and not (
            documents.document_type in ('write_off', 'discount')
            and documents.linked_invoice_id is not null
        )
        and not (documents.document_type = 'refund' and documents.linked_credit_id is not null)

),

posted as (

    select
        document_id || ':posted' as event_id,
        'document' as ledger_side,
        case
            when document_type in ('invoice', 'debit_memo') then document_id || ':1' else document_id
        end as open_item_id,
        document_id,
        document_id as cause_document_id,
        cast(null as varchar(200)) as application_id,
        document_type as entry_type,
        document_type as cause_type,
        'posted' as event_type,
        'posted' as reason,
        case when document_type in ('invoice', 'debit_memo') then 1 end as instalment_number,
        {{ money('amount * sign') }} as amount,
        document_date as effective_date,
        document_date as restated_date,
        known_on,
        known_until
    from own_items

),

ended as (

    select
        document_id || ':ended' as event_id,
        'document' as ledger_side,
        case
            when document_type in ('invoice', 'debit_memo') then document_id || ':1' else document_id
        end as open_item_id,
        document_id,
        document_id as cause_document_id,
        cast(null as varchar(200)) as application_id,
        document_type as entry_type,
        document_type as cause_type,
        'ended' as event_type,
        end_reason as reason,
        case when document_type in ('invoice', 'debit_memo') then 1 end as instalment_number,
        {{ money('-amount * sign') }} as amount,
        ended_on as effective_date,
        ended_on as restated_date,
        known_on,
        known_until
    from own_items
    where ended_on is not null

),

lasting_settlements as (

    select * from settlements where ended_on is null or ended_on > effective_date

),

simple_settlements as (

    select lasting_settlements.*
    from lasting_settlements
    left join complex_invoices
        on lasting_settlements.invoice_id = complex_invoices.invoice_id
    where complex_invoices.invoice_id is null

),

settled as (

    select
        settlement_id || ':applied' as event_id,
        'invoice' as ledger_side,
        invoice_id || ':1' as open_item_id,
        invoice_id as document_id,
        cause_document_id,
        application_id,
        case when settled_by in ('write_off', 'discount') then settled_by else 'application' end
            as entry_type,
        settled_by as cause_type,
        'applied' as event_type,
        case when settled_by in ('write_off', 'discount') then 'posted' else 'applied' end as reason,
        1 as instalment_number,
        {{ money('-amount') }} as amount,
        effective_date,
        restated_date,
        known_on,
        known_until
    from simple_settlements
    union all
    select
        settlement_id || ':applied:discount' as event_id,
        'invoice' as ledger_side,
        invoice_id || ':1' as open_item_id,
        invoice_id as document_id,
        cause_document_id,
        application_id,
        'discount' as entry_type,
        settled_by as cause_type,
        'applied' as event_type,
        'applied' as reason,
        1 as instalment_number,
        {{ money('-discount_amount') }} as amount,
        effective_date,
        restated_date,
        known_on,
        known_until
    from simple_settlements
    where discount_amount <> 0
    union all
    select
        settlement_id || ':ended' as event_id,
        'invoice' as ledger_side,
        invoice_id || ':1' as open_item_id,
        invoice_id as document_id,
        cause_document_id,
        application_id,
        case when settled_by in ('write_off', 'discount') then settled_by else 'application' end
            as entry_type,
        settled_by as cause_type,
        'ended' as event_type,
        end_reason as reason,
        1 as instalment_number,
        {{ money('amount') }} as amount,
        ended_on as effective_date,
        ended_on as restated_date,
        known_on,
        known_until
    from simple_settlements
    where ended_on is not null
    union all
    select
        settlement_id || ':ended:discount' as event_id,
        'invoice' as ledger_side,
        invoice_id || ':1' as open_item_id,
        invoice_id as document_id,
        cause_document_id,
        application_id,
        'discount' as entry_type,
        settled_by as cause_type,
        'ended' as event_type,
        end_reason as reason,
        1 as instalment_number,
        {{ money('discount_amount') }} as amount,
        ended_on as effective_date,
        ended_on as restated_date,
        known_on,
        known_until
    from simple_settlements
    where ended_on is not null and discount_amount <> 0

),

-- The other side of an application: what it uses up of its credit document.
used as (

    select
        settlement_id || ':used' as event_id,
        'credit' as ledger_side,
        credit_document_id as open_item_id,
        credit_document_id as document_id,
        cause_document_id,
        application_id,
        'application' as entry_type,
        settled_by as cause_type,
        'applied' as event_type,
        'applied' as reason,
        cast(null as integer) as instalment_number,
        amount,
        effective_date,
        restated_date,
        known_on,
        known_until
    from lasting_settlements
    where credit_document_id is not null
    union all
    select
        settlement_id || ':used:ended' as event_id,
        'credit' as ledger_side,
        credit_document_id as open_item_id,
        credit_document_id as document_id,
        cause_document_id,
        application_id,
        'application' as entry_type,
        settled_by as cause_type,
        'ended' as event_type,
        end_reason as reason,
        cast(null as integer) as instalment_number,
        {{ money('-amount') }} as amount,
        ended_on as effective_date,
        ended_on as restated_date,
        known_on,
        known_until
    from lasting_settlements
    where credit_document_id is not null and ended_on is not null

),

allocated as (

    select
        event_id,
        case when event_type in ('posted', 'ended') and cause_document_id = invoice_id then 'document' else 'invoice' end
            as ledger_side,
        open_item_id,
        document_id,
        cause_document_id,
        application_id,
        entry_type,
        cause_type,
        event_type,
        reason,
        instalment_number,
        amount,
        effective_date,
        cast(null as date) as restated_date,
        known_on,
        known_until
    from allocations

),

-- A refund of a credit gives back what its customer was owed.
refunds as (

    select
        refunds.document_id,
        refunds.linked_credit_id,
        refunds.amount,
        greatest(refunds.document_date, credits.document_date) as effective_date,
        least(refunds.ended_on, credits.ended_on) as ended_on,
        case
            when refunds.ended_on = least(refunds.ended_on, credits.ended_on) then refunds.end_reason
            else credits.end_reason
        end as end_reason,
        greatest(refunds.known_on, credits.known_on) as known_on,
        least(refunds.known_until, credits.known_until) as known_until
    from documents as refunds
    inner join documents as credits
        on refunds.linked_credit_id = credits.document_id
        and refunds.known_on < credits.known_until
        and refunds.known_until > credits.known_on
    where refunds.document_type = 'refund'

),

refunded as (

    select
        document_id || ':posted' as event_id,
        'credit' as ledger_side,
        linked_credit_id as open_item_id,
        linked_credit_id as document_id,
        document_id as cause_document_id,
        cast(null as varchar(200)) as application_id,
        'refund' as entry_type,
        'refund' as cause_type,
        'posted' as event_type,
        'posted' as reason,
        cast(null as integer) as instalment_number,
        amount,
        effective_date,
        effective_date as restated_date,
        known_on,
        known_until
    from refunds
    where ended_on is null or ended_on > effective_date
    union all
    select
        document_id || ':ended' as event_id,
        'credit' as ledger_side,
        linked_credit_id as open_item_id,
        linked_credit_id as document_id,
        document_id as cause_document_id,
        cast(null as varchar(200)) as application_id,
        'refund' as entry_type,
        'refund' as cause_type,
        'ended' as event_type,
        end_reason as reason,
        cast(null as integer) as instalment_number,
        {{ money('-amount') }} as amount,
        ended_on as effective_date,
        ended_on as restated_date,
        known_on,
        known_until
    from refunds
    where ended_on is not null and ended_on > effective_date

),

claims as (

    select * from posted
    union all
    select * from ended
    union all
    select * from settled
    union all
    select * from used
    union all
    select * from allocated
    union all
    select * from refunded

),

-- Whose books the item is in, as known in the same days.
placed as (

    select
        claims.event_id,
        claims.ledger_side,
        claims.open_item_id,
        claims.document_id,
        claims.cause_document_id,
        claims.application_id,
        documents.source_name,
        documents.company_id,
        documents.customer_id,
        claims.entry_type,
        claims.cause_type,
        claims.event_type,
        claims.reason,
        documents.currency_code,
        documents.booking_rate,
        documents.company_minor_unit,
        claims.instalment_number,
        claims.amount,
        claims.effective_date,
        claims.restated_date,
        greatest(claims.known_on, documents.known_on) as known_on,
        least(claims.known_until, documents.known_until) as known_until
    from claims
    inner join documents
        on claims.document_id = documents.document_id
        and claims.known_on < documents.known_until
        and claims.known_until > documents.known_on
    where claims.amount <> 0

),

merged as (

    {{ merge_known_intervals(
        'placed',
        ['event_id', 'open_item_id'],
        [
            'ledger_side', 'document_id', 'cause_document_id', 'application_id', 'source_name',
            'company_id', 'customer_id', 'entry_type', 'cause_type', 'event_type', 'reason', 'currency_code',
            'booking_rate', 'company_minor_unit', 'instalment_number', 'amount', 'effective_date',
            'restated_date',
        ],
    ) }}

)

select * from merged
