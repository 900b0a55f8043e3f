"""What a distilled set has to beat: real images that take as many bytes, and all of them.

Sizes are compared in bytes, because a float32 set of one image a class is as large as four real images a class.
"""
# Shapes: N images, C channels, H height, W width, K classes.

from math import prod

import torch
from torch import Tensor

from distilled.images import to_bytes
from distilled.parametrizations.base import ImageSpace
from workers.distill.data import RealData
from workers.distill.rng import Rng
from workers.distill.selection.centroid import class_centres


def real_image_bytes(space: ImageSpace) -> int:
    """Bytes of one real image, a byte a value, and its label."""
    return prod(space.shape) + (1 if space.num_classes <= 256 else 4)


def images_per_class(real: RealData, bytes_per_class: float) -> tuple[int, ...]:
    """Real images of each class that fit in so many bytes: at least one, at most what the class has."""
    fitting = max(1, int(bytes_per_class // real_image_bytes(real.space)))
    return tuple(min(fitting, count) for count in real.train_counts)


def random_images(real: RealData, counts: tuple[int, ...], *, rng: Rng) -> tuple[Tensor, Tensor]:
    """(bytes_NHWC, labels_N) of `counts[k]` training images of each class, drawn without repeats."""
    drawn = rng.generator()
    members = [(real.train_labels_N == k).nonzero().flatten() for k in range(len(counts))]
    chosen_N = torch.cat(
        [own_N[torch.randperm(len(own_N), generator=drawn)[:n]] for own_N, n in zip(members, counts, strict=True)]
    )
    return real.train_bytes_NHWC[chosen_N], real.train_labels_N[chosen_N]


def centroids(real: RealData, counts: tuple[int, ...], *, rng: Rng) -> tuple[Tensor, Tensor]:
    """(bytes_NHWC, labels_N) of `counts[k]` k-means centres of each class, rounded to bytes; of one, the class mean."""
    pixels_NCHW = torch.cat([class_centres(real, k, count, rng=rng) for k, count in enumerate(counts)])
    return to_bytes(pixels_NCHW), torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
