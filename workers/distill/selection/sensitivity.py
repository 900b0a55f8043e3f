"""Start from images drawn by k-means sensitivity: the most that an image may matter to a clustering of its class.

Of one image a class, the light form q(p) = 1/2 1/n + 1/2 d^2(p, mean) / sum d^2 (Bachem, Lucic & Krause, "Scalable
k-Means Clustering via Lightweight Coresets", KDD 2018). Of k > 1, in proportion to the bound

    s(p) = a d^2(p, B) / c + 2a mean of d^2 over B(p) / c + 4 n / |B(p)|,    a = 16 (ln k + 2)

with B k centres by k-means++, B(p) the cluster of p, and c the mean of d^2 over the class (Bachem, Lucic & Krause,
"Practical Coreset Constructions for Machine Learning", 2017, algorithm 2). As a start of distillation it is from
"Dataset Distillation Meets Provable Subset Selection", arXiv 2307.08086.
"""
# Shapes: N images of a class, P pixels, B centres.

from math import log

import torch
from sklearn.cluster import kmeans_plusplus
from torch import Tensor

from distilled.images import from_bytes
from workers.distill.data import RealData
from workers.distill.rng import Rng


def start(real: RealData, per_class: int, rng: Rng) -> Tensor:
    """`per_class` distinct training images of each class, pixels_NCHW in [0, 1]."""
    picks: list[Tensor] = []
    for k in range(real.space.num_classes):
        members_N = torch.nonzero(real.train_labels_N == k).flatten()
        points_NP = from_bytes(real.train_bytes_NHWC[members_N]).flatten(1)
        chances_N = chances(points_NP, per_class, rng=rng.child("centres", k))
        drawn = torch.multinomial(chances_N, per_class, generator=rng.child("sensitivity", k).generator())
        picks.append(members_N[drawn])
    return from_bytes(real.train_bytes_NHWC[torch.cat(picks)])


def chances(points_NP: Tensor, count: int, *, rng: Rng) -> Tensor:
    """The chance of each point (float64, above 0, sums to 1) when `count` are to be drawn."""
    if count == 1:
        squared_N = (points_NP - points_NP.mean(0)).square().sum(1).double()
        uniform_N = torch.full_like(squared_N, 1 / len(squared_N))
        total = squared_N.sum()
        return uniform_N if total <= 0 else 0.5 * uniform_N + 0.5 * squared_N / total
    centres_BP, _ = kmeans_plusplus(points_NP.numpy(), count, random_state=rng.integer() % 2**32)
    scores_N = bound(points_NP, torch.from_numpy(centres_BP))
    return scores_N / scores_N.sum()


def bound(points_NP: Tensor, centres_BP: Tensor) -> Tensor:
    """s_N (float64): a bound on each point's sensitivity, given centres that are a rough clustering."""
    squared_N, nearest_N = torch.cdist(points_NP, centres_BP, compute_mode="donot_use_mm_for_euclid_dist").min(1)
    squared_N = squared_N.double().square()
    sizes_B = torch.bincount(nearest_N, minlength=len(centres_BP)).double()
    sums_B = torch.zeros_like(sizes_B).index_add(0, nearest_N, squared_N)
    mean = squared_N.mean()
    rarity_N = 4 * len(points_NP) / sizes_B[nearest_N]
    if mean <= 0:
        return rarity_N
    alpha = 16 * (log(len(centres_BP)) + 2)
    return alpha * squared_N / mean + 2 * alpha * (sums_B / sizes_B)[nearest_N] / mean + rarity_N
