"""Expert trajectories: the weights of networks trained on real images, epoch by epoch (MTT, section 3.1).

An expert follows from the data and from how it was trained, and from nothing of the job that first needed it: jobs of
any seed share the same ones.
"""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from distilled.manifest import digest_json
from distilled.parametrizations.base import ImageSpace
from workers.distill import networks, schooling
from workers.distill.batches import RealBatches
from workers.distill.errors import NotFinite
from workers.distill.events import Preparing
from workers.distill.networks.base import SideBySide
from workers.distill.rng import Rng
from workers.distill.shelf import Shelf, turns
from workers.distill.snapshots import below

#: Counts up when experts come out otherwise than before, so that none made under other rules is taken for ours.
RULES = 1
TRAINING = "training experts"
LOADING = "loading experts"


@dataclass(frozen=True, kw_only=True)
class Training:
    """How experts are trained: plain SGD with a constant rate on randomly ordered batches, cross-entropy."""

    network: str
    epochs: int
    batch: int
    learning_rate: float
    momentum: float
    augment: str
    seed: int


class Experts:
    """`count` experts, of which the weights at epochs 0 to `last_epoch` are held (on the CPU)."""

    def __init__(self, training: Training, *, count: int, last_epoch: int, space: ImageSpace, device: str) -> None:
        self.training, self.count, self.last_epoch = training, count, last_epoch
        self.space, self.device = space, device
        self._paths: list[dict[str, Tensor]] = []

    def prepare(self, real: RealBatches, *, shelf: Shelf) -> Iterator[Preparing]:
        """Take the experts from the shelf; train those that are not there, and put each there as soon as it is ready.

        Others may train some of them meanwhile. Raises NotFinite where the training of one leaves the finite numbers.
        """
        keys = [self.key(i, real) for i in range(self.count)]
        held: dict[int, dict[str, Tensor]] = {}
        for i in range(self.count):
            if self._took(i, shelf.load(keys[i]), held):
                yield Preparing(what=LOADING, done=len(held), total=self.count)
        missing, loaded = [i for i in range(self.count) if i not in held], len(held)
        with closing(turns(shelf, [keys[i] for i in missing])) as mine:
            for place, made in mine:
                yield Preparing(what=TRAINING, done=loaded + made, total=self.count)
                if place is not None:
                    i = missing[place]
                    path = yield from self._trained(i, real, done=loaded + made)
                    shelf.save(keys[i], path)
                    self._took(i, path, held)
        for i in missing:
            # Made elsewhere, or said to be: what has not come to lie there is made here.
            if i not in held and not self._took(i, shelf.load(keys[i]), held):
                path = yield from self._trained(i, real, done=len(held))
                shelf.save(keys[i], path)
                self._took(i, path, held)
        if missing:
            yield Preparing(what=TRAINING, done=self.count, total=self.count)
        self._paths = [held[i] for i in range(self.count)]

    def make(self, key: str, real: RealBatches, *, shelf: Shelf) -> Iterator[Preparing]:
        """Train the one expert that belongs under this key, for a run elsewhere. Raises NotFinite, ValueError."""
        i = [self.key(i, real) for i in range(self.count)].index(key)
        shelf.save(key, (yield from self._trained(i, real, done=0)))

    def _took(self, i: int, path: Mapping[str, Tensor] | None, held: dict[int, dict[str, Tensor]]) -> bool:
        """Keep of an expert what is matched. False: it is not there."""
        if path is None:
            return False
        held[i] = {name: value for name, value in path.items() if _epoch(name) <= self.last_epoch}
        return True

    def weights(self, i: int, epoch: int) -> dict[str, Tensor]:
        """Expert i's weights after so many epochs, on the device, by their names in `network`.

        In order of the names: a file gives them back in any order, and sums over them must not depend on it.
        """
        return {name: value.to(self.device) for name, value in sorted(below(f"{epoch}/", self._paths[i]).items())}

    def network(self, *, rng: Rng) -> SideBySide:
        """A fresh network of the experts' kind; one network "side by side", as in which their weights are named."""
        made = networks.make(
            self.training.network,
            space_shape=self.space.shape,
            num_classes=self.space.num_classes,
            rng=rng.generator(),
        )
        return type(made).side_by_side([made]).to(self.device)

    def key(self, i: int, real: RealBatches) -> str:
        """What expert i lies under: sha256 (hex) of everything that it follows from."""
        origin = {
            "rules": RULES,
            "expert": i,
            "training": asdict(self.training),
            "dataset": real.digest,
            "space": self.space.to_json(),
            "classes": list(self.space.classes),
            "device_kind": torch.device(self.device).type,
        }
        return digest_json(origin)

    def _trained(self, i: int, real: RealBatches, *, done: int) -> Generator[Preparing, None, dict[str, Tensor]]:
        """Train expert i; returns its weights by "epoch/name"."""
        training, rng = self.training, Rng(self.training.seed).child("expert", i)
        net = self.network(rng=rng.child("network"))
        optimiser = torch.optim.SGD(net.parameters(), lr=training.learning_rate, momentum=training.momentum)
        path = _named(net, 0)
        for epoch in range(training.epochs):
            for _ in schooling.epoch(
                lambda images_NCHW: net(images_NCHW[None])[0],
                optimiser,
                real,
                batch=training.batch,
                how=training.augment,
                rng=rng,
                number=epoch,
            ):
                yield Preparing(what=TRAINING, done=done, total=self.count)
            weights = _named(net, epoch + 1)
            path |= weights
            if not all(value.isfinite().all() for value in weights.values()):
                raise NotFinite(
                    f"expert {i + 1} of {self.count} left the finite numbers in epoch {epoch + 1}; "
                    "lower `objective.expert_learning_rate`"
                )
        return path


def _epoch(name: str) -> int:
    return int(name.partition("/")[0])


def _named(net: SideBySide, epoch: int) -> dict[str, Tensor]:
    return {f"{epoch}/{name}": value.detach().cpu().clone() for name, value in net.named_parameters()}
