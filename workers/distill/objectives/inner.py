"""The inner loss that unrolled objectives share: networks learn from their own draws of synthetic images."""
# Shapes: N images, C channels, H height, W width, K classes, R networks side by side.

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from distilled.parametrizations.base import Batch
from workers.distill.batches import Draw, each_class
from workers.distill.networks.base import SideBySide
from workers.distill.rng import Rng

#: (images_NCHW, inner step) -> images_NCHW, augmented; the same for the same step whenever it is asked
Vary = Callable[[Tensor, int], Tensor]


class InnerLoss:
    """Cross-entropy of each network on its own draw of synthetic images, a function of weights and inner step.

    `batch` images of each class are drawn at each step, or as many as there are. Asked for a step again it draws the
    same images, which the reverse pass of `unrolling` rests on. `images`: how many one step draws, for all networks.
    """

    def __init__(self, nets: SideBySide, *, copies: int, draw: Draw, batch: int, vary: Vary, rng: Rng) -> None:
        self.nets, self.copies, self.vary, self.rng = nets, copies, vary, rng
        self.parametrization = draw.parametrization
        held, classes = draw.parametrization.per_class, draw.parametrization.space.num_classes
        per_class = batch if held is None else min(held, batch)
        self.labels_N = each_class(classes, [per_class] * classes)
        self.images = len(self.labels_N) * copies

    def __call__(self, weights: Mapping[str, Tensor], step: int) -> Tensor:
        drawn = [self._draw(step, r) for r in range(self.copies)]
        images_RNCHW = torch.stack([self.vary(one.images_NCHW, step) for one in drawn])
        logits_RNK = functional_call(self.nets, dict(weights), (images_RNCHW,))
        targets = torch.cat([one.targets for one in drawn])
        # Each network has the mean loss of its own batch; their sum leaves the gradients of each untouched.
        return functional.cross_entropy(logits_RNK.flatten(0, 1), targets, reduction="sum") / len(self.labels_N)

    def _draw(self, step: int, r: int) -> Batch:
        return self.parametrization.draw(self.labels_N, rng=self.rng.child("draw", step, r).generator())
