"""The one way in which networks are trained on a set to measure that set.

The classic protocol of DC, DSA, DM and MTT: SGD with momentum on randomly ordered batches, the rate a tenth after
half of the steps, cross-entropy, DSA augmentation a sample, the network of the last step. What differs between two
measurements is the set, never the training.
"""
# Shapes: N images, C channels, H height, W width, K classes, R networks side by side.

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Generator, Tensor
from torch.nn import functional

from distilled.knobs import knob
from workers.distill.augment import CHOICES, augment
from workers.distill.networks.base import SideBySide
from workers.distill.rng import Rng

#: Test images looked at in one go, by all networks together.
TEST_BATCH = 1024


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How networks are trained on a set to measure it; one recipe for all sets that are compared."""

    steps: int = knob(1000, "training steps on a small set", unit="steps", ge=1, le=10**6)
    epochs: int = knob(
        20, "passes over a big set, where they take more steps than `steps`", unit="passes", ge=1, le=1000
    )
    batch: int = knob(256, "images of a step; a smaller set is taken whole", unit="images", ge=1, le=65536)
    learning_rate: float = knob(0.01, "learning rate, a tenth of it after half of the steps", gt=0, le=10)
    momentum: float = knob(0.9, "momentum of SGD", ge=0, lt=1)
    weight_decay: float = knob(5e-4, "weight decay of SGD", ge=0, le=1)
    augment: str = knob("dsa", "augmentation of what is trained on, a sample at a time", choices=CHOICES)
    repeats: int = knob(5, "networks trained from different seeds", unit="networks", ge=1, le=100)
    ipc: int = knob(
        0,
        "images of each class that are drawn from what can make any number; 0 draws the budget of its recipe",
        unit="images",
        ge=0,
        le=100_000,
    )

    def num_steps(self, num_images: int) -> int:
        """Training length for a set: `steps`, or `epochs` passes if that is more."""
        return max(self.steps, self.epochs * ceil(num_images / self.batch))


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """What a network is trained on: standardised images by position, and targets int64 [N] or float32 [N, K]."""

    images_at: Callable[[Tensor], Tensor]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


def train(
    nets: SideBySide,
    sets: Sequence[TrainingSet],
    config: EvaluationConfig,
    *,
    operations: Sequence[str],
    rngs: Sequence[Rng],
    on_step: Callable[[], None],
) -> None:
    """Train network r on sets[r], with the order and the augmentation of rngs[r]. All sets have the same size.

    operations: what DSA may do to an image. on_step is called after every step; what it raises ends the training.
    """
    size, device = len(sets[0]), sets[0].targets.device
    steps = config.num_steps(size)
    orders = [rng.child("order").generator() for rng in rngs]
    variations = [rng.child("augment").generator() for rng in rngs]
    batches = [_batches(size, config.batch, rng=order) for order in orders]
    optimiser = torch.optim.SGD(
        nets.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )
    nets.train()
    for step in range(steps):
        if step == steps // 2 and step:
            optimiser.param_groups[0]["lr"] = config.learning_rate * 0.1
        chosen = [next(one).to(device) for one in batches]
        images = [
            augment(one.images_at(index_N), how=config.augment, rng=variation, operations=operations)
            for one, index_N, variation in zip(sets, chosen, variations, strict=True)
        ]
        targets = torch.cat([one.targets[index_N] for one, index_N in zip(sets, chosen, strict=True)])
        logits_RNK = nets(torch.stack(images))
        # Each network has the mean loss of its own batch; their sum leaves the gradients of each untouched.
        loss = functional.cross_entropy(logits_RNK.flatten(0, 1), targets, reduction="sum") / logits_RNK.shape[1]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        on_step()


def _batches(size: int, batch: int, *, rng: Generator) -> Iterator[Tensor]:
    """Positions of one batch after the other, in a new random order each pass."""
    while True:
        yield from torch.randperm(size, generator=rng).split(batch)


@torch.no_grad()
def accuracies(
    nets: SideBySide, images_at: Callable[[Tensor], Tensor], labels_N: Tensor, *, copies: int
) -> list[float]:
    """The share of images that each network names rightly, in evaluation mode."""
    nets.eval()
    right_R = torch.zeros(copies, dtype=torch.int64, device=labels_N.device)
    for index_N in torch.arange(len(labels_N), device=labels_N.device).split(max(1, TEST_BATCH // copies)):
        images_NCHW = images_at(index_N)
        logits_RNK = nets(images_NCHW.expand(copies, *images_NCHW.shape))
        right_R += (logits_RNK.argmax(2) == labels_N[index_N]).sum(1)
    return [right / len(labels_N) for right in right_R.tolist()]
