"""Networks by name: what distils, and what a distilled set is measured on.

A name is a family with its dials, such as `convnet3-w64-batch`. A new family is one file and one line in each table.
"""

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Generator

    from workers.distill.networks.base import Network

#: Family -> "module:Class"; a class is imported on use.
FAMILIES = {
    "convnet": "workers.distill.networks.convnet:ConvNet",
    "resnet": "workers.distill.networks.resnet:ResNet",
    "vgg": "workers.distill.networks.vgg:VGG",
    "alexnet": "workers.distill.networks.alexnet:AlexNet",
    "mlp": "workers.distill.networks.mlp:MLP",
    "vit": "workers.distill.networks.vit:ViT",
}
#: Family -> what the catalog says of it. A pattern is valid in Python's and in JSON Schema's dialect. `halvings` of an
#: image's sides: a number, or "depth" for the pattern's first group. `maps`: what a class-activation map is made of,
#: "features" or "attention", or "none" where there is nothing of the kind.
PATTERNS: dict[str, dict[str, str]] = {
    "convnet": {
        "summary": "D blocks of convolution, normalisation, ReLU and pooling, W filters wide: the field's default",
        "pattern": "^convnet([1-8])(?:-w([1-9][0-9]{0,3}))?(?:-(instance|batch|group|layer|none))?$",
        "example": "convnet3",
        "halvings": "depth",
        "maps": "features",
    },
    "resnet": {
        "summary": "residual network for small images, four stages from W filters on",
        "pattern": "^resnet(10|18)(?:-w([1-9][0-9]{0,3}))?(?:-(instance|batch))?$",
        "example": "resnet18",
        "halvings": "1",
        "maps": "features",
    },
    "vgg": {
        "summary": "VGG-11 for small images: eight convolutions, from W filters on, and one linear layer",
        "pattern": "^vgg11(?:-w([1-9][0-9]{0,3}))?(?:-(instance|batch))?$",
        "example": "vgg11",
        "halvings": "5",
        "maps": "features",
    },
    "alexnet": {
        "summary": "AlexNet for small images: five convolutions, from W filters on, without normalisation",
        "pattern": "^alexnet(?:-w([1-9][0-9]{0,3}))?$",
        "example": "alexnet",
        "halvings": "3",
        "maps": "features",
    },
    "mlp": {
        "summary": "two hidden layers, W units wide",
        "pattern": "^mlp(?:-w([1-9][0-9]{0,3}))?$",
        "example": "mlp-w128",
        "halvings": "0",
        "maps": "none",
    },
    "vit": {
        "summary": "transformer of at most 8 x 8 patches, 192 wide with 3 heads, D blocks deep",
        "pattern": "^vit_tiny(?:-d([1-9][0-9]?))?$",
        "example": "vit_tiny",
        "halvings": "0",
        "maps": "attention",
    },
}


def make(name: str, *, space_shape: tuple[int, int, int], num_classes: int, rng: "Generator") -> "Network":
    """A freshly initialised network on the CPU for images of `space_shape` (C, H, W).

    Its weights come from `rng` alone; no global generator is touched. Raises ValueError for an unknown name, or one
    that does not fit the images.
    """
    kind, dials = _family(name)
    complaint = kind.misfit(dials, space_shape)
    if complaint:
        raise ValueError(f"{name}: {complaint}")
    return kind.make(dials, space_shape=space_shape, num_classes=num_classes, rng=rng)


def check(name: str, shape: tuple[int, int, int]) -> str | None:
    """Why a network of this name cannot look at images of `shape` (C, H, W), or None if it can."""
    try:
        kind, dials = _family(name)
    except ValueError as error:
        return str(error)
    return kind.misfit(dials, shape)


def _family(name: str) -> "tuple[type[Network], tuple[Any, ...]]":
    """The class behind a name, and the dials in it (None where left out)."""
    for family, known in PATTERNS.items():
        found = re.fullmatch(known["pattern"], name)
        if found:
            module, kind = FAMILIES[family].split(":")
            return getattr(import_module(module), kind), found.groups()
    examples = ", ".join(known["example"] for known in PATTERNS.values())
    raise ValueError(f"no network is named {name!r}; names are such as {examples}")
