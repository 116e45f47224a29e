{# Schemas are called as the folders are: readers write `marts.ar_dso`, not `main_marts.ar_dso`. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name | trim if custom_schema_name else target.schema }}
{%- endmacro %}
