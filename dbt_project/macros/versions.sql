{#
  The versions of a raw entity that were known by the business day, each with the days on which it
  was the known one: [known_on, known_until). Of two versions on one day the last counts.
#}
{% macro known_versions(entity) -%}
    select
        known.*,
        known._known_on as known_on,
        known.next_known_on as known_until
    from (
        select
            raw_rows.*,
            coalesce(
                lead(raw_rows._known_on) over (
                    partition by raw_rows._source, raw_rows._row_key
                    order by raw_rows._version
                ),
                {{ forever() }}
            ) as next_known_on
        from {{ source('raw', entity) }} as raw_rows
        where raw_rows._known_on <= {{ as_of_date() }}
    ) as known
    where known._known_on < known.next_known_on
{%- endmacro %}

{#
  Join neighbouring knowledge intervals of rows that say the same. `keys` identify the fact,
  `facts` are what it says. Without this, an edit of an unrelated column would reverse and
  re-post every entry of its document.
#}
{% macro merge_known_intervals(relation, keys, facts) -%}
    select
        {% for column in keys + facts -%}
        {{ column }},
        {% endfor -%}
        min(known_on) as known_on,
        max(known_until) as known_until
    from (
        select
            flagged.*,
            sum(flagged.starts_island) over (
                partition by {{ keys | join(', ') }}
                order by flagged.known_on
                rows between unbounded preceding and current row
            ) as island
        from (
            select
                facts.*,
                case
                    when lag(facts.known_until) over (
                        partition by {{ keys | join(', ') }} order by facts.known_on
                    ) = facts.known_on
                    {%- for column in facts %}
                        and facts.{{ column }} is not distinct from lag(facts.{{ column }}) over (
                            partition by {{ keys | join(', ') }} order by facts.known_on
                        )
                    {%- endfor %}
                        then 0
                    else 1
                end as starts_island
            from {{ relation }} as facts
        ) as flagged
    ) as islands
    group by
        {% for column in keys + facts -%}
        {{ column }},
        {% endfor -%}
        island
{%- endmacro %}
