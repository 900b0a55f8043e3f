"""A multi-layer perceptron: two hidden layers, the family furthest from a ConvNet that still trains on ten images."""
# Shapes: N images, C channels, H height, W width, K classes, D features.

from math import prod
from typing import Any

from torch import Tensor, nn

from workers.distill.networks.base import Network

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
    def options(cls, dials: tuple[Any, ...]) -> dict[str, Any]:
        (width,) = dials
        return {"width": int(width or DEFAULT_WIDTH)}

    def features(self, images_NCHW: Tensor) -> Tensor:
        return self.hidden(images_NCHW)
