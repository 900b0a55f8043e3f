"""Start from the centres of k-means clusters of each class, in pixel space."""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from distilled.images import from_bytes
from workers.distill.data import RealData
from workers.distill.rng import Rng

#: Centres are found on at most this many images of a class, which bounds time and memory.
MAX_SAMPLE = 10_000


def start(real: RealData, per_class: int, rng: Rng) -> Tensor:
    """`per_class` cluster centres of each class, pixels_NCHW in [0, 1]."""
    return torch.cat([class_centres(real, k, per_class, rng=rng) for k in range(real.space.num_classes)])


def class_centres(real: RealData, k: int, count: int, *, rng: Rng) -> Tensor:
    """`count` k-means centres of class k's training images, pixels_NCHW in [0, 1]; of one the class mean."""
    members_N = torch.nonzero(real.train_labels_N == k).flatten()
    if len(members_N) > MAX_SAMPLE and count > 1:
        members_N = members_N[torch.randperm(len(members_N), generator=rng.child(k).generator())[:MAX_SAMPLE]]
    pixels_NCHW = from_bytes(real.train_bytes_NHWC[members_N])
    if count == 1:
        return pixels_NCHW.mean(0, keepdim=True)
    # Imported here, as that takes seconds of a processor, which most processes that could need it never have to spend.
    k_means: Any = import_module("sklearn.cluster").KMeans
    found = k_means(n_clusters=count, n_init="auto", random_state=rng.child(k).integer() % 2**32)
    centres = found.fit(pixels_NCHW.flatten(1).numpy()).cluster_centers_
    return torch.from_numpy(centres).to(torch.float32).view(count, *pixels_NCHW.shape[1:]).clamp(0, 1)
