"""Which real images a run starts from, and which each step sees.

A start is a function (real, per_class, rng) -> pixels_NCHW in [0, 1], `per_class` images of each class, class after
class. A new one is one file and one line here; so is a sampler, a class derived from `Uniform`.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from torch import Tensor

from distilled import knobs
from workers.distill.batches import Uniform
from workers.distill.data import RealData
from workers.distill.probe import Probe
from workers.distill.rng import Rng

#: name -> ("module:function", one sentence)
STARTS = {
    "random": ("workers.distill.selection.random:start", "random real images of each class"),
    "centroid": ("workers.distill.selection.centroid:start", "centres of k-means clusters of each class, in pixels"),
    "herding": (
        "workers.distill.selection.herding:start",
        "real images whose mean follows the class mean (Welling 2009), in pixels",
    ),
    "leverage": (
        "workers.distill.selection.leverage:start",
        "real images drawn by ridge leverage, what they add to a kernel regression on all images (Gaussian, on pixels)",
    ),
    "sensitivity": (
        "workers.distill.selection.sensitivity:start",
        "real images drawn by k-means sensitivity, what they may add to a clustering of their class, in pixels",
    ),
    "importance": (
        "workers.distill.selection.sensitivity:start",
        "`leverage` for the objective `kernel`, `sensitivity` for the rest",
    ),
}
#: (start, kind of objective) -> the start that it means there, where that is another than its line above says.
MEANT = {("importance", "kernel"): "leverage"}
#: name -> ("module:class", one sentence); the class's Config holds its options
BATCHES = {
    "random": ("workers.distill.batches:Uniform", "uniform batches of real images"),
    "importance": (
        "workers.distill.selection.importance:Importance",
        "images of a high present loss more often, with weights that keep the mean unbiased",
    ),
}

Start = Callable[[RealData, int, Rng], Tensor]


def start(name: str, *, objective: str | None = None) -> Start:
    """The start selection of this name, for this kind of objective."""
    return _found(STARTS[MEANT.get((name, objective or ""), name)][0])


def batches_config(name: str) -> type:
    """The options of batches of this name."""
    return _found(BATCHES[name][0]).Config


def sampler(options: Mapping[str, Any], real: RealData, *, device: str, probe: Probe | None) -> Uniform:
    """What draws the batches of a recipe's `selection`. probe: what finds losses where the objective tells none."""
    kind = _found(BATCHES[options["batches"]][0])
    chosen = {name: value for name, value in options.items() if name not in ("start", "batches")}
    return kind(real, knobs.build(kind.Config, chosen, pointer="/selection"), device=device, probe=probe)


def _found(where: str) -> Any:
    module, name = where.split(":")
    return getattr(import_module(module), name)
