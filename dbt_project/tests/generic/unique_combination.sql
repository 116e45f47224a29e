{#
  No two rows share the values of `columns`. A grain that is broken doubles every sum above it.
  Nulls count as equal values: a grain is no grain where a part of it may be missing twice.
#}
{% test unique_combination(model, columns) %}

select
    {{ columns | join(',\n    ') }},
    count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
