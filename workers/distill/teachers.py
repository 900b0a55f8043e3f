"""Teachers: networks trained on the real images, frozen, that tell a run what synthetic images look like to them.

A teacher follows from the data and from how it was trained, and from nothing of the job that first needed it: jobs of
any seed, objective and penalty share the same ones. Running statistics of batch normalisations are part of it.
"""
# Shapes: N images, C channels, H height, W width, K classes.

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from distilled.knobs import knob
from distilled.manifest import digest_json
from distilled.parametrizations.base import ImageSpace
from workers.distill import networks, schooling
from workers.distill import optimiser as optimisers
from workers.distill.augment import CHOICES
from workers.distill.batches import RealBatches
from workers.distill.errors import NotFinite
from workers.distill.events import Preparing
from workers.distill.networks.base import Network
from workers.distill.rng import Rng
from workers.distill.shelf import Shelf
from workers.distill.snapshots import below

#: Counts up when teachers come out otherwise than before, so that none made under other rules is taken for ours.
RULES = 1
#: A teacher in training is kept so often on its way at most, at the ends of epochs: an attempt that dies goes on there.
STOPS = 10
TRAINING, LOADING = "training teachers (epochs)", "loading teachers"


@dataclass(frozen=True, kw_only=True)
class TeacherTraining:
    """How teachers are trained: SGD on randomly ordered batches, cross-entropy, the rate on half a cosine to 0."""

    epochs: int
    batch: int
    learning_rate: float
    momentum: float
    weight_decay: float
    augment: str
    seed: int

    def rate(self, epoch: int) -> float:
        """The learning rate of epoch 0..epochs-1."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))


@dataclass(frozen=True, kw_only=True)
class TeacherKnobs:
    """The options of whatever has teachers, for a config to derive from."""

    teacher_epochs: int = knob(50, "training of each teacher on the real images", unit="epochs", ge=1, le=2000)
    teacher_batch: int = knob(128, "real images of a step of a teacher", unit="images", ge=1, le=65536)
    teacher_learning_rate: float = knob(
        0.05, "learning rate of the teachers' SGD at the start; it falls to 0 on a cosine", gt=0, le=10
    )
    teacher_momentum: float = knob(0.9, "momentum of the teachers' training", ge=0, lt=1)
    teacher_weight_decay: float = knob(5e-4, "weight decay of the teachers' training", ge=0, le=1)
    teacher_augment: str = knob("dsa", "augmentation of the teachers' images", choices=CHOICES)
    teacher_seed: int = knob(
        0, "seed of the teachers; jobs that agree on all of `teacher_*` share them", ge=0, le=2**53 - 1
    )

    def teacher_training(self) -> TeacherTraining:
        return TeacherTraining(
            epochs=self.teacher_epochs,
            batch=self.teacher_batch,
            learning_rate=self.teacher_learning_rate,
            momentum=self.teacher_momentum,
            weight_decay=self.teacher_weight_decay,
            augment=self.teacher_augment,
            seed=self.teacher_seed,
        )


class Teachers:
    """One teacher for each of `networks`, in their order; a name that comes again is trained from another start.

    slot: the part of the recipe that has the knobs (`objective`), to be named where one of them is at fault.
    """

    def __init__(
        self,
        training: TeacherTraining,
        *,
        networks: Sequence[str],
        space: ImageSpace,
        device: str,
        slot: str = "objective",
    ) -> None:
        self.training, self.networks, self.slot = training, tuple(networks), slot
        self.space, self.device = space, device
        self.nets: list[Network] = []  # frozen, in evaluation mode
        self.accuracies: list[float] = []  # of each, on the real images as it saw them in its last epoch; 0..1

    def prepare(self, real: RealBatches, *, shelf: Shelf) -> Iterator[Preparing]:
        """Take the teachers from the shelf; train those that are not there, and put each there as soon as it is ready.

        Raises NotFinite where the training of one leaves the finite numbers.
        """
        for i, name in enumerate(self.networks):
            key = self.key(i, real)
            held = shelf.load(key)
            if held is None:
                held = yield from self._trained(i, real, shelf=shelf)
                shelf.save(key, held)
                shelf.save(self.key(i, real, unfinished=True), {})  # what lay there is of no use any more
            else:
                yield Preparing(what=LOADING, done=i + 1, total=len(self.networks))
            net = self._fresh(name, rng=Rng(0))
            net.load_state_dict(below("net/", held))
            self.nets.append(net.to(self.device).eval().requires_grad_(False))
            self.accuracies.append(held["accuracy"].item())

    def key(self, i: int, real: RealBatches, *, unfinished: bool = False) -> str:
        """What teacher i lies under, or lies under while `unfinished`: sha256 (hex) of all that it follows from."""
        origin = {
            "rules": RULES,
            "teacher": self.networks[i],
            "repetition": self._repetition(i),
            "unfinished": unfinished,
            "training": asdict(self.training),
            "dataset": real.digest,
            "space": self.space.to_json(),
            "classes": list(self.space.classes),
            "device_kind": torch.device(self.device).type,
        }
        return digest_json(origin)

    def _repetition(self, i: int) -> int:
        return self.networks[:i].count(self.networks[i])

    def _fresh(self, name: str, *, rng: Rng) -> Network:
        return networks.make(
            name, space_shape=self.space.shape, num_classes=self.space.num_classes, rng=rng.generator()
        )

    def _trained(self, i: int, real: RealBatches, *, shelf: Shelf) -> Generator[Preparing, None, dict[str, Tensor]]:
        """Train teacher i, from where an earlier attempt left it; returns its state and its accuracy."""
        training, name = self.training, self.networks[i]
        rng = Rng(training.seed).child("teacher", name, self._repetition(i))
        net = self._fresh(name, rng=rng.child("network")).to(self.device).train()
        optimiser = torch.optim.SGD(
            net.parameters(), lr=training.learning_rate, momentum=training.momentum, weight_decay=training.weight_decay
        )
        stop = self.key(i, real, unfinished=True)
        first, accuracy = _resume(shelf.load(stop), net, optimiser), torch.zeros(())
        told = i * training.epochs, len(self.networks) * training.epochs
        for epoch in range(first, training.epochs):
            for group in optimiser.param_groups:
                group["lr"] = training.rate(epoch)
            right, seen = torch.zeros((), dtype=torch.int64, device=self.device), 0
            steps = schooling.epoch(
                net, optimiser, real, batch=training.batch, how=training.augment, rng=rng, number=epoch
            )
            for right_of_step, count in steps:
                right, seen = right + right_of_step, seen + count
                yield Preparing(what=TRAINING, done=told[0] + epoch, total=told[1])
            accuracy = right.double() / seen
            self._check(net, i, epoch)
            if (epoch + 1) % math.ceil(training.epochs / STOPS) == 0 and epoch + 1 < training.epochs:
                shelf.save(stop, _kept(net, optimiser, done=epoch + 1))
        yield Preparing(what=TRAINING, done=told[0] + training.epochs, total=told[1])
        return {"accuracy": accuracy, **{f"net/{key}": value for key, value in net.state_dict().items()}}

    def _check(self, net: Network, i: int, epoch: int) -> None:
        if not all(value.isfinite().all() for value in net.state_dict().values()):
            raise NotFinite(
                f"teacher {i + 1} of {len(self.networks)} (`{self.networks[i]}`) left the finite numbers in epoch "
                f"{epoch + 1}; lower `{self.slot}.teacher_learning_rate`"
            )


def _kept(net: Network, optimiser: torch.optim.Optimizer, *, done: int) -> dict[str, Tensor]:
    """A teacher on its way, after so many epochs."""
    state = {f"net/{name}": value for name, value in net.state_dict().items()}
    state |= {f"optimiser/{name}": value for name, value in optimisers.tensors(optimiser).items()}
    return {"done": torch.tensor(done), **state}


def _resume(kept: Mapping[str, Tensor] | None, net: Network, optimiser: torch.optim.Optimizer) -> int:
    """Go on from what an earlier attempt left, if it did: the epochs that are done."""
    if not kept:
        return 0
    net.load_state_dict(below("net/", kept))
    optimisers.restore(optimiser, below("optimiser/", kept))
    return int(kept["done"])
