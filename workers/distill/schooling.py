"""Training networks on the real images: what experts and teachers have in common."""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from workers.distill.augment import augment, operations_for
from workers.distill.batches import RealBatches
from workers.distill.rng import Rng


def epoch(
    logits: Callable[[Tensor], Tensor],
    optimiser: torch.optim.Optimizer,
    real: RealBatches,
    *,
    batch: int,
    how: str,
    rng: Rng,
    number: int,
) -> Iterator[tuple[Tensor, int]]:
    """All real images once, in random order, a step of cross-entropy each `batch`; each sample augmented (`how`).

    logits: images_NCHW to logits_NK. Yields after each step how many of its images were named rightly (left on the
    device, so that nobody waits for it), and of how many. Order and variations follow from `rng` and the epoch's
    `number`.
    """
    variations = rng.child("augment", number).generator()
    for seen in real.epoch(batch, rng=rng.child("order", number)):
        images_NCHW = augment(seen.images_NCHW, how=how, rng=variations, operations=operations_for(real.space))
        logits_NK = logits(images_NCHW)
        loss = functional.cross_entropy(logits_NK, seen.targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield (logits_NK.detach().argmax(1) == seen.targets).sum(), len(seen.targets)
