"""A batch, which unpacks as `images, labels` and goes through a DataLoader whole."""
# Shapes: B images of a batch, R batches, C channels, H height, W width, K classes.

from typing import NamedTuple, Self

from torch import Tensor

_STACKED = 5  # axes of batches that were stacked: [R, B, C, H, W]


class _Fields(NamedTuple):
    images: Tensor
    labels: Tensor


class Batch(_Fields):
    """images [B, C, H, W]; labels int64 [B], or float32 [B, K] where they are soft.

    Batches that are stacked become one longer batch. That is what `DataLoader(stream)` does to them: its collation
    stacks the items of a batch, here a single one, and puts what it has stacked into the named tuple that the items
    were (`torch.utils.data.default_collate`). So what a loop is given has the four axes that the stream's batches have,
    with `batch_size=None` and without it.
    """

    __slots__ = ()

    def __new__(cls, images: Tensor, labels: Tensor) -> Self:
        if images.ndim == _STACKED:
            images, labels = images.flatten(0, 1), labels.flatten(0, 1)
        return super().__new__(cls, images, labels)
