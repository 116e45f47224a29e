-- A movement that is in no column, or in two, makes the month's story of the receivable untrue although its ends are right.
select * from {{ ref('ar_roll_forward') }}
where difference_amount <> 0
