"""How each parametrization begins: from real images that the selection chose, or at random."""
# Shapes: N images, C channels, H height, W width, K classes, M bases, R images of a class, D = C*h*w, h = H/s, w = W/s.

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import sqrt
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional

from distilled import knobs
from distilled.images import standardise
from distilled.parametrizations.base import Parametrization, parametrization_class
from distilled.parametrizations.generator import Generator as ImageGenerator
from distilled.parametrizations.generator import blank
from distilled.parametrizations.images import Images
from distilled.parametrizations.memory import Memory
from workers.distill import selection
from workers.distill.continual import Continued, evenly
from workers.distill.data import RealData
from workers.distill.networks import base as networks
from workers.distill.rng import Rng

#: Components are found on at most this many training images, which bounds time and memory.
MAX_SAMPLE = 4096

#: count -> so many selected real images of each class, standardised, class after class
Chosen = Callable[[int], Tensor]


def begin(
    recipe: Mapping[str, Any], real: RealData, per_class: int | None, *, rng: Rng, base: Continued | None = None
) -> Parametrization:
    """The parametrization of an expanded recipe before its first step, with `per_class` images of each class, or any.

    base: the memory that it continues, where it does; the selection then chooses among the new images alone.
    """
    kind = recipe["parametrization"]["kind"]
    options = {name: value for name, value in recipe["parametrization"].items() if name != "kind"}
    config = knobs.build(parametrization_class(kind).Config, options, pointer="/parametrization")

    def chosen(count: int) -> Tensor:
        pixels_NCHW = selection.start(recipe["selection"]["start"], objective=recipe["objective"]["kind"])(
            base.fresh if base else real, count, rng
        )
        return standardise(pixels_NCHW, mean=real.space.mean, std=real.space.std)

    if base is not None and per_class is not None:
        return continued(config, base, per_class, chosen, rng)
    return STARTS[kind](config, real, per_class, chosen, rng)


def images(config: Images.Config, real: RealData, per_class: int, chosen: Chosen, rng: Rng) -> Images:
    """The selected images themselves, as large as they are stored."""
    images_NCHW = chosen(per_class)
    small_NCHW = functional.avg_pool2d(images_NCHW, config.downsample) if config.downsample > 1 else images_NCHW
    return Images(config, space=real.space, images_NCHW=small_NCHW)


def memory(config: Memory.Config, real: RealData, per_class: int, chosen: Chosen, rng: Rng) -> Memory:
    """Bases and addresses, both random (Xavier), or both from real images.

    `components`: the bases are the leading right singular vectors of the down-sampled training images, not centred,
    because nothing is added to what is recalled: no other bases come as near to those images in the mean square. They
    are scaled to a mean square of 1, so that a step moves bases and addresses alike. Each address is a selected image
    in that basis.
    """
    channels, height, width = real.space.shape
    h, w = height // config.downsample, width // config.downsample
    depth, classes = channels * h * w, real.space.num_classes
    random_MD = xavier(config.bases, depth, rng=rng.child("bases").generator())
    if config.start == "xavier":
        random_NM = xavier(classes * per_class, config.bases, rng=rng.child("addresses").generator())
        bases_MD, addresses_KRM = random_MD, random_NM.view(classes, per_class, config.bases)
    else:
        order_N = torch.randperm(len(real.train_labels_N), generator=rng.child("sample").generator())[:MAX_SAMPLE]
        sample_ND = _shrunk(real.images_NCHW(real.train_bytes_NHWC[order_N]), config.downsample)
        bases_MD = components(sample_ND, otherwise_MD=random_MD)
        count = min(per_class, *real.train_counts)
        known_NM = _shrunk(chosen(count), config.downsample) @ bases_MD.T / depth
        addresses_KRM = filled(known_NM.view(classes, count, config.bases), per_class, rng=rng.child("filled"))
    bases_MChw = bases_MD.view(config.bases, channels, h, w)
    return Memory(config, space=real.space, bases_MChw=bases_MChw, addresses_KRM=addresses_KRM)


def generator(
    config: ImageGenerator.Config, real: RealData, per_class: None, chosen: Chosen, rng: Rng
) -> ImageGenerator:
    """Random weights, as PyTorch's default initialisation has them; no real image takes part."""
    del per_class, chosen
    net = blank(config, space=real.space)
    networks.begin(net, rng=rng.child("weights").generator())
    return ImageGenerator(config, space=real.space, weights=net.state_dict())


