{#
  How far settlements fill the instalments of an invoice, after each of its events.

  `relation` has one row per view_name, invoice_id, picture_on, step and instalment: position, capacity,
  named_amount (settlements that name the instalment), unnamed_amount (the rest, on every instalment
  of the step), settled_amount, allocation_policy, minor_unit. The select adds named_filled, room and
  unnamed_filled. FIFO fills the rooms in order; pro rata shares by capacity, rounding running totals
  half up, so that the shares add up.
#}
{% macro fill_instalments(relation) -%}
    select
        shares.*,
        case
            when allocation_policy = 'pro_rata' and total_capacity > 0
                then least(
                    room,
                    {{ money(
                        "("
                        ~ whole_division(
                            "2 * cast(shared_amount * units as decimal(18, 0))"
                            ~ " * cast((earlier_capacity + capacity) * units as decimal(18, 0))"
                            ~ " + cast(total_capacity * units as decimal(18, 0))",
                            "2 * cast(total_capacity * units as decimal(18, 0))"
                        )
                        ~ " - "
                        ~ whole_division(
                            "2 * cast(shared_amount * units as decimal(18, 0))"
                            ~ " * cast(earlier_capacity * units as decimal(18, 0))"
                            ~ " + cast(total_capacity * units as decimal(18, 0))",
                            "2 * cast(total_capacity * units as decimal(18, 0))"
                        )
                        ~ ") / cast(units as decimal(18, 0))"
                    ) }}
                )
            else greatest(0, least(room, unnamed_amount - earlier_room))
        end as unnamed_filled
    from (
        select
            steps.*,
            least(named_amount, capacity) as named_filled,
            capacity - least(named_amount, capacity) as room,
            coalesce(sum(capacity - least(named_amount, capacity)) over earlier_instalments, 0)
                as earlier_room,
            coalesce(sum(capacity) over earlier_instalments, 0) as earlier_capacity,
            sum(capacity) over all_instalments as total_capacity,
            greatest(least(unnamed_amount, sum(capacity) over all_instalments), 0) as shared_amount,
            cast(case minor_unit when 0 then 1 when 3 then 1000 when 4 then 10000 else 100 end as integer)
                as units
        from {{ relation }} as steps
        window
            all_instalments as (partition by view_name, invoice_id, picture_on, step),
            earlier_instalments as (
                partition by view_name, invoice_id, picture_on, step
                order by position
                rows between unbounded preceding and 1 preceding
            )
    ) as shares
{%- endmacro %}
