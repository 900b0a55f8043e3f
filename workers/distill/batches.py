"""Batches of real images, and the recorder through which an objective draws synthetic ones."""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Sequence

import torch
from torch import Tensor

from distilled.images import from_bytes, standardise
from distilled.parametrizations.base import Batch, Parametrization
from workers.distill.data import RealData
from workers.distill.rng import Rng


class RealBatches:
    """The training images on the device, from which each step takes what it needs."""

    def __init__(self, real: RealData, *, device: str) -> None:
        self.space = real.space
        self._bytes_NHWC = real.train_bytes_NHWC.to(device)
        self._labels_N = real.train_labels_N
        self._of_class = [torch.nonzero(self._labels_N == k).flatten() for k in range(real.space.num_classes)]

    def of_class(self, k: int, count: int, *, rng: Rng) -> Tensor:
        """`count` random images of class k, standardised; all of them where it has fewer."""
        members_N = self._of_class[k]
        order_N = torch.randperm(len(members_N), generator=rng.child("class", k).generator())[:count]
        return self._images(members_N[order_N])

    def mixed(self, count: int, *, rng: Rng) -> Batch:
        """`count` random images of all classes with their hard labels; all of them where there are fewer."""
        index_N = torch.randperm(len(self._labels_N), generator=rng.generator())[:count]
        return Batch(images_NCHW=self._images(index_N), targets=self._labels_N[index_N].to(self._bytes_NHWC.device))

    def _images(self, index_N: Tensor) -> Tensor:
        pixels_NCHW = from_bytes(self._bytes_NHWC[index_N.to(self._bytes_NHWC.device)])
        return standardise(pixels_NCHW, mean=self.space.mean, std=self.space.std)


class Draw:
    """Draws from a parametrization and keeps count; penalties see what a step drew."""

    def __init__(self, parametrization: Parametrization) -> None:
        self.parametrization = parametrization
        self.images_seen = 0
        self.step_batches: list[Batch] = []

    def __call__(self, labels_N: Tensor, *, rng: Rng) -> Batch:
        """A synthetic image for each label (int64 [N])."""
        return self._record(self.parametrization.draw(labels_N, rng=rng.generator()))

    def support(self, per_class: int, *, rng: Rng) -> Batch:
        """The whole fixed set in stored order; of a parametrization without one, `per_class` images of each class."""
        if self.parametrization.per_class is not None:
            return self._record(self.parametrization.whole())
        classes_K = torch.arange(self.parametrization.space.num_classes)
        return self(classes_K.repeat_interleave(per_class), rng=rng)

    def _record(self, batch: Batch) -> Batch:
        self.images_seen += len(batch.images_NCHW)
        self.step_batches.append(batch)
        return batch


def each_class(num_classes: int, counts: Sequence[int]) -> Tensor:
    """Labels of `counts[k]` images of each class k, class after class."""
    return torch.arange(num_classes).repeat_interleave(torch.tensor(list(counts)))
