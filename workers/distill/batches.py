"""Batches of real images, and the recorder through which an objective draws synthetic ones."""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from distilled.images import from_bytes, standardise
from distilled.parametrizations.base import Batch, Parametrization
from workers.distill.data import RealData
from workers.distill.rng import Rng

if TYPE_CHECKING:
    from workers.distill.probe import Probe

#: A fixed set is taken whole by one step up to this many images, which bounds time and memory.
MAX_WHOLE = 2000


@dataclass(frozen=True, kw_only=True)
class RealBatch(Batch):
    """Real images as they were drawn, with hard labels.

    index_N: int64, their places in the training set, on the CPU. weights_N: float32, above 0, what each counts for in
    `mean`; ones where all images are as likely.
    """

    index_N: Tensor
    weights_N: Tensor

    def parts(self, slices: int) -> "list[RealBatch]":
        """The batch in so many parts, of one size but for the last ones; their order is that of the batch."""
        columns = (self.images_NCHW, self.targets, self.index_N, self.weights_N)
        cut = zip(*(column.tensor_split(min(slices, len(self.index_N))) for column in columns), strict=True)
        return [
            RealBatch(images_NCHW=images_NCHW, targets=targets, index_N=index_N, weights_N=weights_N)
            for images_NCHW, targets, index_N, weights_N in cut
        ]

    def mean(self, values_N: Tensor) -> Tensor:
        """An unbiased estimate of the mean over all images (of the class) of a value of each, [N, ...]."""
        weights = self.weights_N.view(-1, *[1] * (values_N.ndim - 1))
        return (weights * values_N).mean(0)


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """Of what has none."""


class Uniform:
    """Which real images a step sees: each is as likely, and comes once at most. Other samplers derive from it."""

    Config: ClassVar[type] = NoOptions

    def __init__(
        self, real: RealData, config: Any = None, *, device: str = "cpu", probe: "Probe | None" = None
    ) -> None:
        del config, device, probe  # for those that learn what images cost
        self.labels_N = real.train_labels_N
        self.of_classes = [torch.nonzero(self.labels_N == k).flatten() for k in range(real.space.num_classes)]

    def mixed(self, count: int, *, rng: Rng) -> tuple[Tensor, Tensor]:
        """index_N (int64) and weights_N (float64) of `count` images; of all where there are fewer."""
        return _some(len(self.labels_N), count, rng=rng)

    def of_class(self, k: int, count: int, *, rng: Rng) -> tuple[Tensor, Tensor]:
        """The same within class k."""
        order_N, weights_N = _some(len(self.of_classes[k]), count, rng=rng.child("class", k))
        return self.of_classes[k][order_N], weights_N

    def observe(self, index_N: Tensor, losses_N: Tensor) -> None:
        """Be told the present losses of these images."""

    def refresh(self, step: int, real: "RealBatches", draw: "Draw", *, rng: Rng) -> None:
        """Bring up to date, before a step, what the draws depend on."""

    def tensors(self) -> dict[str, Tensor]:
        """What a snapshot must keep, by name."""
        return {}

    def state(self) -> dict[str, Any]:
        """The same for JSON values."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """The inverse of `tensors` and `state`."""


def _some(size: int, count: int, *, rng: Rng) -> tuple[Tensor, Tensor]:
    order_N = torch.randperm(size, generator=rng.generator())[:count]
    return order_N, torch.ones(len(order_N), dtype=torch.float64)


class RealBatches:
    """The training images on the device, from which each step takes what it needs."""

    def __init__(self, real: RealData, *, device: str, sampler: Uniform | None = None) -> None:
        self.space = real.space
        self.digest = real.digest
        self.sampler = sampler or Uniform(real)
        self._bytes_NHWC = real.train_bytes_NHWC.to(device)
        self._labels_N = real.train_labels_N

    def of_class(self, k: int, count: int, *, rng: Rng) -> RealBatch:
        """`count` random images of class k, standardised; all of them where it has fewer."""
        return self._batch(*self.sampler.of_class(k, count, rng=rng))

    def mixed(self, count: int, *, rng: Rng) -> RealBatch:
        """`count` random images of all classes; all of them where there are fewer."""
        return self._batch(*self.sampler.mixed(count, rng=rng))

    def epoch(self, count: int, *, rng: Rng) -> Iterator[Batch]:
        """All images once, in random order, `count` at a time; no sampler has a say in it."""
        for index_N in torch.randperm(len(self._labels_N), generator=rng.generator()).split(count):
            yield self.at(index_N)

    def observe(self, batch: RealBatch, losses_N: Tensor) -> None:
        """Tell the sampler what the images of a batch cost now. Costs nothing where nobody wants to know."""
        self.sampler.observe(batch.index_N, losses_N.detach())

    def refresh(self, step: int, draw: "Draw", *, rng: Rng) -> None:
        """Before each step: what the sampler's draws depend on is brought up to date."""
        self.sampler.refresh(step, self, draw, rng=rng)

    def at(self, index_N: Tensor) -> Batch:
        """The images at these places of the training set, standardised, with their hard labels."""
        device = self._bytes_NHWC.device
        pixels_NCHW = from_bytes(self._bytes_NHWC[index_N.to(device)])
        images_NCHW = standardise(pixels_NCHW, mean=self.space.mean, std=self.space.std)
        return Batch(images_NCHW=images_NCHW, targets=self._labels_N[index_N].to(device))

    def _batch(self, index_N: Tensor, weights_N: Tensor) -> RealBatch:
        found = self.at(index_N)
        weights_N = weights_N.to(found.images_NCHW)
        return RealBatch(images_NCHW=found.images_NCHW, targets=found.targets, index_N=index_N, weights_N=weights_N)


class Draw:
    """Draws from a parametrization and keeps count."""

    def __init__(self, parametrization: Parametrization) -> None:
        self.parametrization = parametrization
        self.images_seen = 0

    def __call__(self, labels_N: Tensor, *, rng: Rng) -> Batch:
        """A synthetic image for each label (int64 [N])."""
        return self._record(self.parametrization.draw(labels_N, rng=rng.generator()))

    def support(self, per_class: int, *, rng: Rng) -> Batch:
        """The whole fixed set in stored order, or a random part of one beyond MAX_WHOLE images, with as many of each
        class; of a parametrization without a fixed set, `per_class` images of each class.
        """
        held, classes = self.parametrization.per_class, self.parametrization.space.num_classes
        if held is not None and held * classes <= MAX_WHOLE:
            return self._record(self.parametrization.whole())
        count = per_class if held is None else max(1, MAX_WHOLE // classes)
        return self(torch.arange(classes).repeat_interleave(count), rng=rng)

    def _record(self, batch: Batch) -> Batch:
        self.images_seen += len(batch.images_NCHW)
        return batch


def each_class(num_classes: int, counts: Sequence[int]) -> Tensor:
    """Labels of `counts[k]` images of each class k, class after class."""
    return torch.arange(num_classes).repeat_interleave(torch.tensor(list(counts)))
