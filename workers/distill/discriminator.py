"""What a generator of images is trained against: a network that tells real from generated, and names the class.

Wang et al., "DiM: Distilling Dataset into Generative Model", 2023 (arXiv 2303.04707), in the arrangement of its public
code. A critic with an auxiliary classifier: Odena, Olah & Shlens, "Conditional Image Synthesis with Auxiliary
Classifier GANs", ICML 2017. It is no network to distil for or to measure with, and has no name in a recipe.
"""
# Shapes: N images, C channels, H height, W width, K classes.

import torch
from torch import Tensor, nn

from distilled.parametrizations.base import ImageSpace
from workers.distill.networks import base as networks
from workers.distill.rng import Rng

#: The side at which the last feature maps are pooled, in pixels.
LAST_SIDE = 4


class Discriminator(nn.Module):
    """Convolutions 3x3 of `width` filters, each with a normalisation over the image and a leaky ReLU, and two heads.

    For 28 and 32 pixels there are eight, of strides 1, 2, 1, 2, 1, 1, 1, 2, as published; one pair (1, 2) fewer or more
    for each halving that smaller or larger images need to come down to 4 pixels, over which the maximum is taken. No
    image sees another, so that a gradient penalty of each alone is what it says.
    """

    def __init__(self, shape: tuple[int, int, int], num_classes: int, *, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        into = shape[0]
        for stride in strides(min(shape[1:])):
            layers += [nn.Conv2d(into, width, 3, stride=stride, padding=1), nn.GroupNorm(1, width), nn.LeakyReLU()]
            into = width
        self.body = nn.Sequential(*layers)
        self.source = nn.Linear(width, 1)
        self.classes = nn.Linear(width, num_classes)

    def forward(self, signs_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """scores_N, higher for what looks real, and logits_NK of the class, for images in [-1, 1]."""
        features_ND = self.body(signs_NCHW).amax((2, 3))
        return self.source(features_ND)[:, 0], self.classes(features_ND)


def strides(side: int) -> list[int]:
    """The strides that bring images of this side (pixels, above 4) down to 4 pixels, halves rounded up."""
    halvings = 0
    while side > LAST_SIDE:
        side, halvings = (side + 1) // 2, halvings + 1
    return [1, 2] * (halvings - 1) + [1, 1, 1, 2]


def make(space: ImageSpace, *, width: int, rng: Rng) -> Discriminator:
    """One on the CPU, with PyTorch's default initialisation from `rng`."""
    with torch.device("meta"):
        made = Discriminator(space.shape, space.num_classes, width=width)
    networks.begin(made, rng=rng.generator())
    return made
