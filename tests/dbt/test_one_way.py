"""Data flows one way: staging, intermediate, marts. A look back or sideways shows a missing concept."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.dbt.project import Model, Project

BASELINE = Path(__file__).with_name("one_way_baseline.yml")

# What a layer may read; `raw` and `settings` are the dbt sources. Marts never read marts: a reader may take
# any of them without the others, and a new version of one needs no new version of another.
MAY_READ = {
    "staging": {"raw"},
    "intermediate": {"staging", "intermediate", "settings"},
    "marts": {"intermediate", "settings"},
}


def wrong_reads(model: Model) -> list[str]:
    return [read for read in model.reads if read.split(".")[0] not in MAY_READ[model.layer]]


def test_a_model_reads_only_its_own_layer_or_the_one_before(project: Project) -> None:
    baseline: dict[str, list[str]] = yaml.safe_load(BASELINE.read_text(encoding="utf-8"))
    found = {model.name: wrong_reads(model) for model in project.models.values()}
    new = {
        name: sorted(set(reads) - set(baseline.get(name, [])))
        for name, reads in found.items()
        if set(reads) - set(baseline.get(name, []))
    }
    assert new == {}, "add a model to the layer in between, rather than a line to the baseline"
    settled = {
        name: sorted(set(reads) - set(found.get(name, [])))
        for name, reads in baseline.items()
        if set(reads) - set(found.get(name, []))
    }
    assert settled == {}, f"take these out of {BASELINE.name}: nothing reads them any more"


def test_the_folder_of_a_model_is_its_layer(project: Project) -> None:
    assert {model.layer for model in project.models.values()} == set(MAY_READ)
    prefixes = {"staging": ("stg_",), "intermediate": ("int_",), "marts": ("dim_", "fct_", "ar_")}
    assert [m.name for m in project.models.values() if not m.name.startswith(prefixes[m.layer])] == []


@pytest.mark.parametrize(
    ("layer", "read", "wrong"),
    [
        ("marts", "marts.ar_dso", True),
        ("marts", "raw.invoices", True),
        ("marts", "intermediate.int_days", False),
        ("intermediate", "marts.dim_dates", True),
        ("intermediate", "raw.invoices", True),
        ("intermediate", "staging.stg_invoices", False),
        ("staging", "staging.stg_invoices", True),
        ("staging", "raw.invoices", False),
    ],
)
def test_what_counts_as_a_step_back_or_aside(layer: str, read: str, wrong: bool) -> None:
    model = Model("m", layer, "m.sql", "", "", {}, True, (read,))
    assert bool(wrong_reads(model)) is wrong
