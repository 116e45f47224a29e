with

applications as (

    select
        applied.*,
        min(known_on) over (partition by transaction_id) as decided_on
    from {{ ref('stg_bank_applications') }} as applied
    where not is_removed

),

transactions as (

    select * from {{ ref('stg_bank_transactions') }}
    where
        known_until = {{ forever() }}
        and not is_removed
        and direction = 'credit'
        and not is_reversal
        and booking_date <= {{ as_of_date() }}

),

sources as (

    select * from {{ source('settings', 'sources') }}

),

customer_companies as (

    select * from {{ ref('int_customer_companies') }}

),

receipts as (

    select * from {{ ref('stg_receipts') }} where status = 'posted' and not is_removed

),

book_applications as (

    select * from {{ ref('stg_applications') }} where credit_type = 'receipt' and not is_removed

),

booked as (

    select
        transactions.transaction_id,
        transactions.reference,
        transactions.bank_reference,
        coalesce(transactions.company_id, sources.default_company_id) as company_id,
        coalesce(transactions.currency_code, sources.default_currency_code) as currency_code,
        transactions.amount as receipt_amount,
        transactions.booking_date
    from transactions
    left join sources
        on transactions.source_name = sources.source

),

books as (

    select
        receipts.receipt_id,
        receipts.bank_reference,
        coalesce(receipts.company_id, customer_companies.company_id, sources.default_company_id)
            as company_id,
        coalesce(receipts.currency_code, sources.default_currency_code) as currency_code,
        receipts.amount,
        receipts.receipt_date,
        receipts.known_on
    from receipts
    left join sources
        on receipts.source_name = sources.source
    left join customer_companies
        on receipts.customer_id = customer_companies.customer_id

),

applied as (

    select
        applications.source_name,
        applications.application_id,
        applications.transaction_id,
        applications.receipt_id,
        applications.invoice_id,
        applications.customer_id,
        applications.rule,
        applications.amount,
        applications.confidence,
        applications.instalment_number,
        applications.applied_on,
        booked.company_id,
        booked.currency_code,
        booked.reference,
        booked.bank_reference,
        booked.receipt_amount,
        booked.booking_date,
        applications.known_on
    from applications
    inner join booked
        on applications.transaction_id = booked.transaction_id
    -- A booking is applied once: what its matches say later is for a person.
    where applications.known_on = applications.decided_on

),

-- The same money must not count twice: what the books may hold of it ends the automatic receipt, whether they
-- hold it in one amount, under its reference, or as payments of an invoice that it paid.
taken_over as (

    select
        applied.transaction_id,
        books.known_on
    from applied
    inner join books
        on applied.company_id = books.company_id
        and applied.currency_code = books.currency_code
        and applied.receipt_amount = books.amount
    where
        books.receipt_date <= {{ add_days('applied.booking_date', var('bank_recording_days')) }}
        and applied.booking_date <= {{ add_days('books.receipt_date', var('bank_recording_days')) }}
    {% for reference in ['reference', 'bank_reference'] -%}
        union all
        select
            applied.transaction_id,
            books.known_on
        from applied
        inner join books
            on applied.company_id = books.company_id
            and applied.currency_code = books.currency_code
            and applied.{{ reference }} = books.bank_reference
    {% endfor -%}
    union all
    select
        applied.transaction_id,
        book_applications.known_on
    from applied
    inner join book_applications
        on applied.invoice_id = book_applications.invoice_id
    inner join books
        on book_applications.credit_id = books.receipt_id
    where
        book_applications.known_on >= applied.known_on
        or (
            books.receipt_date <= {{ add_days('applied.booking_date', var('bank_recording_days')) }}
            and applied.booking_date <= {{ add_days('books.receipt_date', var('bank_recording_days')) }}
        )

),

ends as (

    select
        transaction_id,
        min(known_on) as known_on
    from taken_over
    group by transaction_id

),

counting as (

    select
        applied.source_name,
        applied.application_id,
        applied.transaction_id,
        applied.receipt_id,
        applied.invoice_id,
        applied.company_id,
        applied.customer_id,
        applied.currency_code,
        coalesce(applied.bank_reference, applied.reference) as bank_reference,
        applied.rule,
        applied.receipt_amount,
        applied.amount,
        applied.confidence,
        applied.instalment_number,
        applied.booking_date,
        applied.applied_on,
        applied.known_on,
        coalesce(ends.known_on, {{ forever() }}) as known_until
    from applied
    left join ends
        on applied.transaction_id = ends.transaction_id
    where ends.known_on is null or ends.known_on > applied.known_on

)

select * from counting
