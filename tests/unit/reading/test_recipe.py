"""Recipes are completed and refused alike wherever the catalog is."""

import copy

import pytest

from distilled.errors import RecipeError
from distilled.recipe import check_budget, expand, recipe_digest
from workers.distill.catalog import build

CATALOG = build()
DIGITS = {"name": "digits", "classes": [str(k) for k in range(10)], "train_counts": [130] * 10, "shape": [1, 8, 8]}


def test_a_preset_and_every_default_are_filled_in():
    recipe = expand({"dataset": "Digits", "method": "dm", "ipc": 1}, CATALOG)
    assert recipe["dataset"] == "digits"
    assert recipe["objective"]["kind"] == "distribution"
    assert recipe["objective"]["real_batch"] == 256
    assert recipe["parametrization"] == {"kind": "images", "storage": "uint8", "downsample": 1, "labels": "hard"}
    assert recipe["selection"] == {"start": "random", "batches": "random"}
    assert recipe["seed"] == 0
    assert recipe["steps"] == CATALOG["presets"]["dm"]["fills"]["steps"]


def test_what_is_given_overrides_the_preset_and_leaves_it_as_it_was():
    before = copy.deepcopy(CATALOG)
    recipe = expand({"dataset": "digits", "method": "frepo", "ipc": 1, "parametrization": {"labels": "hard"}}, CATALOG)
    assert recipe["parametrization"]["labels"] == "hard"
    assert recipe["objective"]["kernel"] == "features"
    assert before == CATALOG


def test_another_kind_replaces_the_slot_of_the_preset():
    recipe = expand({"dataset": "digits", "method": "kip", "ipc": 1, "objective": {"kind": "distribution"}}, CATALOG)
    assert "ridge" not in recipe["objective"]


def test_an_expanded_recipe_expands_to_itself():
    once = expand({"dataset": "digits", "method": "frepo", "ratio": 0.1}, CATALOG)
    assert expand(once, CATALOG) == once


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        ({"dataset": None}, "/dataset", "required"),
        ({"dataset": 3}, "/dataset", "a text"),
        ({"method": "dmm"}, "/method", "unknown method 'dmm'; known are: bptt, "),
        ({"method": None}, "/parametrization", "required where no `method`"),
        ({"ipc": None}, "/ipc", "give one of"),
        ({"ipc": 0}, "/ipc", "at least 1"),
        ({"ipc": 1, "ratio": 0.1}, "/ratio", "not 2 of them"),
        ({"ipc": None, "ratio": 0}, "/ratio", "above 0"),
        ({"ipc": None, "bytes": 0}, "/bytes", "at least 1 bytes"),
        ({"steps": 0}, "/steps", "at least 1 steps"),
        ({"seed": -1}, "/seed", "at least 0"),
        ({"colour": 1}, "/colour", "unknown field"),
        ({"objective": 3}, "/objective", "must be an object"),
        ({"objective": {"kind": "magic"}}, "/objective/kind", "must be one of: distribution, "),
        ({"objective": {"width": 3}}, "/objective/width", "unknown option"),
        ({"objective": {"network": "resnet999"}}, "/objective/network", "unknown network"),
        ({"parametrization": {"storage": "bits"}}, "/parametrization/storage", "one of uint8"),
        ({"selection": {"start": "best"}}, "/selection/start", "must be one of centroid"),
        ({"selection": {"end": "best"}}, "/selection/end", "unknown option"),
        ({"selection": []}, "/selection", "must be an object"),
        ({"penalties": {}}, "/penalties", "must be a list"),
        ({"penalties": [{"kind": "x"}]}, "/penalties/0/kind", "must be one of"),
        ({"evaluation": {"networks": "convnet3"}}, "/evaluation/networks", "must be a list"),
        ({"evaluation": {"networks": ["convnet3", "convnet3"]}}, "/evaluation/networks", "twice"),
        ({"evaluation": {"networks": ["net"]}}, "/evaluation/networks/0", "unknown network 'net'"),
        ({"evaluation": {"repeats": 0}}, "/evaluation/repeats", "at least 1"),
        ({"base_artifact": "art_1"}, "/base_artifact", "only a memory can be continued"),
        ({"base_artifact": 3}, "/base_artifact", "a text"),
        ({"webhook": 3}, "/webhook", "a text"),
    ],
)
def test_each_fault_names_its_field_and_the_fix(change, pointer, words):
    recipe = {"dataset": "digits", "method": "dm", "ipc": 1} | change
    with pytest.raises(RecipeError) as caught:
        expand(recipe, CATALOG)
    found = {problem.pointer: problem.detail for problem in caught.value.problems}
    assert words in found[pointer]


