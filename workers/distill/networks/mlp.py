"""A multi-layer perceptron: two hidden layers, the family furthest from a ConvNet that still trains on ten images."""
# Shapes: N images, C channels, H height, W width, K classes, D features.

from math import prod
from typing import Any, Self

import torch
from torch import Generator, Tensor, nn

from workers.distill.networks.base import Network, begin

DEFAULT_WIDTH = 128


class MLP(Network):
    """Pixels in a row, two hidden layers with ReLU, one linear layer."""

    def __init__(self, shape: tuple[int, int, int], num_classes: int, *, width: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(prod(shape), width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.head = nn.Linear(width, num_classes)

    @classmethod
    def make(
        cls, dials: tuple[Any, ...], *, space_shape: tuple[int, int, int], num_classes: int, rng: Generator
    ) -> Self:
        with torch.device("meta"):
            net = cls(space_shape, num_classes, width=int(dials[0] or DEFAULT_WIDTH))
        begin(net, rng=rng)
        return net

    def features(self, images_NCHW: Tensor) -> Tensor:
        return self.hidden(images_NCHW)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return self.head(self.features(images_NCHW))
