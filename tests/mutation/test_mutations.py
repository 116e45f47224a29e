"""The mutation check changes what the models say today, and each important model in every way."""

from __future__ import annotations

from collections import defaultdict

from tests.mutation.mutate import BASE, MODELS, MUTATIONS


def test_every_mutation_finds_its_place() -> None:
    """One that does not would be counted as noticed without having been tried."""
    stale = [
        one.title
        for one in MUTATIONS
        if one.old not in (BASE / MODELS / f"{one.model}.sql").read_text(encoding="utf-8")
    ]
    assert stale == []


def test_ten_models_are_changed_in_a_sign_an_inequality_and_a_join() -> None:
    kinds: dict[str, set[str]] = defaultdict(set)
    for one in MUTATIONS:
        kinds[one.model].add(one.kind)
    whole = [model for model, found in kinds.items() if found == {"sign", "inequality", "join"}]
    assert len(whole) >= 10
