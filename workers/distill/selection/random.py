"""Start from random real images."""

import torch
from torch import Tensor

from distilled.images import from_bytes
from workers.distill.data import RealData
from workers.distill.rng import Rng


def start(real: RealData, per_class: int, rng: Rng) -> Tensor:
    """`per_class` distinct training images of each class, pixels_NCHW in [0, 1]."""
    picks: list[Tensor] = []
    for k in range(real.space.num_classes):
        members_N = torch.nonzero(real.train_labels_N == k).flatten()
        picks.append(members_N[torch.randperm(len(members_N), generator=rng.child(k).generator())[:per_class]])
    return from_bytes(real.train_bytes_NHWC[torch.cat(picks)])
