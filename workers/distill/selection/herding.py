"""Start from herded images: greedily, the running mean of the chosen follows the mean of the class.

Welling, "Herding dynamical weights to learn", ICML 2009; in pixel space, where no network has to be trained first.
"""
# Shapes: N images of a class, D pixels.

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
        points_ND = from_bytes(real.train_bytes_NHWC[members_N]).flatten(1)
        picks.append(members_N[herd(points_ND, per_class)])
    return from_bytes(real.train_bytes_NHWC[torch.cat(picks)])


def herd(points_ND: Tensor, count: int) -> Tensor:
    """Indices [count] of distinct points: each step takes what brings the running mean nearest to the mean."""
    mean_D, squares_N = points_ND.mean(0), points_ND.square().sum(1)
    chosen: list[int] = []
    sum_D = torch.zeros_like(mean_D)
    free_N = torch.ones(len(points_ND), dtype=torch.bool)
    for i in range(1, count + 1):
        wanted_D = i * mean_D - sum_D  # || (sum + x)/i - mean || is smallest where x is nearest to this
        distance_N = squares_N - 2 * points_ND @ wanted_D
        best = int(distance_N.masked_fill(~free_N, torch.inf).argmin())
        chosen.append(best)
        free_N[best] = False
        sum_D += points_ND[best]
    return torch.tensor(chosen)
