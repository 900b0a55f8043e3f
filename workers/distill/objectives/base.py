"""What an objective is: a loss over synthetic and real images, and the few hooks around it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Literal

from torch import Tensor

from distilled.knobs import knob
from distilled.parametrizations.base import ImageSpace, Parametrization
from workers.distill.batches import Draw, RealBatches
from workers.distill.events import Preparing
from workers.distill.rng import Rng
from workers.distill.shelf import Shelf

#: kind -> "module:Class"; the classes are imported on use.
OBJECTIVES = {
    "distribution": "workers.distill.objectives.distribution:DistributionMatching",
    "gradient": "workers.distill.objectives.gradient:GradientMatching",
    "kernel": "workers.distill.objectives.kernel:KernelRegression",
    "logits": "workers.distill.objectives.logits:LogitMatching",
    "statistics": "workers.distill.objectives.statistics:StatisticsMatching",
    "trajectory": "workers.distill.objectives.trajectory:TrajectoryMatching",
    "unrolled": "workers.distill.objectives.unrolled:Unrolled",
}


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """The outer optimiser's knobs, which every objective has."""

    optimiser: str = knob("adam", "optimiser of the synthetic parameters", choices=("adam", "sgd"))
    learning_rate: float = knob(0.01, "learning rate of the synthetic parameters", gt=0, le=1000)
    momentum: float = knob(0.5, "momentum of `sgd`; unused by `adam`", ge=0, lt=1)
    schedule: str = knob(
        "constant", "learning rate over the run: as it is, or falling to 0 on a cosine", choices=("constant", "cosine")
    )
    clip: float = knob(0.0, "largest norm of a step's whole gradient; 0 does not clip", ge=0, le=1e6)
    ema: float = knob(
        0.0, "decay of the running average of the synthetic parameters that is stored; 0 stores the last", ge=0, lt=1
    )


class Objective:
    """One way to say what makes synthetic data good. Only `loss` is required."""

    kind: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]  # paper and equation
    Config: ClassVar[type[OptimiserConfig]]
    #: Where batches by importance learn what a real image costs: the objective's `own` losses, told to `real.observe`
    #: at each step, or a `probe`, a training of `config.network`. None where the loss leaves weights out of account.
    real_losses: ClassVar[Literal["own", "probe"] | None] = None
    #: Whether its option `network` may name several, separated by commas.
    several_networks: ClassVar[bool] = False
    #: Whether its real batches can be taken in parts that come to the same sum (but for the last bits of floats).
    sliceable: ClassVar[bool] = False

    def __init__(self, config: Any, *, space: ImageSpace, device: str, rng: Rng) -> None:
        self.config = config
        self.space = space
        self.device = device
        self.rng = rng
        self.slices = 1  # parts that a real batch is taken in where it is `sliceable`, to need less memory at a time
        self.metrics: dict[str, float] = {}  # of the last step, for the recorded series

    @property
    def network(self) -> str | None:
        """The name of the network that it distils with, or several with commas between; None where it has none."""
        return getattr(self.config, "network", None)

    def prepare(self, real: RealBatches, *, parametrization: Parametrization, shelf: Shelf) -> Iterator[Preparing]:
        """Make what must exist before the first step (experts, teachers); called on a resumed run too.

        It may bring the `parametrization` to where the run shall begin (a warm-up); a resumed run then puts the
        snapshot's parameters in their place.

        What takes long is told as it goes, and kept on the shelf as soon as it is there: an attempt that is killed
        goes on behind it, and a later run finds it.
        """
        yield from ()

    def make(self, key: str, real: RealBatches, *, shelf: Shelf) -> Iterator[Preparing]:
        """Make and shelve one of the resources that `prepare` shares with other runs (`shelf.turns`)."""
        raise NotImplementedError

    def loss(self, draw: Draw, real: RealBatches, *, rng: Rng) -> Tensor:
        """The scalar to minimise at this step; `rng` is this step's own."""
        raise NotImplementedError

    def after_step(self, draw: Draw, real: RealBatches, *, rng: Rng) -> None:
        """What changes with the new parameters (a pool of networks, a discriminator)."""

    def finish(self, parametrization: Parametrization) -> None:
        """A last change to the result (new labels, a choice among the images)."""

    def tensors(self) -> dict[str, Tensor]:
        """What of the objective's own state a snapshot must keep, by name."""
        return {}

    def state(self) -> dict[str, Any]:
        """The same for JSON values."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """The inverse of `tensors` and `state`."""


def objective_class(kind: str) -> type[Objective]:
    """The class behind a kind in the table above."""
    module, name = OBJECTIVES[kind].split(":")
    return getattr(import_module(module), name)
