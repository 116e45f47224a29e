{% macro amount_type() -%}
    decimal(18, {{ var('amount_scale') }})
{%- endmacro %}

{# An amount column as it is published. Rounds half away from zero, which is half up for a debit. #}
{% macro money(expression) -%}
    cast({{ expression }} as {{ amount_type() }})
{%- endmacro %}

{# An exact product of an amount and a rate: wide enough that no engine overflows or rounds early. #}
{% macro converted(amount, rate) -%}
    (cast({{ amount }} as decimal(18, 4)) * cast({{ rate }} as decimal(20, 12)))
{%- endmacro %}

{#
  Round to a currency's minor unit. A decimal's scale is fixed, so each minor unit is a branch;
  the cast back keeps one type.
#}
{% macro round_to_minor_unit(expression, minor_unit) -%}
    case {{ minor_unit }}
        when 0 then {{ money('cast(' ~ expression ~ ' as decimal(18, 0))') }}
        when 3 then {{ money('cast(' ~ expression ~ ' as decimal(18, 3))') }}
        when 4 then {{ money('cast(' ~ expression ~ ' as decimal(18, 4))') }}
        else {{ money('cast(' ~ expression ~ ' as decimal(18, 2))') }}
    end
{%- endmacro %}

{# A ratio as a double, rounded when compared or shown, never when computed. Null when there is nothing to divide by. #}
{% macro ratio(numerator, denominator) -%}
    {{ double(numerator) }} / nullif({{ double(denominator) }}, 0)
{%- endmacro %}

{# A sum that is unknown as soon as one part of it is: a missing rate leaves null, never a smaller total. #}
{% macro complete_sum(expression) -%}
    case when count({{ expression }}) = count(*) then sum({{ expression }}) end
{%- endmacro %}