def test_all_faults_are_told_at_once():
    with pytest.raises(RecipeError) as caught:
        expand({"method": "dm", "ipc": 0, "seed": -1, "colour": 2}, CATALOG)
    assert {problem.pointer for problem in caught.value.problems} == {"/dataset", "/ipc", "/seed", "/colour"}


def expanded(**fields):
    return expand({"dataset": "digits", "method": "dm"} | fields, CATALOG)


@pytest.mark.parametrize(
    ("budget", "ipc"),
    [
        ({"ipc": 130}, 130),
        ({"ratio": 0.1}, 13),
        ({"ratio": 1e-9}, 1),
        ({"bytes": 10 * 65}, 1),
        ({"bytes": 10 * 65 * 2 - 1}, 1),
        ({"bytes": 10 * 65 * 2}, 2),
        ({"bytes": 10 * (256 + 1), "parametrization": {"storage": "float32"}}, 1),
        ({"bytes": 10 * (64 + 40), "parametrization": {"labels": "soft"}}, 1),
    ],
)
def test_budgets_come_to_images_per_class(budget, ipc):
    assert check_budget(expanded(**budget), CATALOG, DIGITS).ipc == ipc


@pytest.mark.parametrize(
    ("budget", "pointer", "words"),
    [
        ({"ipc": 131}, "/ipc", "the smallest class of digits has 130"),
        ({"ratio": 1.0}, None, ""),
        ({"bytes": 649}, "/bytes", "takes 650 bytes"),
        ({"bytes": 10**9}, "/bytes", "at most 130 per class"),
    ],
)
def test_a_budget_that_cannot_be_met_says_what_can(budget, pointer, words):
    if pointer is None:
        assert check_budget(expanded(**budget), CATALOG, DIGITS).ipc == 130
        return
    with pytest.raises(RecipeError) as caught:
        check_budget(expanded(**budget), CATALOG, DIGITS)
    assert caught.value.problems[0].pointer == pointer
    assert words in caught.value.problems[0].detail


@pytest.mark.parametrize(
    ("given", "sum_of_both"), [({}, None), ({"max_start_epoch": 11}, 13), ({"match_epochs": 5}, 15)]
)
def test_a_field_that_must_be_at_least_the_sum_of_others_is_held_to_it(given, sum_of_both):
    objective = {"kind": "trajectory", "max_start_epoch": 10, "match_epochs": 2, "expert_epochs": 12, **given}
    if sum_of_both is None:
        assert expanded(ipc=1, method="mtt", objective=objective)["objective"]["expert_epochs"] == 12
        return
    with pytest.raises(RecipeError) as caught:
        expanded(ipc=1, method="mtt", objective=objective)
    (problem,) = caught.value.problems
    assert problem.pointer == "/objective/expert_epochs"
    assert f"must be at least {sum_of_both} (max_start_epoch + match_epochs), not 12" in problem.detail


def test_a_network_too_deep_for_the_images_is_refused():
    recipe = expanded(ipc=1, evaluation={"networks": ["convnet4"]}, objective={"network": "convnet3"})
    with pytest.raises(RecipeError) as caught:
        check_budget(recipe, CATALOG, DIGITS)
    assert caught.value.problems[0].pointer == "/evaluation/networks/0"
    assert "8 pixels allow 3" in caught.value.problems[0].detail


def test_what_changes_nothing_of_the_result_takes_no_part_in_the_digest():
    one, two = expanded(ipc=1), expanded(ipc=1, priority=5)
    assert recipe_digest(one, dataset_digest="d", code_version="1") == recipe_digest(
        two, dataset_digest="d", code_version="1"
    )
    others = [
        recipe_digest(expanded(ipc=1, seed=1), dataset_digest="d", code_version="1"),
        recipe_digest(one, dataset_digest="e", code_version="1"),
        recipe_digest(one, dataset_digest="d", code_version="2"),
    ]
    assert len({recipe_digest(one, dataset_digest="d", code_version="1"), *others}) == 4


