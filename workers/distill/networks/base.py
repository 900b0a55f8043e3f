"""What every network family offers, and the one way its weights begin."""
# Shapes: N images, C channels, H height, W width, K classes, D features, R networks side by side.

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar, Self

import torch
from torch import Generator, Tensor, nn

#: MNIST and its kin are widened to 32 x 32 by the first convolution, and are as CIFAR from there on.
WIDENED = (1, 28, 28)
#: Standard deviation that a transformer's class token and position embedding begin with, as DeiT's do.
TOKEN_STD = 0.02


@dataclass(frozen=True, kw_only=True)
class Maps:
    """What a class-activation map is made of, and the logits of the same pass.

    maps_NDhw: the last feature maps of a convolutional network; with `attention`, what the class token of a transformer
    looks at, a map a head. border: pixels left, right, above and below the image that the maps cover as well.
    """

    maps_NDhw: Tensor
    logits_NK: Tensor
    border: tuple[int, int, int, int]
    attention: bool = False


class Network(nn.Module, ABC):
    """A classifier: `features` is what objectives compare, and `head` makes the logits of them.

    A family's constructor takes the images' shape (C, H, W), the number of classes and what `options` answers. No
    family has dropout, which would draw from the global generator, and each can be differentiated twice.
    """

    #: Names of weights that stand alone and not in a layer: a class token, a position embedding.
    TOKENS: ClassVar[tuple[str, ...]] = ()
    head: nn.Linear

    @classmethod
    def make(
        cls, dials: tuple[Any, ...], *, space_shape: tuple[int, int, int], num_classes: int, rng: Generator
    ) -> Self:
        """The network behind a name's dials, initialised from `rng`."""
        with torch.device("meta"):
            net = cls(space_shape, num_classes, **cls.options(dials))
        begin(net, rng=rng, tokens=cls.TOKENS)
        return net

    @classmethod
    @abstractmethod
    def options(cls, dials: tuple[Any, ...]) -> dict[str, Any]:
        """The constructor's options behind a name's dials, defaults filled in."""

    @classmethod
    def misfit(cls, dials: tuple[Any, ...], shape: tuple[int, int, int]) -> str | None:
        """Why these dials do not fit images of `shape` (C, H, W), or None if they do."""
        del dials, shape
        return None

    @abstractmethod
    def features(self, images_NCHW: Tensor) -> Tensor:
        """features_ND, the input of the last layer."""

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """logits_NK."""
        return self.head(self.features(images_NCHW))

    def maps(self, images_NCHW: Tensor) -> Maps:
        """What a class-activation map is made of. Raises ValueError for a family that PATTERNS says has no `maps`."""
        raise ValueError(f"{type(self).__name__} has no maps: nothing in it lies where it lies in the image")

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


def margin(shape: tuple[int, int, int]) -> int:
    """Pixels that the first convolution adds on each side of the images, beyond what keeps their size."""
    return 2 if shape == WIDENED else 0


def pooled_maps(blocks: nn.Sequential, head: nn.Linear, images_NCHW: Tensor) -> Maps:
    """Of a network whose blocks end in a pooling, behind which lies the last layer: the maps that are pooled."""
    maps_NDhw = blocks[:-1](images_NCHW)
    return feature_maps(maps_NDhw, head(blocks[-1](maps_NDhw).flatten(1)), images_NCHW=images_NCHW)


def feature_maps(maps_NDhw: Tensor, logits_NK: Tensor, *, images_NCHW: Tensor) -> Maps:
    """Maps of features, which cover the image and what the first convolution adds to it."""
    channels, height, wide = images_NCHW.shape[1:]
    extra = margin((channels, height, wide))
    return Maps(maps_NDhw=maps_NDhw, logits_NK=logits_NK, border=(extra, extra, extra, extra))


def halved(shape: tuple[int, int, int], times: int) -> tuple[int, int]:
    """Height and width behind the first convolution and so many poolings 2x2."""
    _, height, wide = shape
    return (height + 2 * margin(shape)) >> times, (wide + 2 * margin(shape)) >> times


def too_small(shape: tuple[int, int, int], halvings: int) -> str | None:
    """Why a network that halves its images so often cannot look at `shape`, or None if it can."""
    if min(halved(shape, halvings)) >= 1:
        return None
    return (
        f"images of {shape[1]} x {shape[2]} pixels are halved {halvings} times, to nothing; "
        f"it needs {2**halvings} pixels a side"
    )


def normalisation(norm: str, width: int) -> nn.Module:
    """What follows a convolution of `width` filters: "batch", or "instance", a group a channel as the field has it."""
    return nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(width, width)


def begin(net: nn.Module, *, rng: Generator, tokens: Iterable[str] = ()) -> None:
    """Fill a network's weights (built on the meta device) as PyTorch's default initialisation does, from `rng`.

    Convolutions and linear layers: weight and bias uniform in ±1/sqrt(fan_in). Normalisations: scale 1, shift 0.
    Attention: the joint projection of queries, keys and values uniform in ±sqrt(6/(fan_in + fan_out)), biases 0.
    `tokens`, the names of weights that stand alone: normal around 0.
    """
    net.to_empty(device="cpu")
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            bound = 1 / sqrt(layer.weight[0].numel())
            for parameter in layer.parameters(recurse=False):
                nn.init.uniform_(parameter, -bound, bound, generator=rng)
        elif isinstance(layer, nn.GroupNorm | nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.reset_running_stats()
    for layer in net.modules():
        if isinstance(layer, nn.MultiheadAttention):  # behind its output projection, a linear layer like any other
            nn.init.xavier_uniform_(layer.in_proj_weight, generator=rng)
            nn.init.zeros_(layer.in_proj_bias)
            nn.init.zeros_(layer.out_proj.bias)
    for name in tokens:
        nn.init.normal_(net.get_parameter(name), std=TOKEN_STD, generator=rng)
