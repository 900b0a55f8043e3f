"""What a recipe takes of a device's memory, and which of its knobs to lower for less: arithmetic on the recipe alone.

Feature maps are most of it. How many values a network keeps of an image for its backward pass was counted at 32 x 32
pixels with saved-tensor hooks; they go with the width, and weights with its square. A gradient of a gradient keeps
about three times as much, and a pass that keeps no graph the two largest maps. Good to within a factor of three
(`tests/numerics/test_device_memory.py`).
"""
# C channels, H height, W width, K classes; "held" is how many images of a class the budget comes to.

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from distilled.recipe import network_names

Recipe = Mapping[str, Any]

#: What the process takes with torch in it, or on a GPU its context, in bytes.
PROCESS_BYTES = 600 * 2**20
FLOAT_BYTES = 4
#: Of a gradient of a gradient, over a plain backward pass.
TWICE = 3.0
#: Of real images on their way: as they were drawn, augmented, and what an operation makes of them.
COPIES = 4
#: What is learnt, over what is stored: 32 bits for 8, and beside each value its gradient and two moments.
LEARNT = 16


@dataclass(frozen=True, kw_only=True)
class Family:
    """`values` that are kept of each pixel and `weights` of the whole network, both at its usual `width`; `depth` for
    families whose name tells it.
    """

    pattern: str
    width: int
    values: float
    weights: float
    depth: int = 0


FAMILIES = (
    Family(pattern=r"convnet(?P<depth>\d)(?:-w(?P<width>\d+))?", width=128, values=382, weights=320e3),
    Family(pattern=r"resnet10(?:-w(?P<width>\d+))?", width=64, values=701, weights=4.9e6),
    Family(pattern=r"resnet18(?:-w(?P<width>\d+))?", width=64, values=1185, weights=11.2e6),
    Family(pattern=r"vgg11(?:-w(?P<width>\d+))?", width=64, values=396, weights=9.2e6),
    Family(pattern=r"alexnet(?:-w(?P<width>\d+))?", width=64, values=360, weights=1.9e6),
    Family(pattern=r"vit_tiny(?:-d(?P<depth>\d+))?", width=1, values=2812, weights=5.4e6, depth=12),
    Family(pattern=r"mlp(?:-w(?P<width>\d+))?", width=128, values=3.25, weights=411e3),
)


@dataclass(frozen=True, kw_only=True)
class Term:
    """A part of the peak, and the knob that it goes with."""

    num_bytes: float
    knob: str


def estimate(recipe: Recipe, facts: Mapping[str, Any], *, ipc: int, stored_bytes: int, slices: int = 1) -> int:
    """Bytes of a device's memory that an expanded recipe takes at its peak, or of the process on a CPU.

    facts: `shape` [C, H, W], `classes` and `train_counts` of the data. ipc: images per class that its budget comes to.
    stored_bytes: of the artifact's tensors.
    """
    data = sum(facts["train_counts"]) * prod(facts["shape"])
    step = max((term.num_bytes for term in terms(recipe, facts, ipc=ipc, slices=slices)), default=0.0)
    return round(PROCESS_BYTES + data + LEARNT * stored_bytes + step)


def terms(recipe: Recipe, facts: Mapping[str, Any], *, ipc: int, slices: int = 1) -> list[Term]:
    """The peaks of a step: the largest counts, since what one holds is gone before the next begins."""
    objective, classes = recipe["objective"], len(facts["classes"])
    shape = facts["shape"]
    pixels = prod(shape[1:]) if tuple(shape) != (1, 28, 28) else 32 * 32
    graph, weights = _network(objective, pixels)
    bare = graph / 2  # without a graph: the two largest maps and what is between

    def size(name: str, default: int = 0) -> int:
        return int(objective.get(name) or default)

    def held(name: str) -> int:
        return classes * min(ipc, size(name, ipc))

    raw = COPIES * prod(shape) * FLOAT_BYTES
    match objective["kind"]:
        case "distribution":
            real = classes * size("real_batch")
            found = {"real_batch": real * (raw + bare / slices), "drawn_batch": held("drawn_batch") * graph}
        case "gradient":
            real = size("real_batch")
            found = {
                "real_batch": real * (raw + graph / slices),
                "drawn_batch": held("drawn_batch") / classes * graph * TWICE,
            }
        case "kernel":
            pool = size("pool_size") * 3 * weights
            support = classes * ipc
            found = {"real_batch": pool + support * graph + size("real_batch") * (raw + bare / slices)}
        case "trajectory":
            path = size("synthetic_steps") * weights
            found = {
                "inner_batch": path + held("inner_batch") * graph * TWICE,
                "expert_batch": size("expert_batch") * (raw + graph),
            }
        case "unrolled":
            nets = size("networks", 1)
            unrolled = size("inner_steps") if objective.get("reverse") == "graph" else 1
            path = nets * size("inner_steps") * weights
            found = {
                "inner_batch": path + nets * held("inner_batch") * graph * TWICE * unrolled,
                "real_batch": path + nets * size("real_batch") * (raw + graph / slices),
            }
        case "statistics":
            found = {"drawn_batch": held("drawn_batch") * (raw + graph), "teacher_batch": size("teacher_batch") * graph}
        case _:
            judge = 2 * size("discriminator_width") * pixels * FLOAT_BYTES * TWICE  # its penalty is a gradient's
            pool = size("pool_size", 1) * 3 * weights
            found = {
                "batch": pool + size("batch") * (2 * graph + judge),
                "network_batch": pool + size("network_batch") * graph,
                "warmup_batch": size("warmup_batch") * judge,
            }
    return [Term(num_bytes=num_bytes, knob=f"objective.{name}") for name, num_bytes in found.items()]


def knobs(recipe: Recipe) -> list[tuple[str, Any]]:
    """What to lower for less memory, with what it is now, such as ("objective.real_batch", 256)."""
    objective: Mapping[str, Any] = recipe.get("objective") or {}
    named = ("real_batch", "drawn_batch", "inner_batch", "batch", "networks", "expert_batch", "teacher_batch")
    return [(f"objective.{name}", objective[name]) for name in named if objective.get(name)]


def _network(objective: Mapping[str, Any], pixels: int) -> tuple[float, float]:
    """Bytes that the largest of an objective's networks keeps of an image, and bytes of its weights."""
    found = [_sizes(name) for name in network_names(objective.get("network") or "convnet3")]
    values, weights = max(values for values, _ in found), max(weights for _, weights in found)
    return values * pixels * FLOAT_BYTES, weights * FLOAT_BYTES


def _sizes(network: str) -> tuple[float, float]:
    for family in FAMILIES:
        told = re.match(family.pattern + "(?:-|$)", network)
        if told:
            given = told.groupdict()
            wider = int(given.get("width") or family.width) / family.width
            deeper = int(given.get("depth") or family.depth) / family.depth if family.depth else 1.0
            return family.values * wider * deeper, family.weights * wider**2 * deeper
    return _sizes("convnet3")
