"""Means over networks, those that a distillation used and those that it did not: told apart, and never over unlikes."""

from typing import Any

import pytest

from distilled import transfer
from distilled.errors import RecipeError
from distilled.recipe import expand_evaluation

CATALOG: dict[str, Any] = {
    "networks": {
        "convnet": {"pattern": "^convnet([1-8])$", "example": "convnet3", "halvings": "depth"},
        "mlp": {"pattern": "^mlp$", "example": "mlp", "halvings": "0"},
    },
    "evaluation": {
        "networks": ["convnet3"],
        "schema": {
            "properties": {
                "repeats": {"type": "integer", "default": 5, "minimum": 1},
                "ipc": {"type": "integer", "default": 0, "minimum": 0},
            }
        },
    },
}
HEADER: dict[str, Any] = {
    "kind": "images",
    "ipc": 2,
    "classes": ["a", "b"],
    "space": {"shape": [1, 8, 8]},
    "budget": {"bytes": 100, "images": 4},
    "recipe": {"evaluation": {"networks": ["convnet3"], "repeats": 3, "no longer an option": 1}},
}


def score(*values: float) -> dict[str, Any]:
    return {"mean": sum(values) / len(values), "std": 0.0, "values": list(values)}


def evaluation(network: str, *values: float, state: str = "succeeded", **more: Any) -> dict[str, Any]:
    """An evaluation in which the baselines come to half of what the distilled set does."""
    half = score(*(value / 2 for value in values))
    result = {"distilled": {"hard": score(*values)}, "random": half, "centroid": half, "full": half}
    done = {**result, **more.pop("result", {})} if state == "succeeded" else None
    return {"network": network, "state": state, "config": {"repeats": len(values)}, "result": done, **more}


@pytest.mark.parametrize(
    ("recipe", "seen"),
    [
        ({"objective": {"kind": "distribution", "network": "convnet3"}}, ["convnet3"]),
        ({"objective": {"kind": "logits", "network": "convnet3, resnet10,convnet3"}}, ["convnet3", "resnet10"]),
        ({"objective": {"kind": "unrolled", "network": "mlp", "networks": 4}}, ["mlp"]),
        ({"objective": {"kind": "kernel", "kernel": "gaussian", "network": "convnet3"}}, []),
        ({"objective": {"kind": "kernel", "kernel": "features", "network": "convnet3"}}, ["convnet3"]),
        (
            {
                "objective": {"network": "convnet3"},
                "penalties": [{"networks": "convnet3,vit_tiny", "backbone": ""}, {"backbone": "vgg11"}],
            },
            ["convnet3", "vit_tiny", "vgg11"],
        ),
        ({}, []),
    ],
)
def test_seen_is_what_objective_and_penalties_used(recipe: dict[str, Any], seen: list[str]) -> None:
    assert transfer.seen_networks(recipe) == seen


@pytest.mark.parametrize(
    ("network", "seen"),
    [
        ("convnet3", True),
        ("convnet3-w128", True),
        ("convnet3-instance", True),
        ("convnet3-w64", False),
        ("convnet3-batch", False),
        ("convnet4", False),
        ("resnet10-w64-instance", True),
        ("resnet10-w128", False),
        ("unheard-of", False),
    ],
)
def test_a_name_may_write_out_what_is_so_by_default(network: str, seen: bool) -> None:
    assert transfer.is_seen(network, ["convnet3-w128-instance", "resnet10"]) is seen


def test_seen_and_unseen_networks_have_means_of_their_own() -> None:
    rows = [evaluation("convnet3", 0.8, 0.9), evaluation("mlp", 0.5, 0.6), evaluation("resnet10", 0.7, 0.6)]
    (found,) = transfer.summaries(rows, seen=["convnet3"])
    assert (found["config"], found["absent"]) == ({"repeats": 2}, [])
    assert found["seen"]["networks"] == ["convnet3"]
    assert found["unseen"]["networks"] == ["mlp", "resnet10"]
    assert found["all"]["networks"] == ["convnet3", "mlp", "resnet10"]
    assert found["seen"]["distilled"]["hard"] == {"mean": pytest.approx(0.85), "std": pytest.approx(0.05 * 2**0.5)}
    # Over the repeats the networks' means are 0.6 and 0.6: the spread is that of the mean, not that of a network.
    assert found["unseen"]["distilled"]["hard"] == {"mean": pytest.approx(0.6), "std": pytest.approx(0)}
    assert found["all"]["distilled"]["hard"]["mean"] == pytest.approx((0.85 + 0.55 + 0.65) / 3)
    for baseline in transfer.BASELINES:
        assert found["unseen"][baseline]["mean"] == pytest.approx(0.3)


