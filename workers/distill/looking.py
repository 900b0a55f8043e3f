"""A look at what is being learnt: a few images of a few classes, as a reader would draw them now.

A look changes nothing: it takes no random number of the run, and a network that keeps statistics of what it is shown is
asked in evaluation mode.
"""
# Shapes: K classes, M images of each, H height, W width, C channels.

from math import prod

import torch
from torch import Tensor

from distilled.images import to_bytes, to_pixels
from distilled.parametrizations.base import Parametrization
from workers.distill.batches import each_class

MOST_CLASSES, MOST_IMAGES = 10, 10
#: Values (pixels times channels) of one look, which bounds the bytes of its picture: ten times ten of 50 x 50 pixels.
MOST_VALUES = 2**18


@torch.no_grad()
def look_at(parametrization: Parametrization) -> Tensor:
    """bytes_KMHWC, uint8 on the CPU: the first images of the first classes, as many as are not too large together."""
    classes, images = extent(parametrization)
    was_training = parametrization.training
    parametrization.eval()
    try:
        drawn = parametrization.draw(each_class(classes, [images] * classes), rng=None)
    finally:
        parametrization.train(was_training)
    space = parametrization.space
    bytes_NHWC = to_bytes(to_pixels(drawn.images_NCHW, mean=space.mean, std=space.std)).cpu()
    return bytes_NHWC.view(classes, images, *bytes_NHWC.shape[1:])


def extent(parametrization: Parametrization) -> tuple[int, int]:
    """(classes, images of each) that a look shows; at least one image, however large it is."""
    held = parametrization.per_class
    fit = max(1, MOST_VALUES // prod(parametrization.space.shape))
    classes = min(MOST_CLASSES, parametrization.space.num_classes, fit)
    images = min(MOST_IMAGES, MOST_IMAGES if held is None else held, fit // classes)
    return classes, images
