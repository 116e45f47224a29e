{# Text without what people write differently: case, spaces and the signs inside numbers and names. #}
{% macro bare_text(expression) -%}
    {%- set bare = namespace(sql="upper(" ~ expression ~ ")") -%}
    {%- for sign in [" ", "-", "/", ".", "_", "#", ",", ":", "&"] -%}
        {%- set bare.sql = "replace(" ~ bare.sql ~ ", '" ~ sign ~ "', '')" -%}
    {%- endfor -%}
    {{ bare.sql }}
{%- endmacro %}
