-- A movement that is in no column, or in two, makes the month's story of the receivable untrue although its ends are right.
select * from {{ ref('ar_roll_forward') }}
where
    difference_amount <> 0
    or company_difference_amount <> 0
    or (company_difference_amount is null and not is_conversion_incomplete)
