"""ConvNet-D-W, the field's default network.

D blocks of convolution 3x3 (W filters), normalisation, ReLU and average pooling 2x2, then one linear layer. "Instance"
normalisation is group normalisation with a group a channel, as the field has it.
"""
# Shapes: N images, C channels, H height, W width, K classes, D features, R networks side by side.

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workers.distill.networks.base import Maps, Network, SideBySide, halved, margin, pooled_maps

DEFAULT_WIDTH = 128
#: Groups of `group` normalisation; `instance` has a group a channel, `layer` one group.
NUM_GROUPS = 4


class ConvNet(Network):
    """One ConvNet. On 3x32x32 images with D3 and W128 it has 320,010 weights for ten classes."""

    def __init__(self, shape: tuple[int, int, int], num_classes: int, *, depth: int, width: int, norm: str) -> None:
        super().__init__()
        self.shape, self.depth, self.width, self.norm = shape, depth, width, norm
        self.blocks = _blocks(shape, depth=depth, width=width, norm=norm, copies=1)
        height, wide = halved(shape, depth)
        self.head = nn.Linear(width * height * wide, num_classes)

    @classmethod
    def options(cls, dials: tuple[Any, ...]) -> dict[str, Any]:
        depth, width, norm = dials
        return {"depth": int(depth), "width": int(width or DEFAULT_WIDTH), "norm": norm or "instance"}

    @classmethod
    def misfit(cls, dials: tuple[Any, ...], shape: tuple[int, int, int]) -> str | None:
        depth, width, norm = cls.options(dials).values()
        if norm == "group" and width % NUM_GROUPS:
            return f"group normalisation shares the width out over {NUM_GROUPS} groups; make it a multiple"
        if min(halved(shape, depth)) < 1:
            fits = max(d for d in range(depth) if min(halved(shape, d)) >= 1)
            return (
                f"depth {depth} halves images of {shape[1]} x {shape[2]} pixels {depth} times, to nothing; "
                f"use depth {fits} or less"
            )
        return None

    def features(self, images_NCHW: Tensor) -> Tensor:
        return self.blocks(images_NCHW).flatten(1)

    def maps(self, images_NCHW: Tensor) -> Maps:
        return pooled_maps(self.blocks, self.head, images_NCHW)

    @classmethod
    def side_by_side(cls, nets: Sequence[Network]) -> SideBySide:
        return ConvNets([net for net in nets if isinstance(net, ConvNet)])


class ConvNets(SideBySide):
    """ConvNets of one name as one network of grouped convolutions, in about half the time on a CPU."""

    def __init__(self, nets: Sequence[ConvNet]) -> None:
        super().__init__()
        first, self.copies = nets[0], len(nets)
        self.blocks = _blocks(first.shape, depth=first.depth, width=first.width, norm=first.norm, copies=len(nets))
        with torch.no_grad():
            for name, tensor in self.blocks.state_dict().items():
                parts = [net.blocks.state_dict()[name] for net in nets]
                tensor.copy_(torch.cat(parts) if tensor.ndim else parts[0])
        self.weight_RKD = nn.Parameter(torch.stack([net.head.weight.detach() for net in nets]))
        self.bias_RK = nn.Parameter(torch.stack([net.head.bias.detach() for net in nets]))

    def forward(self, images_RNCHW: Tensor) -> Tensor:
        stacked_NRCHW = images_RNCHW.transpose(0, 1).flatten(1, 2)
        features_RND = self.blocks(stacked_NRCHW).unflatten(1, (self.copies, -1)).flatten(2).transpose(0, 1)
        return torch.baddbmm(self.bias_RK[:, None], features_RND, self.weight_RKD.transpose(1, 2))


def _blocks(shape: tuple[int, int, int], *, depth: int, width: int, norm: str, copies: int) -> nn.Sequential:
    """The convolutional part of `copies` networks; channels of network r stand behind those of r - 1."""
    layers: list[nn.Module] = []
    for block in range(depth):
        padding = 1 + margin(shape) if block == 0 else 1
        into = shape[0] if block == 0 else width
        layers.append(nn.Conv2d(into * copies, width * copies, 3, padding=padding, groups=copies))
        layers += _normalisation(norm, width=width, copies=copies)
        # In place, because a normalisation keeps its input and not its output: a third less memory to walk through.
        layers += [nn.ReLU(inplace=True), nn.AvgPool2d(2)]
    return nn.Sequential(*layers)


def _normalisation(norm: str, *, width: int, copies: int) -> list[nn.Module]:
    if norm == "none":
        return []
    if norm == "batch":
        return [nn.BatchNorm2d(width * copies)]
    groups = {"instance": width, "group": NUM_GROUPS, "layer": 1}[norm]
    return [nn.GroupNorm(groups * copies, width * copies)]
