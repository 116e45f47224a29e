with

receipts as (

    select * from {{ ref('int_bank_receipts') }}
    where recorded_receipt_id is null and applied_receipt_id is null

),

items as (

    select * from {{ ref('int_item_snapshots') }}
    where as_of_date = {{ as_of_date() }} and open_amount > 0

),

details as (

    select * from {{ ref('int_document_details') }}

),

customers as (

    select * from {{ ref('int_customer_history') }} where is_current

),

open_items as (

    select
        items.open_item_id,
        items.document_id,
        items.instalment_number,
        items.company_id,
        items.customer_id,
        items.currency_code,
        items.open_amount,
        items.due_date,
        details.document_number,
        {{ bare_text("coalesce(details.document_number, '')") }} as bare_number,
        {{ bare_text("coalesce(customers.customer_name, '')") }} as bare_name
    from items
    left join details
        on items.document_id = details.document_id
    left join customers
        on items.customer_id = customers.customer_id

),

-- Short numbers and names are found everywhere: they say nothing.
signals as (

    select
        receipts.transaction_id,
        receipts.amount as receipt_amount,
        open_items.open_item_id,
        open_items.document_id,
        open_items.instalment_number,
        open_items.company_id,
        open_items.customer_id,
        open_items.currency_code,
        open_items.document_number,
        open_items.bare_number,
        open_items.open_amount,
        open_items.due_date,
        length(open_items.bare_number) >= {{ var('bank_match_length') }}
        and position(open_items.bare_number in receipts.matching_text) > 0 as has_reference,
        open_items.open_amount = receipts.amount as has_amount,
        coalesce(receipts.customer_id = open_items.customer_id, false)
        or (
            length(open_items.bare_name) >= {{ var('bank_match_length') }}
            and position(open_items.bare_name in receipts.matching_name) > 0
        ) as has_customer
    from receipts
    inner join open_items
        on receipts.company_id = open_items.company_id
        and receipts.currency_code = open_items.currency_code

),

candidates as (

    select * from signals where has_reference or has_amount

),

-- INV-010 is also found in INV-0109: the longer number is the one that was meant.
shadowed as (

    select distinct
        shorter.transaction_id,
        shorter.open_item_id
    from candidates as shorter
    inner join candidates as longer
        on shorter.transaction_id = longer.transaction_id
    where
        shorter.has_reference
        and longer.has_reference
        and length(longer.bare_number) > length(shorter.bare_number)
        and position(shorter.bare_number in longer.bare_number) > 0

),

effective as (

    select
        candidates.transaction_id,
        candidates.receipt_amount,
        candidates.open_item_id,
        candidates.document_id,
        candidates.instalment_number,
        candidates.company_id,
        candidates.customer_id,
        candidates.currency_code,
        candidates.document_number,
        candidates.open_amount,
        candidates.due_date,
        candidates.has_reference and shadowed.open_item_id is null as has_reference,
        candidates.has_amount,
        candidates.has_customer
    from candidates
    left join shadowed
        on candidates.transaction_id = shadowed.transaction_id
        and candidates.open_item_id = shadowed.open_item_id

),

counted as (

    select
        effective.*,
        sum(case when has_reference then 1 else 0 end) over (partition by transaction_id)
            as reference_count,
        sum(case when has_reference then open_amount else 0 end) over (partition by transaction_id)
            as referenced_amount,
        sum(case when has_amount then 1 else 0 end) over (partition by transaction_id) as amount_count,
        sum(case when has_amount and has_customer then 1 else 0 end) over (partition by transaction_id)
            as customer_amount_count
    from effective
    where has_reference or has_amount

),

rated as (

    select
        counted.*,
        case
            when has_reference and has_amount and has_customer then 'reference_amount_and_customer'
            when has_reference and has_amount then 'reference_and_amount'
            when has_reference and referenced_amount = receipt_amount then 'references_add_up'
            when has_reference and has_customer then 'reference_and_customer'
            when has_reference then 'reference'
            when reference_count > 0 then 'none'
            when has_customer and customer_amount_count = 1 then 'customer_and_amount'
            when has_customer then 'customer_and_amount_of_several'
            when customer_amount_count = 0 and amount_count = 1 then 'amount_alone'
            else 'none'
        end as rule
    from counted

),

confident as (

    select
        rated.*,
        cast(case rule
            when 'reference_amount_and_customer' then 0.99
            when 'reference_and_amount' then 0.97
            when 'references_add_up' then 0.95
            when 'reference_and_customer' then 0.90
            when 'customer_and_amount' then 0.85
            when 'reference' then 0.80
            when 'customer_and_amount_of_several' then 0.50
            else 0.40
        end as decimal(3, 2)) as confidence,
        row_number() over (
            partition by transaction_id, rule order by due_date, open_item_id
        ) as position_in_rule
    from rated
    where rule <> 'none'

),

filled as (

    select
        confident.*,
        greatest(0, least(open_amount, receipt_amount - coalesce(sum(open_amount) over (
            partition by transaction_id
            order by confidence desc, due_date asc, open_item_id asc
            rows between unbounded preceding and 1 preceding
        ), 0))) as proposed_amount
    from confident
    -- Of several items of one amount only the oldest can be meant by one payment.
    where rule <> 'customer_and_amount_of_several' or position_in_rule = 1

),

-- An item that two payments want beyond what is open on it is for a person to decide.
contested as (

    select
        filled.*,
        sum(proposed_amount) over (partition by open_item_id) > open_amount as is_contested
    from filled
    where proposed_amount > 0

),

proposals as (

    select
        transaction_id,
        open_item_id,
        document_id,
        instalment_number,
        company_id,
        customer_id,
        currency_code,
        document_number,
        rule,
        {{ money('open_amount') }} as open_amount,
        {{ money('proposed_amount') }} as proposed_amount,
        confidence,
        due_date,
        is_contested,
        not is_contested and confidence >= {{ var('bank_match_confidence') }} as is_proposed
    from contested

)

select * from proposals
