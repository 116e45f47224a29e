-- Returns are credit notes. Against which invoice they count, if any, is in the payment ledger (applications):
-- a return that keeps its own balance names an invoice, and yet does not lower it.
select
    memo.name as credit_memo_id,
    memo.name as credit_memo_number,
    memo.customer as customer_id,
    memo.company as company_id,
    memo.posting_date as credit_memo_date,
    memo.posting_date,
    memo.party_account_currency as currency_code,
    -case
        when memo.party_account_currency = memo.currency
            then coalesce(nullif(memo.rounded_total, 0), memo.grand_total)
        else coalesce(nullif(memo.base_rounded_total, 0), memo.base_grand_total)
    end as amount,
    case when memo.return_against is not null then concat('return of ', memo.return_against) end as reason,
    case when memo.party_account_currency = memo.currency then memo.conversion_rate else 1 end
        as exchange_rate,
    case memo.docstatus when 0 then 'draft' when 1 then 'posted' else 'void' end as status,
    case when memo.docstatus = 2 then cast(memo.modified as date) end as voided_on,
    memo.creation as created_at,
    memo.modified as updated_at
from "tabSales Invoice" as memo
where memo.is_return = 1
