with

documents as (

    select * from {{ ref('int_documents') }}

),

invoices as (

    select * from documents where document_type in ('invoice', 'debit_memo')

),

applications as (

    select * from {{ ref('int_application_versions') }}

),

automatic_memos as (

    select * from {{ ref('int_automatic_memos') }}

),

-- An application holds while all three are known: itself, its credit document and its invoice.
applied as (

    select
        applications.application_id as settlement_id,
        credits.document_type as settled_by,
        false as is_automatic,
        applications.invoice_id,
        applications.credit_id as credit_document_id,
        applications.credit_id as cause_document_id,
        applications.application_id,
        applications.instalment_number,
        applications.amount,
        applications.discount_amount,
        greatest(invoices.document_date, credits.document_date, applications.applied_on)
            as effective_date,
        greatest(invoices.document_date, credits.document_date) as restated_date,
        least(applications.ended_on, credits.ended_on, invoices.ended_on) as ended_on,
        case
            when applications.ended_on = least(applications.ended_on, credits.ended_on, invoices.ended_on)
                then 'unapplied'
            when credits.ended_on = least(credits.ended_on, invoices.ended_on) then credits.end_reason
            else invoices.end_reason
        end as end_reason,
        greatest(applications.known_on, credits.known_on, invoices.known_on) as known_on,
        least(applications.known_until, credits.known_until, invoices.known_until) as known_until
    from applications
    inner join documents as credits
        on applications.credit_id = credits.document_id
        and applications.known_on < credits.known_until
        and applications.known_until > credits.known_on
    inner join invoices
        on applications.invoice_id = invoices.document_id
        and applications.known_on < invoices.known_until
        and applications.known_until > invoices.known_on
        and credits.known_on < invoices.known_until
        and credits.known_until > invoices.known_on
        and credits.currency_code = invoices.currency_code

),

applied_automatically as (

    select
        automatic_memos.document_id || ':automatic' as settlement_id,
        automatic_memos.document_type as settled_by,
        true as is_automatic,
        automatic_memos.linked_invoice_id as invoice_id,
        automatic_memos.document_id as credit_document_id,
        automatic_memos.document_id as cause_document_id,
        cast(null as varchar(200)) as application_id,
        cast(null as integer) as instalment_number,
        automatic_memos.amount,
        {{ money('0') }} as discount_amount,
        greatest(invoices.document_date, automatic_memos.document_date) as effective_date,
        greatest(invoices.document_date, automatic_memos.document_date) as restated_date,
        least(automatic_memos.ended_on, invoices.ended_on) as ended_on,
        case
            when automatic_memos.ended_on = least(automatic_memos.ended_on, invoices.ended_on)
                then automatic_memos.end_reason
            else invoices.end_reason
        end as end_reason,
        greatest(automatic_memos.known_on, invoices.known_on) as known_on,
        least(automatic_memos.known_until, invoices.known_until) as known_until
    from automatic_memos
    inner join invoices
        on automatic_memos.linked_invoice_id = invoices.document_id
        and automatic_memos.known_on < invoices.known_until
        and automatic_memos.known_until > invoices.known_on
        and automatic_memos.currency_code = invoices.currency_code

),

adjusted as (

    select
        adjustments.document_id as settlement_id,
        adjustments.document_type as settled_by,
        false as is_automatic,
        adjustments.linked_invoice_id as invoice_id,
        cast(null as varchar(200)) as credit_document_id,
        adjustments.document_id as cause_document_id,
        cast(null as varchar(200)) as application_id,
        cast(null as integer) as instalment_number,
        adjustments.amount,
        {{ money('0') }} as discount_amount,
        greatest(invoices.document_date, adjustments.document_date) as effective_date,
        greatest(invoices.document_date, adjustments.document_date) as restated_date,
        least(adjustments.ended_on, invoices.ended_on) as ended_on,
        case
            when adjustments.ended_on = least(adjustments.ended_on, invoices.ended_on)
                then adjustments.end_reason
            else invoices.end_reason
        end as end_reason,
        greatest(adjustments.known_on, invoices.known_on) as known_on,
        least(adjustments.known_until, invoices.known_until) as known_until
    from documents as adjustments
    inner join invoices
        on adjustments.linked_invoice_id = invoices.document_id
        and adjustments.known_on < invoices.known_until
        and adjustments.known_until > invoices.known_on
        and adjustments.currency_code = invoices.currency_code
    where adjustments.document_type in ('write_off', 'discount')

),

settlements as (

    select * from applied
    union all
    select * from applied_automatically
    union all
    select * from adjusted

),

-- Ended before it began: it never settled anything in any view.
in_effect as (

    select * from settlements where ended_on is null or ended_on > restated_date

),

merged as (

    {{ merge_known_intervals(
        'in_effect',
        ['settlement_id', 'invoice_id'],
        [
            'settled_by', 'is_automatic', 'credit_document_id', 'cause_document_id', 'application_id',
            'instalment_number', 'amount', 'discount_amount', 'effective_date', 'restated_date',
            'ended_on', 'end_reason',
        ],
    ) }}

)

select
    settlement_id,
    invoice_id,
    settled_by,
    is_automatic,
    credit_document_id,
    cause_document_id,
    application_id,
    instalment_number,
    amount,
    discount_amount,
    effective_date,
    restated_date,
    ended_on,
    end_reason,
    known_on,
    known_until
from merged
