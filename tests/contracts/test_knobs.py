"""Every knob of the catalog says what it does and does something: turned alone, it makes other tensors.

New knobs are found by themselves. One that works under a condition only gets a line in CONDITIONS, one whose next value
would make no difference a line in OTHER.
"""

from functools import cache
from typing import Any

import pytest
import torch
from safetensors.torch import load

from distilled.knobs import check
from distilled.recipe import expand
from tests.unit.laboratory.toys import toy_data
from workers.distill import catalog
from workers.distill.events import Finished
from workers.distill.loop import run

CATALOG = catalog.build()
TABLES = ("objectives", "parametrizations", "penalties")
#: Small, and such that one less or half of it is another thing: a knob that is not named here stands at its default.
BASE: dict[str, dict[str, Any]] = {
    "distribution": {"network": "mlp-w16", "real_batch": 8, "drawn_batch": 2},
    "gradient": {"network": "mlp-w16", "real_batch": 8, "drawn_batch": 2, "network_steps": 2},
    "kernel": {"network": "mlp-w16", "real_batch": 16, "pool_size": 1, "pool_steps": 2, "ridge": 1e-2},
    "logits": {
        "network": "mlp-w16",
        "batch": 8,
        "pool_size": 1,
        "network_life": 2,
        "network_steps": 2,
        "network_batch": 8,
        "discriminator_width": 4,
        "warmup_steps": 2,
        "warmup_batch": 8,
    },
    "statistics": {"network": "convnet1-w8-batch", "drawn_batch": 2, "teacher_epochs": 2, "teacher_batch": 20},
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
    "architecture_invariance": {
        "networks": "convnet2-w4,convnet1-w4-batch",
        "batch": 2,
        "teacher_epochs": 2,
        "teacher_batch": 20,
    },
    "images": {"storage": "float32"},  # bytes would round small differences away
    "memory": {"storage": "float32", "bases": 4, "downsample": 2},
    "generator": {"width": 4, "latent": 6},
}
#: What a knob asks of the others to be of any effect.
CONDITIONS: dict[tuple[str, str], dict[str, Any]] = {
    **{(kind, "momentum"): {"optimiser": "sgd"} for kind in CATALOG["objectives"]},
    ("kernel", "bandwidth"): {"kernel": "gaussian"},
    **{("gradient", f"network_{name}"): {"matchings": 3} for name in ("steps", "learning_rate", "momentum")},
}
#: What a knob, or a kind for all of its knobs, asks of the other slot.
BESIDE: dict[str | tuple[str, str], dict[str, Any]] = (
    {
        "logits": {"parametrization": {"kind": "generator", **BASE["generator"]}},
    }
    | {
        ("statistics", name): {"parametrization": {"kind": "images", **BASE["images"], "labels": "soft"}}
        for name in ("relabel", "temperature")
    }
    | {("kernel", "drawn_batch"): {"parametrization": {"kind": "generator", **BASE["generator"]}}}
)
#: Values that make a difference where one less or half would not, of all kinds or of one.
OTHER: dict[str | tuple[str, str], Any] = {
    "network": "mlp-w8",
    ("statistics", "network"): "convnet1-w4-batch",
    ("architecture_invariance", "networks"): "convnet2-w4,resnet10-w4",
    ("architecture_invariance", "backbone"): "convnet1-w4-batch",
    "clip": 1e-3,
    "ema": 0.5,
}
#: Another way to the same result.
SAME_RESULT = {("unrolled", "reverse"), ("trajectory", "expert_epochs")}

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


def made(kind: str, *, beside: dict[str, Any], **options: Any) -> dict[str, torch.Tensor]:
    """The tensors of a run with these options of a kind of any table, and the other slot `beside`."""
    if kind in CATALOG["penalties"]:
        return load(distilled(**beside, penalties=[{"kind": kind, **BASE[kind], **options}]))
    slot = "objective" if kind in CATALOG["objectives"] else "parametrization"
    return load(distilled(**beside, **{slot: {"kind": kind, **BASE.get(kind, {}), **options}}))


@cache
def unturned(kind: str, name: str) -> dict[str, torch.Tensor]:
    """The run that a turn of the knob is held against. Most knobs have it in common."""
    return made(kind, beside=beside(kind, name), **CONDITIONS.get((kind, name), {}))


def beside(kind: str, name: str) -> dict[str, Any]:
    return BESIDE.get((kind, name)) or BESIDE.get(kind, {})


def turned(kind: str, name: str) -> list[Any]:
    """Other values of a knob: all other choices, or a smaller number (a larger one where that is out of bounds)."""
    declared = SCHEMAS[kind][name]
    value = (BASE.get(kind, {}) | CONDITIONS.get((kind, name), {})).get(name, declared["default"])
    if "enum" in declared:
        return [choice for choice in declared["enum"] if choice != value]
    for known in ((kind, name), name):
        if known in OTHER:
            return [OTHER[known]]
    tries = [value - 1, value + 1] if declared["type"] == "integer" else [value / 2, value + 0.5]
    return [next(one for one in tries if one != value and check(one, declared)[1] is None)]


@pytest.mark.parametrize(("kind", "name"), KNOBS, ids=[f"{kind}-{name}" for kind, name in KNOBS])
def test_turning_a_knob_changes_the_result(kind: str, name: str) -> None:
    values = turned(kind, name)
    assert values
    before = unturned(kind, name if (kind, name) in {*CONDITIONS, *BESIDE} else "")
    for value in values:
        options = {**CONDITIONS.get((kind, name), {}), name: value}
        after = made(kind, beside=beside(kind, name), **options)
        if (kind, name) in SAME_RESULT:
            for key, tensor in before.items():
                torch.testing.assert_close(after[key], tensor, rtol=0, atol=1e-4)
        else:
            assert differ(before, after), f"{name}: {value!r} changes nothing"


def test_each_start_is_another() -> None:
    # Batches and their knobs: tests/unit/laboratory/test_importance.py, as is the start that names another.
    assert list(CATALOG["selections"]["batches"]) == ["random", "importance"], "test each choice of batches, too"
    names = [name for name in CATALOG["selections"]["start"] if name != "importance"]
    runs = [load(distilled(selection={"start": name})) for name in names]
    for i, one in enumerate(runs):
        assert all(differ(one, other) for other in runs[:i])


def test_nothing_is_exempt_that_is_no_knob() -> None:
    assert (set(CONDITIONS) | set(BESIDE) | SAME_RESULT) <= {*KNOBS, *SCHEMAS}
    assert set(OTHER) <= {name for _, name in KNOBS} | set(KNOBS)
    assert set(BASE) <= set(SCHEMAS)
