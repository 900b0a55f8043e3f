"""Residual networks for small images: 3x3 stem, no pooling before the last, four stages of basic blocks.

He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, in the field's version for CIFAR. The
blocks are torchvision's; stem, width and initialisation are not those of its ImageNet model.
"""
# Shapes: N images, C channels, H height, W width, K classes, D features.

from typing import Any

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from workers.distill.networks.base import Maps, Network, feature_maps, margin, normalisation

#: Number in the name -> basic blocks of a stage; there are two layers in each, and the stem and the head.
BLOCKS = {10: 1, 18: 2}
#: Filters of the four stages, in widths.
STAGES = (1, 2, 4, 8)
DEFAULT_WIDTH = 64
#: A stage that would leave fewer pixels a side keeps the sides: a channel of one pixel, normalised alone, is nothing.
MIN_SIDE = 2


class ResNet(Network):
    """One ResNet. On 3x32x32 images with W64 and ten classes, `resnet18` has 11,173,962 weights."""

    def __init__(self, shape: tuple[int, int, int], num_classes: int, *, blocks: int, width: int, norm: str) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(shape[0], width, 3, padding=1 + margin(shape), bias=False),
            normalisation(norm, width),
            nn.ReLU(inplace=True),
        ]
        into, side = width, min(shape[1:]) + 2 * margin(shape)
        for stage, widths in enumerate(STAGES):
            half = (side + 1) // 2
            stride = 2 if stage and half >= MIN_SIDE else 1
            side = half if stride == 2 else side
            layers += _stage(into, widths * width, blocks=blocks, stride=stride, norm=norm)
            into = widths * width
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(into, num_classes)

    @classmethod
    def options(cls, dials: tuple[Any, ...]) -> dict[str, Any]:
        depth, width, norm = dials
        return {"blocks": BLOCKS[int(depth)], "width": int(width or DEFAULT_WIDTH), "norm": norm or "instance"}

    @classmethod
    def misfit(cls, dials: tuple[Any, ...], shape: tuple[int, int, int]) -> str | None:
        del dials
        if min(shape[1:]) >= MIN_SIDE:
            return None
        return f"images of {shape[1]} x {shape[2]} pixels leave nothing to normalise; it needs {MIN_SIDE} pixels a side"

    def features(self, images_NCHW: Tensor) -> Tensor:
        return self.blocks(images_NCHW).mean((2, 3))

    def maps(self, images_NCHW: Tensor) -> Maps:
        maps_NDhw = self.blocks(images_NCHW)
        return feature_maps(maps_NDhw, self.head(maps_NDhw.mean((2, 3))), images_NCHW=images_NCHW)


def _stage(into: int, width: int, *, blocks: int, stride: int, norm: str) -> list[nn.Module]:
    """Basic blocks of which the first strides, and changes the number of channels from `into` to `width`."""
    shortcut = None
    if stride > 1 or into != width:
        # A 1x1 convolution with this stride, in two steps: in one, oneDNN's backward pass writes beyond its memory
        # where channels are few and come last (uxlfoundation/oneDNN issue 6035).
        thinned = nn.AvgPool2d(1, stride)
        shortcut = nn.Sequential(thinned, nn.Conv2d(into, width, 1, bias=False), normalisation(norm, width))

    def norm_layer(channels: int) -> nn.Module:
        return normalisation(norm, channels)

    first = BasicBlock(into, width, stride, shortcut, norm_layer=norm_layer)
    return [first, *(BasicBlock(width, width, norm_layer=norm_layer) for _ in range(blocks - 1))]
