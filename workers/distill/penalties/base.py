"""What a penalty is: a term that is added to any objective's loss and looks at synthetic images of its own drawing."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

from torch import Tensor

from distilled.knobs import knob
from distilled.parametrizations.base import ImageSpace
from workers.distill.batches import Draw, RealBatches
from workers.distill.events import Preparing
from workers.distill.rng import Rng
from workers.distill.shelf import Shelf

#: kind -> "module:Class"; the classes are imported on use.
PENALTIES = {
    "architecture_invariance": "workers.distill.penalties.architecture_invariance:ArchitectureInvariance",
}


@dataclass(frozen=True, kw_only=True)
class PenaltyConfig:
    """The knob that every penalty has."""

    weight: float = knob(1.0, "what the whole penalty is multiplied by", ge=0, le=1e6)


class Penalty:
    """One way to say what synthetic data should be besides good for the objective.

    A penalty draws its own images, because objectives differ in what they draw and when they let go of it. It keeps no
    state from step to step: a resumed run makes it anew in `prepare`.
    """

    kind: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]  # paper and equation
    #: Where it was published: title, authors, venue, year, url.
    paper: ClassVar[dict[str, Any]]
    Config: ClassVar[type[PenaltyConfig]]

    def __init__(self, config: Any, *, space: ImageSpace, device: str, network: str | None) -> None:
        """`network`: the name of the network that the objective distils with; None where it has none."""
        self.config = config
        self.space = space
        self.device = device
        self.network = network
        self.metrics: dict[str, float] = {}  # of the last step, for the recorded series

    def prepare(self, real: RealBatches, *, shelf: Shelf) -> Iterator[Preparing]:
        """Make what must exist before the first step, as an objective's `prepare` does; on a resumed run too."""
        yield from ()

    def loss(self, draw: Draw, *, rng: Rng) -> Tensor:
        """The scalar that is added to the objective's, its `weight` in it; `rng` is this penalty's at this step."""
        raise NotImplementedError


def penalty_class(kind: str) -> type[Penalty]:
    """The class behind a kind in the table above."""
    module, name = PENALTIES[kind].split(":")
    return getattr(import_module(module), name)
