-- The excess of an over-settled invoice is owed to the customer. Above zero it would be a debt that no document states.
select * from {{ ref('fct_open_item_history') }}
where instalment_number = 0 and open_amount > 0
