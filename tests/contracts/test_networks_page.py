"""docs/networks.md tells of every family what is true, and the front end refuses what the laboratory would."""

import re

import pytest
import torch

from distilled.errors import RecipeError
from distilled.recipe import check_budget, expand
from tests.contracts.pages import quoted, rows
from workers.distill import networks
from workers.distill.catalog import build

CATALOG = build()
TABLE = {quoted(row[0])[0]: row for row in rows("networks.md", head="name")}
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
