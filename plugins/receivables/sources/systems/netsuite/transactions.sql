-- One row per transaction of a customer, with its amount in its own currency and its subsidiary.
with

main_lines as (

    select
        transaction,
        max(subsidiary) as subsidiary,
        max(abs(number_of(coalesce(foreignamount, netamount)))) as amount
    from transaction_line
    where is_true(mainline) and not is_true(_fivetran_deleted)
    group by transaction

),

currencies as (

    select id, max(symbol) as symbol
    from currency
    where is_true(coalesce(_fivetran_active, 'true')) and not is_true(_fivetran_deleted)
    group by id

)

select
    transaction.*,
    case transaction.type
        when 'CustInvc' then 'invoice' when 'FinChrg' then 'debit_memo'
        when 'CustPymt' then 'receipt' when 'CustDep' then 'receipt' when 'DepAppl' then 'receipt'
        when 'CustCred' then 'credit_memo' when 'CustRfnd' then 'refund'
    end as kind,
    coalesce(abs(number_of(transaction.foreigntotal)), main_lines.amount) as amount,
    coalesce(transaction.tranid, transaction.transactionnumber) as document_number,
    company_of(main_lines.subsidiary) as company_id,
    currencies.symbol as currency_code,
    case
        when is_true(transaction.voided) then 'void'
        when lower(coalesce(transaction.posting, 't')) in ('f', 'false') then 'draft'
        else 'posted'
    end as state
from transaction
left join main_lines on transaction.id = main_lines.transaction
left join currencies on transaction.currency = currencies.id
-- NetSuite keeps earlier versions of a row: only the active one counts.
where is_true(coalesce(transaction._fivetran_active, 'true')) and not is_true(transaction._fivetran_deleted)
    and case getvariable('deposits')
        when 'receipts' then transaction.type in
            ('CustInvc', 'FinChrg', 'CustPymt', 'CustDep', 'CustCred', 'CustRfnd', 'DepAppl')
        else transaction.type in ('CustInvc', 'FinChrg', 'CustPymt', 'DepAppl', 'CustCred', 'CustRfnd')
    end
