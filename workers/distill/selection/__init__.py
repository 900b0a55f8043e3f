"""Which real images a run starts from, and which each step sees.

A start is a function (real, per_class, rng) -> pixels_NCHW in [0, 1], `per_class` images of each class, class after
class. A new one is one file and one line here.
"""

from collections.abc import Callable
from importlib import import_module

from torch import Tensor

from workers.distill.data import RealData
from workers.distill.rng import Rng

#: name -> ("module:function", one sentence)
STARTS = {
    "random": ("workers.distill.selection.random:start", "random real images of each class"),
    "centroid": ("workers.distill.selection.centroid:start", "centres of k-means clusters of each class, in pixels"),
    "herding": (
        "workers.distill.selection.herding:start",
        "real images whose mean follows the class mean (Welling 2009), in pixels",
    ),
}
#: name -> one sentence
BATCHES = {"random": "uniform batches of real images"}

Start = Callable[[RealData, int, Rng], Tensor]


def start(name: str) -> Start:
    """The start selection of this name."""
    module, function = STARTS[name][0].split(":")
    return getattr(import_module(module), function)
