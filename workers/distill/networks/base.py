"""What every network family offers, and the one way its weights begin."""
# Shapes: N images, C channels, H height, W width, K classes, D features, R networks side by side.

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import sqrt
from typing import Any, Self

import torch
from torch import Generator, Tensor, nn


class Network(nn.Module, ABC):
    """A classifier: `features` is what objectives compare, `forward` a linear map of it."""

    @classmethod
    @abstractmethod
    def make(
        cls, dials: tuple[Any, ...], *, space_shape: tuple[int, int, int], num_classes: int, rng: Generator
    ) -> Self:
        """The network behind a name's dials, initialised from `rng`."""

    @classmethod
    def misfit(cls, dials: tuple[Any, ...], shape: tuple[int, int, int]) -> str | None:
        """Why these dials do not fit images of `shape` (C, H, W), or None if they do."""
        del dials, shape
        return None

    @abstractmethod
    def features(self, images_NCHW: Tensor) -> Tensor:
        """features_ND, the input of the last layer."""

    @abstractmethod
    def forward(self, images_NCHW: Tensor) -> Tensor:
        """logits_NK."""

    @classmethod
    def side_by_side(cls, nets: "Sequence[Network]") -> "SideBySide":
        """The networks (of one name) as one module; a family that can do better than one after the other does."""
        return OneByOne(nets)


class SideBySide(nn.Module, ABC):
    """R networks of one name that see a batch each at the same time. It owns copies of their weights."""

    @abstractmethod
    def forward(self, images_RNCHW: Tensor) -> Tensor:
        """logits_RNK: network r on batch r."""


class OneByOne(SideBySide):
    """Networks side by side in name only: one after the other. Right for every family."""

    def __init__(self, nets: Sequence[Network]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, images_RNCHW: Tensor) -> Tensor:
        return torch.stack([net(images_NCHW) for net, images_NCHW in zip(self.nets, images_RNCHW, strict=True)])


def begin(net: nn.Module, *, rng: Generator) -> None:
    """Fill a network's weights (built on the meta device) as PyTorch's default initialisation does, from `rng`.

    Convolutions and linear layers: weight and bias uniform in ±1/sqrt(fan_in). Normalisations: scale 1, shift 0.
    """
    net.to_empty(device="cpu")
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = 1 / sqrt(layer.weight[0].numel())
            for parameter in layer.parameters(recurse=False):
                nn.init.uniform_(parameter, -bound, bound, generator=rng)
        elif isinstance(layer, nn.GroupNorm | nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
