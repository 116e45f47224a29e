with

versions as (

    select * from {{ ref('int_document_versions') }}

),

sources as (

    select * from {{ source('settings', 'sources') }}

),

customer_companies as (

    select * from {{ ref('int_customer_companies') }}

),

companies as (

    select * from {{ source('settings', 'companies') }}

),

currencies as (

    select * from {{ source('settings', 'currencies') }}

),

rates as (

    select * from {{ ref('int_exchange_rates') }}

),

defaulted as (

    select
        versions.source_name,
        versions.document_id,
        versions.document_type,
        versions.customer_id,
        coalesce(
            versions.company_id,
            customer_companies.company_id,
            sources.default_company_id,
            versions.source_name
        ) as company_id,
        versions.document_date,
        coalesce(versions.posting_date, versions.document_date) as posting_date,
        coalesce(versions.due_date, versions.document_date) as due_date,
        coalesce(versions.currency_code, sources.default_currency_code) as currency_code,
        versions.amount,
        versions.exchange_rate,
        versions.linked_invoice_id,
        versions.linked_credit_id,
        coalesce(sources.allocation_policy, 'fifo') as allocation_policy,
        versions.ended_on,
        versions.end_reason,
        versions.end_known_on,
        versions.known_on,
        versions.known_until
    from versions
    left join sources
        on versions.source_name = sources.source
    left join customer_companies
        on versions.customer_id = customer_companies.customer_id

),

-- An edit of anything that no balance depends on must not touch the ledger.
merged as (

    {{ merge_known_intervals(
        'defaulted',
        ['document_id'],
        [
            'source_name', 'document_type', 'customer_id', 'company_id', 'document_date', 'posting_date',
            'due_date', 'currency_code', 'amount', 'exchange_rate', 'linked_invoice_id',
            'linked_credit_id', 'allocation_policy', 'ended_on', 'end_reason', 'end_known_on',
        ],
    ) }}

),

-- The booking rate: the document's own, else the newest on or before its date, never a guess.
booked as (

    select
        merged.source_name,
        merged.document_id,
        merged.document_type,
        merged.customer_id,
        merged.company_id,
        merged.linked_invoice_id,
        merged.linked_credit_id,
        merged.currency_code,
        coalesce(companies.currency_code, merged.currency_code) as company_currency_code,
        merged.allocation_policy,
        merged.end_reason,
        merged.amount,
        case
            when merged.currency_code = coalesce(companies.currency_code, merged.currency_code)
                then cast(1 as decimal(20, 12))
            when merged.exchange_rate is not null then cast(merged.exchange_rate as decimal(20, 12))
            else rates.rate
        end as booking_rate,
        cast(case
            when
                merged.document_type in ('invoice', 'debit_memo', 'journal_debit', 'refund')
                then 1
            else -1
        end as integer) as sign,
        coalesce(company_currencies.minor_unit, 2) as company_minor_unit,
        coalesce(currencies.minor_unit, 2) as minor_unit,
        merged.document_date,
        merged.posting_date,
        merged.due_date,
        merged.ended_on,
        merged.end_known_on,
        merged.currency_code <> companies.currency_code
        and merged.exchange_rate is null
        and coalesce(rates.rate_date < merged.document_date, false) as is_booking_rate_carried,
        merged.known_on,
        merged.known_until
    from merged
    left join companies
        on merged.company_id = companies.company_id
    left join currencies
        on merged.currency_code = currencies.currency_code
    left join currencies as company_currencies
        on coalesce(companies.currency_code, merged.currency_code) = company_currencies.currency_code
    left join rates
        on merged.currency_code = rates.from_currency
        and companies.currency_code = rates.to_currency
        and merged.document_date >= rates.rate_date
        and merged.document_date < rates.valid_until

)

select * from booked
