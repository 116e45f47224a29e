{#
  The versions of a raw entity that were known by the business day, each with the days on which it
  was the known one: [known_on, known_until). Of two versions on one day the last counts.
  `is_only_version`: nothing else was ever known of the row. Most rows are so, and need no window.
#}
{% macro known_versions(entity) -%}
    select
        known.*,
        known._known_on as known_on,
        {{ forever() }} as known_until,
        true as is_only_version
    from {{ source('raw', entity) }} as known
    left join (
        select distinct _source, _row_key from {{ source('raw', entity) }}
        where _version > 1 and _known_on <= {{ as_of_date() }}
    ) as changed
        on known._source = changed._source
        and known._row_key = changed._row_key
    where known._known_on <= {{ as_of_date() }} and changed._row_key is null
    union all
    select
        known.*
    from (
        select
            raw_rows.*,
            raw_rows._known_on as known_on,
            coalesce(
                lead(raw_rows._known_on) over (
                    partition by raw_rows._source, raw_rows._row_key
                    order by raw_rows._version
                ),
                {{ forever() }}
            ) as known_until,
            false as is_only_version
        from {{ source('raw', entity) }} as raw_rows
        inner join (
            select distinct _source, _row_key from {{ source('raw', entity) }}
            where _version > 1 and _known_on <= {{ as_of_date() }}
        ) as changed
            on raw_rows._source = changed._source
            and raw_rows._row_key = changed._row_key
        where raw_rows._known_on <= {{ as_of_date() }}
    ) as known
    where known.known_on < known.known_until
{%- endmacro %}

{#
  Join neighbouring knowledge intervals of rows that say the same. `keys` identify the fact,
  `facts` are what it says; `island_number` counts what was said of a key, from 1. Without this, an
  edit of an unrelated column would reverse and re-post every entry of its document. Keys that have
  one row, which are most, pass by: a window over all of them would cost more than all the rest.
#}
{% macro merge_known_intervals(relation, keys, facts) -%}
    select
        {% for column in keys + facts -%}
        singles.{{ column }},
        {% endfor -%}
        1 as island_number,
        singles.known_on,
        singles.known_until
    from {{ relation }} as singles
    left join (
        select {{ keys | join(', ') }} from {{ relation }}
        group by {{ keys | join(', ') }} having count(*) > 1
    ) as repeated
        on {% for column in keys -%}
        singles.{{ column }} = repeated.{{ column }}{{ ' and ' if not loop.last }}
        {%- endfor %}
    where repeated.{{ keys[0] }} is null
    union all
    select
        {% for column in keys + facts -%}
        {{ column }},
        {% endfor -%}
        island_number,
        min(known_on) as known_on,
        max(known_until) as known_until
    from (
        select
            flagged.*,
            cast(sum(flagged.starts_island) over (
                partition by {{ keys | join(', ') }}
                order by flagged.known_on
                rows between unbounded preceding and current row
            ) as integer) as island_number
        from (
            select
                facts.*,
                case
                    when lag(facts.known_until) over by_day = facts.known_on
                    {%- for column in facts %}
                        and facts.{{ column }} is not distinct from lag(facts.{{ column }}) over by_day
                    {%- endfor %}
                        then 0
                    else 1
                end as starts_island
            from {{ relation }} as facts
            inner join (
                select {{ keys | join(', ') }} from {{ relation }}
                group by {{ keys | join(', ') }} having count(*) > 1
            ) as repeated
                on {% for column in keys -%}
                facts.{{ column }} = repeated.{{ column }}{{ ' and ' if not loop.last }}
                {%- endfor %}
            window by_day as (
                partition by {% for column in keys -%}facts.{{ column }}{{ ', ' if not loop.last }}{%- endfor %}
                order by facts.known_on
            )
        ) as flagged
    ) as islands
    group by
        {% for column in keys + facts -%}
        {{ column }},
        {% endfor -%}
        island_number
{%- endmacro %}
