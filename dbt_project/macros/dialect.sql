{# What engines disagree on. One macro per difference; models use nothing else that is not plain SQL. #}

{% macro double(expression) -%}
    cast({{ expression }} as {{ 'double' if target.type in ('duckdb', 'spark') else 'double precision' }})
{%- endmacro %}

{% macro double_type() -%}
    {{ 'double' if target.type in ('duckdb', 'spark') else 'double precision' }}
{%- endmacro %}

{# Whole days from `start` to `end`; negative when `end` is earlier. #}
{% macro days_between(start, end) -%}
    {{ return(adapter.dispatch('days_between')(start, end)) }}
{%- endmacro %}

{% macro default__days_between(start, end) -%}
    (({{ end }}) - ({{ start }}))
{%- endmacro %}

{% macro duckdb__days_between(start, end) -%}
    cast(({{ end }}) - ({{ start }}) as integer)
{%- endmacro %}

{% macro spark__days_between(start, end) -%}
    datediff({{ end }}, {{ start }})
{%- endmacro %}

{% macro add_days(day, days) -%}
    {{ return(adapter.dispatch('add_days')(day, days)) }}
{%- endmacro %}

{% macro default__add_days(day, days) -%}
    cast(({{ day }}) + cast({{ days }} as integer) as date)
{%- endmacro %}

{% macro spark__add_days(day, days) -%}
    date_add({{ day }}, cast({{ days }} as int))
{%- endmacro %}

{% macro month_start(day) -%}
    cast(date_trunc('month', {{ day }}) as date)
{%- endmacro %}

{# The last day of the month that `day` is in, `months` later; steps month starts, so 31 Jan never drifts. #}
{% macro month_end(day, months=0) -%}
    {{ return(adapter.dispatch('month_end')(day, months)) }}
{%- endmacro %}

{% macro default__month_end(day, months) -%}
    cast(
        date_trunc('month', {{ day }}) + ({{ months }} + 1) * interval '1' month - interval '1' day
        as date
    )
{%- endmacro %}

{% macro spark__month_end(day, months) -%}
    last_day(add_months(date_trunc('month', {{ day }}), {{ months }}))
{%- endmacro %}

{# Months since year 0: consecutive whole numbers, so that "the month before" is minus one. #}
{% macro month_number(day) -%}
    cast(extract(year from {{ day }}) * 12 + extract(month from {{ day }}) - 1 as integer)
{%- endmacro %}

{% macro days_in_month(month_end_day) -%}
    cast(extract(day from {{ month_end_day }}) as integer)
{%- endmacro %}

{# The whole part of a / b for whole numbers too large for a bigint product. #}
{% macro whole_division(numerator, denominator) -%}
    {{ return(adapter.dispatch('whole_division')(numerator, denominator)) }}
{%- endmacro %}

{% macro default__whole_division(numerator, denominator) -%}
    div({{ numerator }}, {{ denominator }})
{%- endmacro %}

{% macro duckdb__whole_division(numerator, denominator) -%}
    (cast({{ numerator }} as hugeint) // cast({{ denominator }} as hugeint))
{%- endmacro %}

{% macro spark__whole_division(numerator, denominator) -%}
    (({{ numerator }}) div ({{ denominator }}))
{%- endmacro %}
