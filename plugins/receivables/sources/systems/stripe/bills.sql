-- One row per invoice that exists, in whole money.
select
    invoice.*,
    upper(invoice.currency) as currency_code,
    coalesce(unit, 0.0100) as unit,
    number_of(total) * coalesce(unit, 0.0100) as amount,
    coalesce(number_of(amount_paid), 0) * coalesce(unit, 0.0100) as paid_amount,
    coalesce(number_of(amount_remaining), 0) * coalesce(unit, 0.0100) as remaining_amount,
    cast(coalesce(
        moment_of(status_transitions_finalized_at), moment_of(finalized_at), moment_of(created), moment_of(period_end)
    ) as date) as billed_on,
    cast(coalesce(
        moment_of(status_transitions_paid_at), moment_of(paid_at), moment_of(status_transitions_finalized_at),
        moment_of(finalized_at), moment_of(created), moment_of(period_end)
    ) as date) as paid_on
from invoice
left join currencies on lower(invoice.currency) = currencies.currency
where not is_true(is_deleted)
