"""AlexNet for small images: five convolutions without normalisation, three poolings, one linear layer.

Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS 2012, in the
field's version for CIFAR: stride 1, small filters, and one linear layer for three with dropout.
"""
# Shapes: N images, C channels, H height, W width, K classes, D features.

from typing import Any

from torch import Tensor, nn

from workers.distill.networks.base import Maps, Network, halved, margin, pooled_maps, too_small

#: (filters in half widths, side of a filter, whether a pooling follows) of each convolution.
CONVOLUTIONS = ((2, 5, True), (3, 5, True), (4, 3, False), (3, 3, False), (3, 3, True))
HALVINGS = 3
DEFAULT_WIDTH = 128


class AlexNet(Network):
    """One AlexNet. On 3x32x32 images with W128 it has 1,872,202 weights for ten classes."""

    def __init__(self, shape: tuple[int, int, int], num_classes: int, *, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        into, extra = shape[0], margin(shape)
        for half_widths, side, pooled in CONVOLUTIONS:
            out = half_widths * width // 2
            layers += [nn.Conv2d(into, out, side, padding=side // 2 + extra), nn.ReLU(inplace=True)]
            into, extra = out, 0
            if pooled:
                layers += [nn.MaxPool2d(2)]
        self.blocks = nn.Sequential(*layers)
        height, wide = halved(shape, HALVINGS)
        self.head = nn.Linear(into * height * wide, num_classes)

    @classmethod
    def options(cls, dials: tuple[Any, ...]) -> dict[str, Any]:
        (width,) = dials
        return {"width": int(width or DEFAULT_WIDTH)}

    @classmethod
    def misfit(cls, dials: tuple[Any, ...], shape: tuple[int, int, int]) -> str | None:
        del dials
        return too_small(shape, HALVINGS)

    def features(self, images_NCHW: Tensor) -> Tensor:
        return self.blocks(images_NCHW).flatten(1)

    def maps(self, images_NCHW: Tensor) -> Maps:
        return pooled_maps(self.blocks, self.head, images_NCHW)
