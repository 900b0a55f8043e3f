"""Recipes: validated whole before anything is queued, expanded, and priced by a dry run."""

from typing import Any

import pytest

from tests.conformance.making import CLASSES, ENDLESS, QUICK
from tests.conformance.wire import Wire

RECIPE: dict[str, Any] = {**QUICK, "ipc": 1, "evaluation": {"networks": []}}

FAULTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"dataset": "no-such-data"}, ["/dataset"]),
    ({"dataset": None}, ["/dataset"]),
    ({"method": "magic"}, ["/method"]),
    ({"method": None, "objective": None}, ["/parametrization", "/objective"]),
    ({"ipc": None}, ["/ipc"]),
    ({"ratio": 0.1}, ["/ratio"]),
    ({"ipc": 0}, ["/ipc"]),
    ({"ipc": "three"}, ["/ipc"]),
    ({"ipc": 1000}, ["/ipc"]),
    ({"ipc": None, "ratio": 2}, ["/ratio"]),
    ({"ipc": None, "bytes": 1}, ["/bytes"]),
    ({"steps": -1}, ["/steps"]),
    ({"seed": -1}, ["/seed"]),
    ({"parametrization": {"kind": "hologram"}}, ["/parametrization/kind"]),
    ({"objective": {"ridge": -1}}, ["/objective/ridge"]),
    ({"objective": {"ridge": "stiff"}}, ["/objective/ridge"]),
    ({"selection": {"start": "by hand"}}, ["/selection/start"]),
    ({"penalties": [{"kind": "taxes"}]}, ["/penalties/0/kind"]),
    ({"evaluation": {"networks": ["skynet"]}}, ["/evaluation/networks/0"]),
    ({"evaluation": {"networks": ["convnet9"]}}, ["/evaluation/networks/0"]),
    ({"base_artifact": "art_" + "0" * 32}, ["/base_artifact"]),
]


@pytest.mark.parametrize(("change", "pointers"), FAULTS, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_a_fault_is_named_with_its_field(
    wire: Wire, dataset: str, change: dict[str, Any], pointers: list[str], query: str
) -> None:
    recipe = {**RECIPE, "dataset": dataset, **change}
    recipe = {name: value for name, value in recipe.items() if value is not None}
    assert set(pointers) <= set(wire.pointers("POST", f"/v1/jobs{query}", json=recipe))


def test_every_fault_of_a_recipe_is_named_at_once(wire: Wire, dataset: str) -> None:
    recipe = {**RECIPE, "dataset": "no-such-data", "steps": -1, "objective": {"ridge": -1}, "extra": 1}
    found = wire.pointers("POST", "/v1/jobs", json=recipe)
    assert {"/dataset", "/steps", "/objective/ridge", "/extra"} <= set(found)


def test_a_dry_run_expands_estimates_and_queues_nothing(wire: Wire, dataset: str) -> None:
    recipe = {**RECIPE, "dataset": dataset, "seed": 41}
    found = dry(wire, recipe)
    assert found["ipc"] == 1
    assert found["recipe"]["objective"]["kind"] == "kernel"
    assert found["estimate"]["bytes"] > 0
    queued = [job for page in wire.pages("/v1/jobs", dataset=dataset) for job in page if job["recipe"]["seed"] == 41]
    assert queued == []


def test_what_is_given_beside_a_preset_overrides_it(wire: Wire, dataset: str) -> None:
    recipe = {**RECIPE, "dataset": dataset, "objective": {"ridge": 0.5}, "selection": {"start": "random"}}
    expanded = dry(wire, recipe)["recipe"]
    assert (expanded["objective"]["kind"], expanded["objective"]["ridge"]) == ("kernel", 0.5)
    assert expanded["selection"]["start"] == "random"


def test_an_expanded_recipe_is_the_same_recipe(wire: Wire, dataset: str) -> None:
    found = dry(wire, {**RECIPE, "dataset": dataset})
    again = dry(wire, found["recipe"])
    assert (again["recipe"], again["digest"]) == (found["recipe"], found["digest"])


def test_a_composition_needs_no_method(wire: Wire, dataset: str) -> None:
    slots = {"parametrization": {"kind": "images"}, "objective": {"kind": "kernel"}}
    found = dry(wire, {"dataset": dataset, "ipc": 1, "steps": 1, "evaluation": {"networks": []}, **slots})
    assert found["recipe"]["method"] is None


@pytest.mark.parametrize(("ratio", "ipc"), [(0.25, 4), (0.1, 2), (0.001, 1)])
def test_a_ratio_is_of_the_training_images_and_at_least_one_a_class(
    wire: Wire, dataset: str, ratio: float, ipc: int
) -> None:
    train = wire.get(f"/v1/datasets/{dataset}")["train"]
    assert ipc == max(1, round(ratio * train / len(CLASSES)))
    found = dry(wire, {"ratio": ratio, **{**RECIPE, "dataset": dataset, "ipc": None}})
    assert found["ipc"] == ipc
    assert found["recipe"]["ratio"] == ratio
    assert "ipc" not in found["recipe"]


def test_a_budget_in_bytes_holds_what_fits(wire: Wire, dataset: str) -> None:
    found = dry(wire, {"bytes": 300, **{**RECIPE, "dataset": dataset, "ipc": None}})
    assert found["recipe"]["bytes"] == 300
    assert 0 < found["estimate"]["bytes"] <= 300
    assert found["ipc"] >= 1


def test_priority_changes_nothing_that_is_made(wire: Wire, dataset: str) -> None:
    recipe = {**RECIPE, "dataset": dataset}
    assert dry(wire, recipe)["digest"] == dry(wire, {**recipe, "priority": 5})["digest"]
    assert dry(wire, recipe)["digest"] != dry(wire, {**recipe, "seed": 2})["digest"]


def test_penalties_and_evaluation_are_expanded(wire: Wire, dataset: str) -> None:
    recipe = {**ENDLESS, "dataset": dataset, "penalties": [{"kind": "architecture_invariance", "weight": 0.1}]}
    recipe |= {"evaluation": {"networks": ["convnet2", "mlp-w16"], "repeats": 3}}
    answer = wire.call("POST", "/v1/jobs?dry_run=true", json=recipe)
    assert answer.status_code == 200, answer.text
    expanded = answer.json()["recipe"]
    assert expanded["penalties"][0]["weight"] == 0.1
    assert expanded["evaluation"]["networks"] == ["convnet2", "mlp-w16"]
    assert expanded["evaluation"]["repeats"] == 3


def dry(wire: Wire, recipe: dict[str, Any]) -> dict[str, Any]:
    """What a dry run answers."""
    given = {name: value for name, value in recipe.items() if value is not None}
    return wire.ok("POST", "/v1/jobs?dry_run=true", json=given).json()


def test_an_estimate_says_what_it_follows_from(wire: Wire, dataset: str) -> None:
    estimate = dry(wire, {**RECIPE, "dataset": dataset})["estimate"]
    assert 0 < estimate["seconds"] <= estimate["seconds_p90"]
    assert estimate["memory_bytes"] > 0
    assert estimate["queue_position"] >= 1
    assert estimate["seconds_ahead"] is None or estimate["seconds_ahead"] >= 0
    assert estimate["basis"]["jobs"] >= 0
    assert (estimate["basis"]["match"] == "guess") == (estimate["basis"]["jobs"] == 0)
