-- Gross and net are shown beside each other; where they do not add up, one of them hides a credit.
select * from {{ ref('ar_aging_daily') }}
where open_amount <> debit_amount + credit_amount or debit_amount < 0 or credit_amount > 0
