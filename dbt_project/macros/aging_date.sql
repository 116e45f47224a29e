{# The date that stored ageing counts from, by the basis that receivables.yml names. #}
{% macro aging_date(relation) -%}
    {%- set columns = {
        'due_date': 'due_date', 'invoice_date': 'document_date', 'posting_date': 'posting_date',
    } -%}
    {{ relation }}.{{ columns[var('aging_basis')] }}
{%- endmacro %}