def continued(config: Memory.Config, base: Continued, per_class: int, chosen: Chosen, rng: Rng) -> Memory:
    """What the base recalls and the selected new images, on the bases that come nearest to both.

    The bases are the leading right singular vectors of the small images that the base mixes and of the down-sampled
    new ones, each class with the same weight in the mean square. An old class keeps its images, or as many of them,
    evenly chosen, as it has rows now; further rows lie between them.
    """
    fresh, (channels, height, width) = base.fresh, base.memory.space.shape
    h, w = height // config.downsample, width // config.downsample
    depth, old = channels * h * w, base.memory.space.num_classes
    kept_KRD = _small(base.memory, config.downsample).view(old, base.memory.per_class, depth)
    shown_KRD = kept_KRD[:, evenly(base.memory.per_class, max(1, min(base.memory.per_class, MAX_SAMPLE // old)))]
    order_N = torch.randperm(len(fresh.train_labels_N), generator=rng.child("sample").generator())[:MAX_SAMPLE]
    new_ND = _shrunk(fresh.images_NCHW(fresh.train_bytes_NHWC[order_N]), config.downsample)
    weights = sqrt(1 / shown_KRD.shape[1]), sqrt(fresh.space.num_classes / len(new_ND))
    sample_ND = torch.cat([shown_KRD.flatten(0, 1) * weights[0], new_ND * weights[1]])
    random_MD = xavier(config.bases, depth, rng=rng.child("bases").generator())
    bases_MD = components(sample_ND, otherwise_MD=random_MD)
    kept_KRD = kept_KRD[:, evenly(base.memory.per_class, min(per_class, base.memory.per_class))]
    count = min(per_class, *fresh.train_counts)
    new_KRD = _shrunk(chosen(count), config.downsample).view(-1, count, depth)
    addresses_KRM = torch.cat(
        [
            filled(known_KRD @ bases_MD.T / depth, per_class, rng=rng.child("filled", name))
            for name, known_KRD in (("old", kept_KRD), ("new", new_KRD))
        ]
    )
    space = replace(base.memory.space, classes=base.real.space.classes)
    bases_MChw = bases_MD.view(config.bases, channels, h, w)
    return Memory(config, space=space, bases_MChw=bases_MChw, addresses_KRM=addresses_KRM)


def components(sample_ND: Tensor, *, otherwise_MD: Tensor) -> Tensor:
    """M leading right singular vectors, each of mean square 1; where there are fewer, the rest as given."""
    depth = sample_ND.shape[1]
    found_MD = torch.linalg.svd(sample_ND, full_matrices=False).Vh[: len(otherwise_MD)] * sqrt(depth)
    return torch.cat([found_MD, otherwise_MD[len(found_MD) :]])


def filled(known_KnM: Tensor, count: int, *, rng: Rng) -> Tensor:
    """`count` rows of each class: those that are known, then random points between two of the same class."""
    classes, known, _ = known_KnM.shape
    drawn, missing = rng.generator(), count - known
    first_Kr = torch.randint(known, (classes, missing), generator=drawn)
    second_Kr = (first_Kr + torch.randint(1, max(2, known), (classes, missing), generator=drawn)) % known
    share_Kr1 = torch.rand(classes, missing, 1, generator=drawn)
    own_K1 = torch.arange(classes)[:, None]
    between_KrM = known_KnM[own_K1, first_Kr].lerp(known_KnM[own_K1, second_Kr], share_Kr1)
    return torch.cat([known_KnM, between_KrM], dim=1)


def xavier(rows: int, columns: int, *, rng: Generator) -> Tensor:
    """Uniform in +-sqrt(6 / (rows + columns)). Glorot & Bengio, AISTATS 2010, eq. 16."""
    return (2 * torch.rand(rows, columns, generator=rng) - 1) * sqrt(6 / (rows + columns))


def _shrunk(images_NCHW: Tensor, times: int) -> Tensor:
    """Images as many times smaller, by means over squares, as rows [N, D]."""
    return functional.avg_pool2d(images_NCHW, times).flatten(1)


def _small(memory: Memory, times: int) -> Tensor:
    """All images of a memory as many times smaller, as rows [N, D]: exactly, where that is how it holds them."""
    if times == memory.config.downsample:
        return memory.addresses_KRM.detach().flatten(0, 1) @ memory.bases_MChw.detach().flatten(1)
    return _shrunk(memory.whole().images_NCHW.detach(), times)


STARTS: Mapping[str, Callable[..., Parametrization]] = {"images": images, "memory": memory, "generator": generator}
