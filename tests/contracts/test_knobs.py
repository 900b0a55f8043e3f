"""Every knob of the catalog says what it does and does something: turned alone, it makes other tensors.

New knobs are found by themselves. One that works under a condition only gets a line in CONDITIONS, one whose next value
would make no difference a line in OTHER.
"""

from functools import cache
from typing import Any

import pytest
import torch
from safetensors.torch import load

from distilled.files import open_artifact
from distilled.knobs import check
from distilled.recipe import expand
from tests.unit.laboratory.toys import toy_data
from workers.distill import catalog
from workers.distill.events import Finished
from workers.distill.loop import run

CATALOG = catalog.build()
TABLES = ("objectives", "parametrizations")
#: Small, and such that one less or half of it is another thing: a knob that is not named here stands at its default.
BASE: dict[str, dict[str, Any]] = {
    "distribution": {"network": "mlp-w16", "real_batch": 8, "drawn_batch": 2},
    "gradient": {"network": "mlp-w16", "real_batch": 8, "drawn_batch": 2, "network_steps": 2},
    "kernel": {"network": "mlp-w16", "real_batch": 16, "pool_size": 1, "pool_steps": 2, "ridge": 1e-2},
    "trajectory": {
        "network": "mlp-w16",
        "synthetic_steps": 2,
        "inner_batch": 2,
        "max_start_epoch": 2,
        "match_epochs": 1,
        "experts": 5,
        "expert_epochs": 4,
        "expert_batch": 20,
    },
    "unrolled": {"network": "mlp-w16", "real_batch": 16, "inner_steps": 3, "inner_batch": 2},
    "images": {"storage": "float32"},  # bytes would round small differences away
    "memory": {"storage": "float32", "bases": 4, "downsample": 2},
}
#: What a knob asks of the others to be of any effect.
CONDITIONS: dict[tuple[str, str], dict[str, Any]] = {
    **{(kind, "momentum"): {"optimiser": "sgd"} for kind in CATALOG["objectives"]},
    ("kernel", "bandwidth"): {"kernel": "gaussian"},
    **{("gradient", f"network_{name}"): {"matchings": 3} for name in ("steps", "learning_rate", "momentum")},
}
#: Values that make a difference where one less or half would not.
OTHER: dict[str, Any] = {"network": "mlp-w8", "clip": 1e-3, "ema": 0.5}
#: Another way to the same result.
SAME_RESULT = {("unrolled", "reverse"), ("trajectory", "expert_epochs")}
#: Of no effect on a parametrization that holds a fixed set, as each of this version does.
UNFIXED_ONLY = {("kernel", "drawn_batch")}

SCHEMAS = {kind: declared["schema"]["properties"] for table in TABLES for kind, declared in CATALOG[table].items()}
KNOBS = [(kind, name) for kind, properties in SCHEMAS.items() for name in properties]


def distilled(**slots: Any) -> bytes:
    """The file that three steps come to: of images with a Gaussian kernel, where nothing else is said."""
    whole: dict[str, Any] = {
        "dataset": "toy",
        "ipc": 2,
        "steps": 3,
        "parametrization": {"kind": "images", **BASE["images"]},
        "objective": {"kind": "kernel", "kernel": "gaussian"},
        **slots,
    }
    finished = list(run(expand(whole, CATALOG), toy_data(), code_version="test"))[-1]
    assert isinstance(finished, Finished)
    return finished.content


def differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether the stored tensors are others: the header names the recipe, so the files always are."""
    if {name: value.dtype for name, value in one.items()} != {name: value.dtype for name, value in other.items()}:
        return True
    return any(not torch.equal(one[name], other[name]) for name in one)


def made(kind: str, **options: Any) -> dict[str, torch.Tensor]:
    """The tensors of a run with these options of an objective or a parametrization."""
    slot = "objective" if kind in CATALOG["objectives"] else "parametrization"
    return load(distilled(**{slot: {"kind": kind, **BASE.get(kind, {}), **options}}))


@cache
def unturned(kind: str, name: str) -> dict[str, torch.Tensor]:
    """The run that a turn of the knob is held against. Most knobs have it in common."""
    return made(kind, **CONDITIONS.get((kind, name), {}))


def turned(kind: str, name: str) -> list[Any]:
    """Other values of a knob: all other choices, or a smaller number (a larger one where that is out of bounds)."""
    declared = SCHEMAS[kind][name]
    value = (BASE.get(kind, {}) | CONDITIONS.get((kind, name), {})).get(name, declared["default"])
    if "enum" in declared:
        return [choice for choice in declared["enum"] if choice != value]
    if name in OTHER:
        return [OTHER[name]]
    tries = [value - 1, value + 1] if declared["type"] == "integer" else [value / 2, value + 0.5]
    return [next(one for one in tries if one != value and check(one, declared)[1] is None)]


@pytest.mark.parametrize(("kind", "name"), KNOBS, ids=[f"{kind}-{name}" for kind, name in KNOBS])
def test_turning_a_knob_changes_the_result(kind: str, name: str) -> None:
    values = turned(kind, name)
    assert values
    before = unturned(kind, name if (kind, name) in CONDITIONS else "")
    for value in values:
        after = made(kind, **{**CONDITIONS.get((kind, name), {}), name: value})
        if (kind, name) in SAME_RESULT:
            for key, tensor in before.items():
                torch.testing.assert_close(after[key], tensor, rtol=0, atol=1e-4)
        else:
            changed = (kind, name) not in UNFIXED_ONLY
            assert differ(before, after) == changed, f"{name}: {value!r} changes nothing, or what it should not"


@pytest.mark.parametrize("kind", list(CATALOG["parametrizations"]))
def test_every_parametrization_holds_a_fixed_set(kind: str) -> None:
    content = distilled(parametrization={"kind": kind, **BASE.get(kind, {})})
    held = open_artifact(content).parametrization.per_class
    assert held is not None, f"the knobs of UNFIXED_ONLY have an effect on {kind}: test it"


def test_each_start_is_another() -> None:
    # Batches and their knobs: tests/unit/laboratory/test_importance.py, as is the start that names another.
    assert list(CATALOG["selections"]["batches"]) == ["random", "importance"], "test each choice of batches, too"
    names = [name for name in CATALOG["selections"]["start"] if name != "importance"]
    runs = [load(distilled(selection={"start": name})) for name in names]
    for i, one in enumerate(runs):
        assert all(differ(one, other) for other in runs[:i])


def test_nothing_is_exempt_that_is_no_knob() -> None:
    assert (set(CONDITIONS) | SAME_RESULT | UNFIXED_ONLY) <= set(KNOBS)
    assert set(OTHER) <= {name for _, name in KNOBS}
    assert set(BASE) <= set(SCHEMAS)
