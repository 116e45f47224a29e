{# The business day of the run, as a date literal. Models see nothing that became known later.
   `receivables` gives it as the variable DBT_ENV_CUSTOM_ENV_AS_OF_DATE of the environment: with another --vars dbt
   would read the whole project anew each day. #}
{% macro as_of_date() -%}
    {%- set day = var('as_of_date', dbt_metadata_envs.get('AS_OF_DATE')) -%}
    {%- if not day and execute -%}
        {{ exceptions.raise_compiler_error(
            "as_of_date is not set: a run works on a business day. Next: use `receivables run --as-of 2026-03-31`,"
            ~ " or dbt … --vars '{as_of_date: 2026-03-31}'"
        ) }}
    {%- endif -%}
    cast('{{ day }}' as date)
{%- endmacro %}

{% macro forever() -%}
    cast('9999-12-31' as date)
{%- endmacro %}
