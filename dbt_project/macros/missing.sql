{#
  Why metrics are null: `<metric>: <reason>` of each that is, joined by `; `, and null when none is. `metrics` are
  (metric, [(condition, word)]) pairs; the first condition that holds gives the word.
#}
{% macro reasons_of_nulls(metrics) -%}
    nullif(concat_ws('; ',
        {%- for metric, reasons in metrics %}
        case when {{ metric }} is null then '{{ metric }}: ' || case
            {%- for condition, word in reasons %} when {{ condition }} then '{{ word }}'{% endfor %} end end
        {{- ',' if not loop.last }}
        {%- endfor %}
    ), '')
{%- endmacro %}
