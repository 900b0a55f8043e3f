"""Rank five architectures twice, on a distilled set and on the full data, and see whether the two ranks agree.

python -m examples.rank_architectures ARTIFACT [STEPS [SEEDS]]      an artifact of the data set digits

A rank that agrees is what a search for architectures needs of a small set: it may then leave the large one alone. The
architectures are the laboratory's, which a checkout has and whose names the service knows; put functions that make your
own into NETWORKS.
"""
# Shapes: N images, B images of a batch.

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import distilled
from workers.distill import networks
from workers.distill.data import RealData, load
from workers.distill.rng import Rng

NAMES = ("mlp-w4", "mlp-w64", "convnet1-w4", "convnet2-w16", "resnet10-w4")
#: What makes a network of a seed, for images of a shape in so many classes.
NETWORKS: dict[str, Callable[..., nn.Module]] = {name: partial(networks.make, name) for name in NAMES}
BATCH = 128


def main(name: str, *, steps: int, seeds: int) -> None:
    """Print a line for each architecture, and the rank correlation of the two columns."""
    with distilled.Client() as client:
        distilled_set = client.open(name).dataset()
    real = load("digits", data_dir=Path("data"), download=False)
    sets = {
        "distilled": (distilled_set.images_NCHW, distilled_set.targets),
        "full data": (real.train_images_NCHW(), real.train_labels_N),
    }
    columns: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for of, (images_NCHW, targets) in sets.items():
        began = time.perf_counter()
        columns[of] = [
            fmean(accuracy(make, images_NCHW, targets, real=real, steps=steps, seed=seed) for seed in range(seeds))
            for make in NETWORKS.values()
        ]
        seconds[of] = time.perf_counter() - began
    print(f"{'architecture':<14}{'distilled %':>13}{'full data %':>13}")
    for row, left, right in zip(NETWORKS, *columns.values(), strict=True):
        print(f"{row:<14}{100 * left:>13.1f}{100 * right:>13.1f}")
    sizes = "  ".join(f"{of}: {len(targets)} images, {seconds[of]:.1f} s" for of, (_, targets) in sets.items())
    print(f"{sizes}  ({seeds} networks each)")
    print(f"Spearman's rank correlation {spearmanr(*columns.values()).statistic:.2f}")


def accuracy(
    make: Callable[..., nn.Module], images_NCHW: Tensor, targets: Tensor, *, real: RealData, steps: int, seed: int
) -> float:
    """The share of real test images that a network names rightly after `steps` steps on a set, in 0..1."""
    rng = Rng(seed)
    shape, classes = real.space.shape, real.space.num_classes
    net = make(space_shape=shape, num_classes=classes, rng=rng.child("network").generator())
    optimiser = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    order = rng.child("order").generator()
    for _ in range(steps):
        index_B = torch.randperm(len(targets), generator=order)[:BATCH]
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images_NCHW[index_B]), targets[index_B]).backward()
        optimiser.step()
    net.eval()
    with torch.no_grad():
        right_N = net(real.test_images_NCHW()).argmax(1) == real.test_labels_N
    return float(right_N.float().mean())


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[2:]]
    main(sys.argv[1], steps=given[0] if given else 300, seeds=given[1] if len(given) > 1 else 3)
