"""VGG-11 for small images: eight convolutions 3x3 with normalisation, five poolings, one linear layer.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table 1, column
A, in the field's version for CIFAR: normalised, and with one linear layer for three with dropout.
"""
# Shapes: N images, C channels, H height, W width, K classes, D features.

from typing import Any

from torch import Tensor, nn

from workers.distill.networks.base import Maps, Network, halved, margin, normalisation, pooled_maps, too_small

#: Filters of the convolutions, in widths; a pooling ends each group.
GROUPS = ((1,), (2,), (4, 4), (8, 8), (8, 8))
DEFAULT_WIDTH = 64


class VGG(Network):
    """One VGG-11. On 3x32x32 images with W64 it has 9,231,114 weights for ten classes."""

    def __init__(self, shape: tuple[int, int, int], num_classes: int, *, width: int, norm: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        into, padding = shape[0], 1 + margin(shape)
        for group in GROUPS:
            for widths in group:
                layers += [nn.Conv2d(into, widths * width, 3, padding=padding), normalisation(norm, widths * width)]
                layers += [nn.ReLU(inplace=True)]
                into, padding = widths * width, 1
            layers += [nn.MaxPool2d(2)]
        self.blocks = nn.Sequential(*layers)
        height, wide = halved(shape, len(GROUPS))
        self.head = nn.Linear(into * height * wide, num_classes)

    @classmethod
    def options(cls, dials: tuple[Any, ...]) -> dict[str, Any]:
        width, norm = dials
        return {"width": int(width or DEFAULT_WIDTH), "norm": norm or "instance"}

    @classmethod
    def misfit(cls, dials: tuple[Any, ...], shape: tuple[int, int, int]) -> str | None:
        del dials
        return too_small(shape, len(GROUPS))

    def features(self, images_NCHW: Tensor) -> Tensor:
        return self.blocks(images_NCHW).flatten(1)

    def maps(self, images_NCHW: Tensor) -> Maps:
        return pooled_maps(self.blocks, self.head, images_NCHW)
