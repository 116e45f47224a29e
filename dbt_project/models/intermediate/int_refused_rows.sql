with

applications as (

    select * from {{ ref('stg_applications') }}
    where known_until = {{ forever() }} and not is_removed

),

instalments as (

    select * from {{ ref('stg_instalments') }}
    where known_until = {{ forever() }} and not is_removed

),

disputes as (

    select * from {{ ref('stg_disputes') }}
    where known_until = {{ forever() }} and not is_removed

),

adjustments as (

    select * from {{ ref('stg_adjustments') }}
    where known_until = {{ forever() }} and not is_removed

),

details as (

    select document_id from {{ ref('int_document_details') }}

),

documents as (

    select * from {{ ref('int_documents') }} where known_until = {{ forever() }}

),

balances as (

    select * from {{ ref('stg_gl_balances') }}
    where known_until = {{ forever() }} and not is_removed

),

companies as (

    select * from {{ ref('int_companies') }}

),

schedules as (

    select
        invoice_id,
        sum(amount) as scheduled_amount
    from instalments
    group by invoice_id

),

unknown_invoice as (

    select
        applications.source_name,
        'applications' as entity,
        applications.application_id as row_id,
        'names invoice ' || applications.invoice_id || ', which the source has not delivered' as reason,
        applications.known_on
    from applications
    left join details
        on applications.invoice_id = details.document_id
    where details.document_id is null

),

unknown_credit as (

    select
        applications.source_name,
        'applications' as entity,
        applications.application_id as row_id,
        'uses ' || applications.credit_id || ', which the source has not delivered' as reason,
        applications.known_on
    from applications
    left join details
        on applications.credit_id = details.document_id
    where details.document_id is null

),

other_currency as (

    select
        applications.source_name,
        'applications' as entity,
        applications.application_id as row_id,
        'applies ' || credits.currency_code || ' to an invoice in ' || invoices.currency_code as reason,
        applications.known_on
    from applications
    inner join documents as credits
        on applications.credit_id = credits.document_id
    inner join documents as invoices
        on applications.invoice_id = invoices.document_id
    where credits.currency_code <> invoices.currency_code

),

unknown_schedule as (

    select
        instalments.source_name,
        'instalments' as entity,
        instalments.invoice_id || '|' || cast(instalments.instalment_number as varchar(20)) as row_id,
        'names invoice ' || instalments.invoice_id || ', which the source has not delivered' as reason,
        instalments.known_on
    from instalments
    left join details
        on instalments.invoice_id = details.document_id
    where details.document_id is null

),

wrong_schedule as (

    select
        instalments.source_name,
        'instalments' as entity,
        instalments.invoice_id || '|' || cast(instalments.instalment_number as varchar(20)) as row_id,
        'the schedule adds up to ' || cast(schedules.scheduled_amount as varchar(40))
        || ', the invoice is ' || cast(documents.amount as varchar(40)) as reason,
        instalments.known_on
    from instalments
    inner join schedules
        on instalments.invoice_id = schedules.invoice_id
    inner join documents
        on instalments.invoice_id = documents.document_id
    where schedules.scheduled_amount <> documents.amount and documents.ended_on is null

),

unknown_dispute as (

    select
        disputes.source_name,
        'disputes' as entity,
        disputes.dispute_id as row_id,
        'names invoice ' || disputes.invoice_id || ', which the source has not delivered' as reason,
        disputes.known_on
    from disputes
    left join details
        on disputes.invoice_id = details.document_id
    where details.document_id is null

),

unknown_adjustment as (

    select
        adjustments.source_name,
        'adjustments' as entity,
        adjustments.adjustment_id as row_id,
        'settles ' || coalesce(adjustments.invoice_id, adjustments.credit_id)
        || ', which the source has not delivered' as reason,
        adjustments.known_on
    from adjustments
    left join details
        on coalesce(
            case when adjustments.adjustment_type in ('write_off', 'discount') then adjustments.invoice_id end,
            case when adjustments.adjustment_type = 'refund' then adjustments.credit_id end
        ) = details.document_id
    where
        details.document_id is null
        and (
            (adjustments.adjustment_type in ('write_off', 'discount') and adjustments.invoice_id is not null)
            or (adjustments.adjustment_type = 'refund' and adjustments.credit_id is not null)
        )

),

-- A balance is compared with books, and those are in the company's currency.
foreign_balance as (

    select
        balances.source_name,
        'gl_balances' as entity,
        balances.company_id || '|' || cast(balances.balance_date as varchar(10)) || '|'
        || balances.currency_code || '|' || coalesce(balances.account, '') as row_id,
        'is in ' || balances.currency_code || ', the books of ' || balances.company_id || ' are in '
        || companies.currency_code as reason,
        balances.known_on
    from balances
    inner join companies
        on balances.company_id = companies.company_id
    where balances.currency_code <> companies.currency_code

),

refused as (

    select * from foreign_balance
    union all
    select * from unknown_invoice
    union all
    select * from unknown_credit
    union all
    select * from other_currency
    union all
    select * from unknown_schedule
    union all
    select * from wrong_schedule
    union all
    select * from unknown_dispute
    union all
    select * from unknown_adjustment

)

select * from refused
