"""Real images as the laboratory sees them: bytes, labels, and the space they are standardised into."""
# Shapes: N images, C channels, H height, W width, K classes.

from dataclasses import dataclass

import torch
from torch import Tensor

from distilled.images import from_bytes, standardise
from distilled.parametrizations.base import ImageSpace


@dataclass(frozen=True, kw_only=True)
class RealData:
    """A data set in memory. Pixels are uint8 [N, H, W, C], labels int64 [N].

    `train` is what may be learnt from; `val` is a tenth of each class held out of it (or the source's own), and is all
    that a choice may look at; `test` is looked at once, at the end. digest: sha256 (hex) over the source's arrays.
    """

    name: str
    space: ImageSpace
    train_bytes_NHWC: Tensor
    train_labels_N: Tensor
    val_bytes_NHWC: Tensor
    val_labels_N: Tensor
    test_bytes_NHWC: Tensor
    test_labels_N: Tensor
    digest: str
    licence: str

    def images_NCHW(self, bytes_NHWC: Tensor) -> Tensor:
        """Bytes of this data set as standardised float32 images."""
        return standardise(from_bytes(bytes_NHWC), mean=self.space.mean, std=self.space.std)

    def train_images_NCHW(self) -> Tensor:
        return self.images_NCHW(self.train_bytes_NHWC)

    def val_images_NCHW(self) -> Tensor:
        return self.images_NCHW(self.val_bytes_NHWC)

    def test_images_NCHW(self) -> Tensor:
        return self.images_NCHW(self.test_bytes_NHWC)

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes that have no images: those of a data set that a memory remembers and that is not there any more."""
        there = set(torch.cat([self.train_labels_N, self.test_labels_N]).unique().tolist())
        return tuple(name for k, name in enumerate(self.space.classes) if k not in there)

    @property
    def train_counts(self) -> tuple[int, ...]:
        """Images of each class in `train`, the held-out tenth no longer among them."""
        return tuple(torch.bincount(self.train_labels_N, minlength=self.space.num_classes).tolist())
