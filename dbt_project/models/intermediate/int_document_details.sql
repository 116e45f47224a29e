with

invoices as (

    select
        invoice_id as document_id,
        document_number,
        status,
        reference,
        salesperson,
        contract_id,
        cast(null as varchar(200)) as reason,
        tax_amount,
        coalesce(is_disputed, false) as is_disputed,
        known_on
    from {{ ref('stg_invoices') }}
    where known_until = {{ forever() }}

),

credit_memos as (

    select
        credit_memo_id as document_id,
        document_number,
        status,
        cast(null as varchar(200)) as reference,
        cast(null as varchar(200)) as salesperson,
        cast(null as varchar(200)) as contract_id,
        reason,
        cast(null as {{ amount_type() }}) as tax_amount,
        false as is_disputed,
        known_on
    from {{ ref('stg_credit_memos') }}
    where known_until = {{ forever() }}

),

receipts as (

    select
        receipt_id as document_id,
        document_number,
        status,
        bank_reference as reference,
        cast(null as varchar(200)) as salesperson,
        cast(null as varchar(200)) as contract_id,
        cast(null as varchar(200)) as reason,
        cast(null as {{ amount_type() }}) as tax_amount,
        false as is_disputed,
        known_on
    from {{ ref('stg_receipts') }}
    where known_until = {{ forever() }}

),

bank_receipts as (

    select distinct
        receipt_id as document_id,
        coalesce(bank_reference, transaction_id) as document_number,
        'posted' as status,
        bank_reference as reference,
        cast(null as varchar(200)) as salesperson,
        cast(null as varchar(200)) as contract_id,
        'on a bank statement, applied automatically' as reason,
        cast(null as {{ amount_type() }}) as tax_amount,
        false as is_disputed,
        known_on
    from {{ ref('int_bank_applications') }}
    where known_until = {{ forever() }}

),

adjustments as (

    select
        adjustment_id as document_id,
        document_number,
        status,
        cast(null as varchar(200)) as reference,
        cast(null as varchar(200)) as salesperson,
        cast(null as varchar(200)) as contract_id,
        reason,
        cast(null as {{ amount_type() }}) as tax_amount,
        false as is_disputed,
        known_on
    from {{ ref('stg_adjustments') }}
    where known_until = {{ forever() }}

),

details as (

    select * from invoices
    union all
    select * from credit_memos
    union all
    select * from receipts
    union all
    select * from bank_receipts
    union all
    select * from adjustments

)

select * from details