@pytest.mark.parametrize("network", ["convnet3-batch", "convnet2-w8-batch", "resnet18-batch", "vgg11-w8-batch"])
def test_statistics_of_batch_normalisations_are_matched_where_there_are_some(network):
    recipe = expand({"dataset": "digits", "method": "sre2l", "ipc": 1, "objective": {"network": network}}, CATALOG)
    assert recipe["objective"]["network"] == network


@pytest.mark.parametrize("network", ["convnet3", "convnet3-instance", "resnet18", "vgg11", "mlp", "vit_tiny"])
def test_a_teacher_without_batch_normalisation_is_refused_with_the_reason(network):
    with pytest.raises(RecipeError) as caught:
        expand({"dataset": "digits", "method": "sre2l", "ipc": 1, "objective": {"network": network}}, CATALOG)
    (problem,) = caught.value.problems
    assert problem.pointer == "/objective/network"
    assert "this network has none: use one such as `convnet3-batch`" in problem.detail


def test_other_objectives_take_any_network():
    objective = {"kind": "distribution", "network": "mlp"}
    assert expanded(ipc=1, objective=objective)["objective"]["network"] == "mlp"


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [("sgd", False), ("adam", True), (["sgd", "adam"], True), ({"unlike": "^ad"}, False), ({"unlike": "^sg"}, True)],
)
def test_a_conflict_holds_for_a_value_for_one_of_several_and_for_a_pattern_that_is_missed(wanted, refused):
    catalog = CATALOG | {"conflicts": [{"when": {"objective.optimiser": wanted}, "reason": "because"}]}
    recipe = {"dataset": "digits", "method": "dm", "ipc": 1, "objective": {"optimiser": "adam"}}
    if not refused:
        assert expand(recipe, catalog)["objective"]["optimiser"] == "adam"
        return
    with pytest.raises(RecipeError, match="because"):
        expand(recipe, catalog)


@pytest.mark.parametrize(("above", "refused"), [(0, True), (0.5, True), (1, False), (1.5, False)])
def test_a_conflict_holds_for_a_number_above_another(above, refused):
    catalog = CATALOG | {"conflicts": [{"when": {"objective.learning_rate": {"above": above}}, "reason": "because"}]}
    recipe = {"dataset": "digits", "method": "dm", "ipc": 1, "objective": {"learning_rate": 1.0}}
    if refused:
        with pytest.raises(RecipeError, match="because"):
            expand(recipe, catalog)
    else:
        assert expand(recipe, catalog)["objective"]["learning_rate"] == 1


def test_a_number_is_not_held_against_a_field_that_is_not_there():
    catalog = CATALOG | {"conflicts": [{"when": {"objective.warmup_steps": {"above": 0}}, "reason": "because"}]}
    assert expand({"dataset": "digits", "method": "dm", "ipc": 1}, catalog)["objective"]["kind"] == "distribution"


@pytest.mark.parametrize("method", ["dc", "dm", "frepo", "mtt", "bptt", "sre2l"])
def test_several_networks_are_refused_where_an_objective_works_with_one(method):
    network = "convnet2-batch,convnet3-batch"
    with pytest.raises(RecipeError) as caught:
        expand({"dataset": "digits", "method": method, "ipc": 1, "objective": {"network": network}}, CATALOG)
    (problem,) = caught.value.problems
    assert problem.pointer == "/objective/network"
    assert "works with one network: name one" in problem.detail


def test_a_pattern_is_not_held_against_a_field_that_is_not_there():
    catalog = CATALOG | {"conflicts": [{"when": {"objective.network": {"unlike": "-batch$"}}, "reason": "because"}]}
    recipe = {"dataset": "digits", "method": "dm", "ipc": 1, "objective": {"kind": "class-means"}}
    catalog["objectives"] = {"class-means": {"schema": {"properties": {}}}}
    assert expand(recipe, catalog)["objective"] == {"kind": "class-means"}
