{# The whole numbers 0 … 99,999, in plain SQL: generators have three syntaxes. Days of 270 years. #}
{% macro numbers() -%}
    select
        tens_of_thousands.digit * 10000 + thousands.digit * 1000 + hundreds.digit * 100
        + tens.digit * 10 + ones.digit as number
    from (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as ones (digit)
    cross join (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as tens (digit)
    cross join (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as hundreds (digit)
    cross join (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as thousands (digit)
    cross join (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as tens_of_thousands (digit)
{%- endmacro %}
