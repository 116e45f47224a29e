"""What people read has a grain, a meaning, a contract and both labels; what has logic has a unit test."""

from __future__ import annotations

import re

import pytest

from tests.dbt.project import Model, Project

CONTRACTED = ("intermediate", "marts")
PERSONAL = {"email"}


def share(covered: list[Model], all_models: list[Model]) -> float:
    return 100 * len(covered) / len(all_models)


@pytest.mark.parametrize("layer", ["staging", "intermediate", "marts"])
def test_every_model_says_its_grain_first(project: Project, layer: str) -> None:
    models = project.layer(layer)
    assert models
    assert [model.name for model in models if not model.description.startswith("One ")] == []


@pytest.mark.parametrize("layer", ["staging", "intermediate", "marts"])
def test_every_column_says_what_its_name_does_not(project: Project, layer: str) -> None:
    missing = [
        f"{model.name}.{name}"
        for model in project.layer(layer)
        for name, column in model.columns.items()
        if _words(column["description"]) <= _words(name)
    ]
    assert missing == []


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower())) - {"the", "a", "an", "of"}


@pytest.mark.parametrize("layer", CONTRACTED)
def test_all_models_of_the_layer_have_an_enforced_contract(project: Project, layer: str) -> None:
    models = project.layer(layer)
    contracted = [
        model
        for model in models
        if model.has_contract
        and model.columns
        and all(column["data_type"] for column in model.columns.values())
    ]
    assert share(contracted, models) == 100, {model.name for model in models} - {
        model.name for model in contracted
    }


def test_every_public_column_has_an_english_and_a_chinese_label(project: Project) -> None:
    missing = [
        f"{model.name}.{name}"
        for model in project.layer("marts")
        for name in model.columns
        if not model.meta(name).get("label")
        or not re.search(r"[\u4e00-\u9fff]", model.meta(name).get("label_zh", ""))
    ]
    assert missing == []


def test_personal_data_is_marked_wherever_it_is_published(project: Project) -> None:
    """What is not marked goes into the file that everybody reads."""
    unmarked = [
        f"{model.name}.{name}"
        for model in project.layer("marts")
        for name in model.columns
        if name in PERSONAL and not model.meta(name).get("personal")
    ]
    assert unmarked == []
    assert project.models["dim_customers"].meta("email").get("personal") is True


def test_every_model_with_logic_has_a_unit_test(project: Project) -> None:
    with_logic = [model for model in project.models.values() if model.has_logic]
    tested = [model for model in with_logic if project.unit_tests.get(model.name)]
    assert share(tested, with_logic) == 100, {model.name for model in with_logic} - {
        model.name for model in tested
    }


def test_a_unit_test_is_named_after_the_rule_it_shows(project: Project) -> None:
    names = [name for tests in project.unit_tests.values() for name in tests]
    assert [name for name in names if len(name.split("_")) < 5 or name.startswith("test")] == []


def test_a_singular_test_says_what_would_be_harmed(project: Project) -> None:
    assert project.singular_tests
    silent = [name for name, sql in project.singular_tests.items() if not sql.lstrip().startswith("-- ")]
    assert silent == []
    assert [name for name in project.singular_tests if not name.startswith("assert_")] == []


def test_every_macro_is_documented_with_its_arguments(project: Project) -> None:
    # `default__x` and `duckdb__x` are the engines' ways of `x`, which is documented.
    public = {name: macro for name, macro in project.macros.items() if "__" not in name}
    undocumented = [
        name
        for name, macro in public.items()
        if not macro["description"]
        or any(not argument["description"] for argument in macro["arguments"])
        or _parameters(macro["macro_sql"], name) != [argument["name"] for argument in macro["arguments"]]
    ]
    assert undocumented == []


def _parameters(sql: str, name: str) -> list[str]:
    signature = re.search(rf"macro\s+{name}\s*\((.*?)\)", sql, re.DOTALL)
    assert signature
    words = (word.split("=")[0].strip() for word in signature[1].split(","))
    return [word for word in words if word]


@pytest.mark.parametrize(
    ("sql", "has_logic"),
    [
        ("select a, b from x", False),
        ("-- joined where needed\nselect 'case' as kind from x", False),
        ("select a from x where a > 0", True),
        ("select case when a then b end from x", True),
        ("{{ merge_known_intervals('x', ['a'], ['b']) }}", True),
    ],
)
def test_logic_is_what_decides_or_combines(sql: str, has_logic: bool) -> None:
    model = Model("m", "marts", "m.sql", sql, "", {}, True, ())
    assert model.has_logic is has_logic
