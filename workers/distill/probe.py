"""What each real image costs a network that has learnt a little from the synthetic set: an objective's eyes where its
own loss does not see single images.
"""
# Shapes: N images, C channels, H height, W width, K classes.

import torch
from torch import Tensor
from torch.nn import functional

from distilled.parametrizations.base import Batch, ImageSpace, Parametrization
from workers.distill import networks
from workers.distill.batches import Draw, RealBatches, each_class
from workers.distill.networks.base import Network
from workers.distill.rng import Rng

#: Plain SGD, a few steps: the network has to tell easy images from hard ones, not to be good.
STEPS, LEARNING_RATE, MOMENTUM = 20, 0.01, 0.9
#: Synthetic images of a training step, in all classes together; at least one of each.
BATCH = 64
#: Real images that are looked at in one go.
LOOK = 1024
#: Training on an image takes as long as so many looks at it.
LOOKS_OF_TRAINING = 3


class Probe:
    """Cross-entropy of single real images under a fresh network, trained a little on the current synthetic set."""

    def __init__(self, network: str, *, space: ImageSpace, device: str) -> None:
        self.network, self.space, self.device = network, space, device

    def cost(self, parametrization: Parametrization) -> int:
        """What one training costs, in looks at an image.

        A step counts as one of BATCH images at least: below that, it takes no less time.
        """
        return STEPS * LOOKS_OF_TRAINING * max(BATCH, len(self._labels_N(parametrization)))

    def losses(self, index_N: Tensor, real: RealBatches, draw: Draw, *, rng: Rng) -> Tensor:
        """losses_N of the training images at these places."""
        net = networks.make(
            self.network,
            space_shape=self.space.shape,
            num_classes=self.space.num_classes,
            rng=rng.child("network").generator(),
        ).to(self.device)
        optimiser = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
        labels_N = self._labels_N(draw.parametrization)
        for step in range(STEPS):
            with torch.no_grad():
                batch = draw(labels_N, rng=rng.child("draw", step))
            optimiser.zero_grad()
            functional.cross_entropy(net(batch.images_NCHW), batch.targets).backward()
            optimiser.step()
        net.eval()
        with torch.no_grad():
            parts = [_losses(net, real.at(part_N)) for part_N in index_N.split(LOOK)]
        return torch.cat(parts)

    def _labels_N(self, parametrization: Parametrization) -> Tensor:
        classes = self.space.num_classes
        wanted = max(1, BATCH // classes)
        held = parametrization.per_class
        return each_class(classes, [wanted if held is None else min(held, wanted)] * classes)


def _losses(net: Network, batch: Batch) -> Tensor:
    return functional.cross_entropy(net(batch.images_NCHW), batch.targets, reduction="none")