def test_what_has_not_succeeded_is_in_no_mean() -> None:
    running, failed = evaluation("mlp", 0.9, state="running"), evaluation("vgg11", 0.9, state="failed")
    assert transfer.summaries([running, failed], seen=[]) == []
    (found,) = transfer.summaries([evaluation("mlp", 0.5), failed], seen=[])
    assert (found["seen"], found["all"]["networks"]) == (None, ["mlp"])
    assert found["all"]["distilled"]["hard"] == {"mean": 0.5, "std": 0.0}


def test_networks_trained_otherwise_are_another_mean() -> None:
    rows = [evaluation("mlp", 0.5), evaluation("mlp", 0.9, 0.9), evaluation("vgg11", 0.7)]
    one, two = transfer.summaries(rows, seen=["mlp"])
    assert (one["all"]["networks"], two["all"]["networks"]) == (["mlp", "vgg11"], ["mlp"])
    assert (one["config"], two["config"]) == ({"repeats": 1}, {"repeats": 2})


def test_networks_tested_on_fewer_classes_are_another_mean() -> None:
    fewer = evaluation("vgg11", 0.7, result={"absent": ["a"], "random": None, "centroid": None, "full": None})
    one, two = transfer.summaries([evaluation("mlp", 0.5), fewer], seen=[])
    assert (one["absent"], two["absent"]) == ([], ["a"])
    assert (one["all"]["networks"], two["all"]["networks"]) == (["mlp"], ["vgg11"])
    assert two["all"]["random"] is None


def test_hard_soft_and_fresh_are_never_mixed_and_no_mean_leaves_a_network_out() -> None:
    modes = {"hard": score(0.5), "soft": score(0.7), "fresh": score(0.6)}
    both = [
        evaluation("mlp", 0.1, result={"distilled": modes}),
        evaluation("vgg11", 0.1, result={"distilled": {"hard": score(0.3), "fresh": score(0.2)}, "full": None}),
    ]
    (found,) = transfer.summaries(both, seen=[])
    group = found["all"]
    assert {mode: mean["mean"] for mode, mean in group["distilled"].items()} == {"hard": 0.4, "fresh": 0.4}
    assert group["full"] is None
    assert group["random"]["mean"] == pytest.approx(0.05)


def test_unequal_numbers_of_repeats_have_no_common_spread() -> None:
    rows = [evaluation("mlp", 0.5, 0.7), evaluation("vgg11", 0.5, 0.6, 0.7, config={"repeats": 2})]
    (found,) = transfer.summaries(rows, seen=[])
    assert found["all"]["distilled"]["hard"] == {"mean": pytest.approx(0.6), "std": None}


def test_a_later_evaluation_is_as_in_the_recipe_but_for_what_is_asked() -> None:
    assert expand_evaluation({"networks": ["mlp"]}, CATALOG, HEADER) == {"networks": ["mlp"], "repeats": 3, "ipc": 0}
    asked = {"networks": ["convnet3", "mlp"], "repeats": 1}
    assert expand_evaluation(asked, CATALOG, HEADER) == {**asked, "ipc": 0}


@pytest.mark.parametrize(
    ("asked", "pointers"),
    [
        ({}, ["/networks"]),
        ({"networks": None}, ["/networks"]),
        ({"networks": []}, ["/networks"]),
        ({"networks": "mlp"}, ["/networks"]),
        ({"networks": ["mlp", "mlp"]}, ["/networks"]),
        ({"networks": ["mlp", "convnet4", "nonet"]}, ["/networks/2", "/networks/1"]),
        ({"networks": ["mlp"], "repeats": 0, "colour": "red"}, ["/colour", "/repeats"]),
        ({"networks": ["mlp"], "ipc": 2}, ["/ipc"]),  # a fixed set is evaluated whole
    ],
)
def test_a_later_evaluation_that_cannot_be_is_refused(asked: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        expand_evaluation(asked, CATALOG, HEADER)
    assert [problem.pointer for problem in caught.value.problems] == pointers


def test_a_generator_may_be_evaluated_at_several_sizes() -> None:
    header = {**HEADER, "kind": "generator", "budget": {"bytes": 100, "images": None}}
    assert expand_evaluation({"networks": ["mlp"], "ipc": 7}, CATALOG, header)["ipc"] == 7
    with pytest.raises(RecipeError, match="/ipc: "):
        expand_evaluation({"networks": ["mlp"], "ipc": 10**9}, CATALOG, header)
