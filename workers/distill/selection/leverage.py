"""Start from images drawn by ridge leverage: how much the kernel regression on all images rests on each of them.

tau_i = [K (K + lambda I)^-1]_ii, in 0..1; their sum is the effective dimension of the regression. Alaoui & Mahoney,
"Fast Randomized Kernel Ridge Regression with Statistical Guarantees", NeurIPS 2015; as the start of KIP-like methods in
"Dataset Distillation Meets Provable Subset Selection", arXiv 2307.08086.

K is the Gaussian of `kernel`, of width 1, on all training images, through random Fourier features (Rahimi & Recht,
"Random Features for Large-Scale Kernel Machines", NeurIPS 2007), which makes it O(N D^2). lambda is what is left of K
beyond its M best directions, divided by M, for the M images of the start, and the effective dimension at most 2M
(Cohen, Musco & Musco, "Input Sparsity Time Low-Rank Approximation via Ridge Leverage Score Sampling", SODA 2017).
"""
# Shapes: N training images, D features, P pixels of an image, Q = D / 2 frequencies.

from collections.abc import Callable, Iterator
from math import sqrt

import torch
from torch import Tensor

from distilled.images import from_bytes
from workers.distill.data import RealData
from workers.distill.rng import Rng

#: Random features that stand for the kernel: two for each frequency.
FEATURES = 512
#: Images whose features are in memory at a time.
CHUNK = 4096

#: The features of all points, chunk after chunk, float64 [<= CHUNK, D]; each call begins anew.
Features = Callable[[], Iterator[Tensor]]


def start(real: RealData, per_class: int, rng: Rng) -> Tensor:
    """`per_class` distinct training images of each class, pixels_NCHW in [0, 1]."""
    classes = real.space.num_classes
    features = _features(real, rng=rng.child("features"))
    gram_DD = gram(features)
    scores_N = leverage(features, gram_DD, ridge=tail(gram_DD, per_class * classes))
    picks: list[Tensor] = []
    for k in range(classes):
        members_N = torch.nonzero(real.train_labels_N == k).flatten()
        drawn = torch.multinomial(scores_N[members_N], per_class, generator=rng.child("leverage", k).generator())
        picks.append(members_N[drawn])
    return from_bytes(real.train_bytes_NHWC[torch.cat(picks)])


def gram(features: Features) -> Tensor:
    """F^T F, float64 [D, D]."""
    return sum((part_ND.T @ part_ND for part_ND in features()), torch.zeros((), dtype=torch.float64))


def leverage(features: Features, gram_DD: Tensor, *, ridge: float) -> Tensor:
    """tau_N (float64, in 0..1) of the linear kernel K = F F^T: f_i^T (F^T F + ridge I)^-1 f_i. ridge > 0."""
    factor_DD = torch.linalg.cholesky(gram_DD + ridge * torch.eye(len(gram_DD), dtype=gram_DD.dtype))
    parts = [torch.linalg.solve_triangular(factor_DD, part_ND.T, upper=False) for part_ND in features()]
    return torch.cat([solved_DN.square().sum(0) for solved_DN in parts])


def tail(gram_DD: Tensor, count: int) -> float:
    """(sum of the eigenvalues of K beyond its M largest) / M; above 0, and M at most half of the features."""
    values_D = torch.linalg.eigvalsh(gram_DD).clamp_min(0).flip(0)
    rank = max(1, min(count, len(values_D) // 2))
    return max(float(values_D[rank:].sum()) / rank, 1e-9 * float(values_D.sum()))


def fourier(points_NP: Tensor, frequencies_QP: Tensor) -> Tensor:
    """Features [N, 2Q] whose inner products estimate the Gaussian that the frequencies were drawn for; of norm 1."""
    angles_NQ = (points_NP @ frequencies_QP.to(points_NP.dtype).T).double()
    return torch.cat([angles_NQ.cos(), angles_NQ.sin()], dim=1) / sqrt(len(frequencies_QP))


def _features(real: RealData, *, rng: Rng) -> Features:
    """Random Fourier features of exp(-|a - b|^2 / width), width being the mean of |a - mean|^2 over the images."""
    count = len(real.train_labels_N)

    def points() -> Iterator[Tensor]:
        for index_N in torch.arange(count).split(CHUNK):
            yield real.images_NCHW(real.train_bytes_NHWC[index_N]).flatten(1)

    mean_P = sum((part_NP.double().sum(0) for part_NP in points()), torch.zeros((), dtype=torch.float64)) / count
    width = sum(float((part_NP - mean_P).square().sum()) for part_NP in points()) / count
    normal_QP = torch.randn(FEATURES // 2, len(mean_P), dtype=torch.float64, generator=rng.generator())
    frequencies_QP = normal_QP * sqrt(2 / max(width, 1e-12))  # exp(-d^2 / w) has frequencies of variance 2 / w

    def features() -> Iterator[Tensor]:
        for part_NP in points():
            yield fourier(part_NP, frequencies_QP)

    return features
