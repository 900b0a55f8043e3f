"""docs/networks.md tells of every family what is true, and the front end refuses what the laboratory would."""

import re

import pytest
import torch

from distilled import transfer
from distilled.errors import RecipeError
from distilled.recipe import check_budget, expand
from tests.contracts.pages import quoted, rows
from workers.distill import networks
from workers.distill.catalog import build

CATALOG = build()
TABLE = {quoted(row[0])[0]: row for row in rows("networks.md", head="name")}
FAMILIES = networks.PATTERNS.values()
SHAPES = [(1, 1, 9), (3, 7, 9), (1, 8, 8), (3, 16, 12), (1, 28, 28), (3, 28, 28), (3, 31, 40), (3, 32, 32), (3, 64, 64)]


def test_every_family_has_its_row():
    def family(name):
        return next(known for known, entry in networks.PATTERNS.items() if re.match(entry["pattern"], name))

    assert {family(name) for name in TABLE} == set(networks.PATTERNS)


@pytest.mark.parametrize("name", TABLE)
def test_weights_and_least_side_are_as_told(name):
    _, _, _, weights, side, _ = TABLE[name]
    net = networks.make(name, space_shape=(3, 32, 32), num_classes=10, rng=torch.Generator().manual_seed(0))
    assert f"{sum(parameter.numel() for parameter in net.parameters()):,}" == weights
    least = int(side)
    assert networks.check(name, (3, least, least + 1)) is None
    assert least == 1 or networks.check(name, (3, least - 1, least)) is not None


@pytest.mark.parametrize("name", [*TABLE, "convnet1", "convnet5-batch", "resnet18-batch", "vit_tiny-d1"])
def test_the_front_end_refuses_what_does_not_fit(name):
    evaluation = {"networks": [name]}
    recipe = expand({"dataset": "set", "method": "kip", "ipc": 1, "evaluation": evaluation}, CATALOG)
    recipe = {**recipe, "objective": {**recipe["objective"], "network": "mlp"}}
    for shape in SHAPES:
        dataset = {"name": "set", "classes": ["a", "b"], "train_counts": [9, 9], "shape": list(shape)}
        if networks.check(name, shape) is None:
            assert check_budget(recipe, CATALOG, dataset).ipc == 1
        else:
            with pytest.raises(RecipeError) as caught:
                check_budget(recipe, CATALOG, dataset)
            assert [problem.pointer for problem in caught.value.problems] == ["/evaluation/networks/0"]


def test_what_a_name_may_write_out_is_what_it_is_without_it():
    assert set(transfer.DEFAULTS) == set(networks.PATTERNS)
    for family, dials in transfer.DEFAULTS.items():
        name = "vit_tiny" if family == "vit" else networks.PATTERNS[family]["example"].split("-")[0]
        short, whole = networks._family(name), networks._family("-".join([name, *dials]))
        assert short[0].options(short[1]) == whole[0].options(whole[1])
        assert all(dial is not None for dial in whole[1][-len(dials) :])
        assert transfer.is_seen("-".join([name, *dials]), [name])


def test_every_option_that_names_networks_is_known_to_the_report():
    named = {
        option
        for table in ("parametrizations", "objectives", "penalties")
        for declared in CATALOG[table].values()
        for option, schema in declared["schema"]["properties"].items()
        if schema["type"] == "string" and any(re.match(p["pattern"], schema["default"].split(",")[0]) for p in FAMILIES)
    }
    assert {"network", "networks"} <= named <= set(transfer.NAMING)
