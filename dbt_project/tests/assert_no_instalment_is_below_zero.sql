-- What is paid beyond an instalment belongs to the next one, or is a credit item of its own. An instalment below zero hides
-- a credit inside a bucket of debts, and its customer is dunned for less than it owes elsewhere.
select * from {{ ref('fct_open_item_history') }}
where instalment_number >= 1 and open_amount < 0
