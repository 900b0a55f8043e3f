"""What is learnt and stored, and how an image is recalled from it.

A parametrization is shared by those who make artifacts and those who read them. It is drawn from by label; nothing
else is known of it by an objective, an evaluation or a sampler.
"""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import isfinite
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from distilled.errors import ArtifactError, InvalidInput, NotHeld, Problem

#: kind -> "module:Class"; the classes are imported on use.
PARAMETRIZATIONS = {
    "images": "distilled.parametrizations.images:Images",
    "memory": "distilled.parametrizations.memory:Memory",
    "generator": "distilled.parametrizations.generator:Generator",
}
#: Of an image's channels, height and width.
MAX_SIDE = 65_536
#: Probability a soft label starts with on its own class; the rest is spread evenly.
START_CONFIDENCE = 0.9


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Images with their targets.

    images_NCHW: standardised floats. targets: int64 [N] class indices (hard), or float32 [N, K] probabilities (soft).
    """

    images_NCHW: Tensor
    targets: Tensor

    @property
    def soft(self) -> bool:
        return self.targets.ndim == 2

    @property
    def labels_N(self) -> Tensor:
        """Class indices, int64; of soft targets the likeliest class."""
        return self.targets.argmax(1) if self.soft else self.targets


@dataclass(frozen=True, kw_only=True)
class ImageSpace:
    """The space a data set's images live in: shape, standardisation, classes."""

    shape: tuple[int, int, int]  # C, H, W
    mean: tuple[float, ...]  # per channel, in [0, 1]
    std: tuple[float, ...]  # per channel, > 0
    classes: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def to_json(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, classes: list[str]) -> "ImageSpace":
        """As a file's header has it. Raises ArtifactError where that is no space."""
        try:
            channels, height, width = (int(side) for side in value["shape"])
            mean, std = (tuple(float(x) for x in value[name]) for name in ("mean", "std"))
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise ArtifactError("the header's space is damaged; fetch the file again") from error
        if not all(1 <= side <= MAX_SIDE for side in (channels, height, width)):
            raise ArtifactError(f"images of shape {(channels, height, width)}; sides go from 1 to {MAX_SIDE}")
        if not len(mean) == len(std) == channels or not all(isfinite(x) for x in mean) or not all(x > 0 for x in std):
            raise ArtifactError("the header's space needs a mean, and a std above 0, for each channel")
        if not classes or not all(isinstance(name, str) for name in classes):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ArtifactError("the header's classes must be names, one or more")
        return cls(shape=(channels, height, width), mean=mean, std=std, classes=tuple(classes))


class Parametrization(nn.Module):
    """The contract between makers and readers of distilled data."""

    kind: ClassVar[str]
    Config: ClassVar[type]
    mixes: ClassVar[bool] = False  # whether `mix` can recall images of mixed classes

    def __init__(self, config: Any, *, space: ImageSpace) -> None:
        super().__init__()
        self.config = config
        self.space = space

    @property
    def per_class(self) -> int | None:
        """Images held of each class; None where any number can be drawn."""
        raise NotImplementedError

    @property
    def soft(self) -> bool:
        """Whether `draw` answers with soft targets."""
        return False

    def draw(self, labels_N: Tensor, *, rng: Generator | None) -> Batch:
        """An image for each label (int64 [N]), differentiable in the parameters.

        With `rng` a fixed set gives its images in random order, without repeats until all of a class are used; with
        None in stored order, and raises NotHeld where more of a class is asked for than it holds. What holds no fixed
        set gives new images with `rng`, and with None always the same: the i-th of a class is the i-th, however many
        are asked for.
        """
        raise NotImplementedError

    def at(self, labels_N: Tensor, places_N: Tensor) -> Batch:
        """Chosen images of a fixed set: of each class (int64 [N]) the image at this place, 0..per_class-1 (int64 [N]).

        Raises ArtifactError where no fixed set is held.
        """
        raise ArtifactError(f"a {self.kind} has no fixed set; draw as many images as are wanted")

    def mix(self, weights_NK: Tensor, *, rng: Generator | None) -> Batch:
        """An image for each mixture of classes, with the mixture as its soft target.

        weights_NK: of each class, at least 0, rows sum to 1. Equal rows give different images, as equal labels do in
        `draw`. Without `rng` the i-th images of all mixtures are one image that is mixed otherwise: they share the row
        or the noise they are made of. Raises InvalidInput for other weights, ArtifactError where no images of mixed
        classes can be recalled.
        """
        raise ArtifactError(f"an artifact of kind `{self.kind}` holds finished images and cannot mix classes")

    def project(self) -> None:
        """Bring the parameters back into the allowed set; called after each optimiser step."""

    def settle(self, *, rng: Generator) -> None:
        """Find what is stored beside the parameters and follows from them; called once, behind the last step."""

    def stored(self) -> dict[str, Tensor]:
        """The tensors as they are stored, in the storage precision."""
        raise NotImplementedError

    @classmethod
    def from_stored(cls, config: Any, *, space: ImageSpace, tensors: Mapping[str, Tensor]) -> "Parametrization":
        """The inverse of `stored`, up to the storage precision."""
        raise NotImplementedError

    def num_bytes(self) -> int:
        """Bytes of all stored tensors: what a user downloads, but for the file's header."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.stored().values())

    def num_floats(self) -> int:
        """Stored scalars, whatever their precision (the literature's budget)."""
        return sum(tensor.numel() for tensor in self.stored().values())

    def whole(self) -> Batch:
        """The whole fixed set, class after class, in stored order."""
        if self.per_class is None:
            raise ArtifactError(f"a {self.kind} has no fixed set; draw as many images as are wanted")
        labels_N = torch.arange(self.space.num_classes).repeat_interleave(self.per_class)
        return self.draw(labels_N, rng=None)


def places(labels_N: Tensor, *, per_class: int, names: Sequence[str], rng: Generator | None) -> Tensor:
    """The place 0..per_class-1, among those of its class, of each image that is drawn from a fixed set: int64 [N].

    The i-th time that a class is asked for it gives its i-th image: in random order with `rng`, anew in each round
    where more are asked for than it has; in stored order without, and then raises NotHeld for more.
    """
    places_N = torch.empty(len(labels_N), dtype=torch.int64)
    labels_N = labels_N.cpu()
    for k in labels_N.unique().tolist():
        asked = labels_N == k
        count = int(asked.sum())
        if rng is None and count > per_class:
            raise NotHeld(f"{count} images of {names[k]} were asked for; it holds {per_class}")
        rounds = -(-count // per_class)
        order = (
            torch.arange(per_class)
            if rng is None
            else torch.cat([torch.randperm(per_class, generator=rng) for _ in range(rounds)])
        )
        places_N[asked] = order[:count]
    return places_N


def first_logits(labels_N: Tensor, *, num_classes: int) -> Tensor:
    """logits_NK whose softmax is what soft labels start with."""
    own_NK = nn.functional.one_hot(labels_N, num_classes).float()
    spread = (1 - START_CONFIDENCE) / max(1, num_classes - 1)
    return (own_NK * (START_CONFIDENCE - spread) + spread).log()


def check_mixtures(weights_NK: Tensor, *, num_classes: int) -> None:
    """Raise InvalidInput unless each row is a mixture of the classes: weights of at least 0 that add up to 1."""
    if weights_NK.ndim != 2 or weights_NK.shape[1] != num_classes:
        detail = f"give rows of {num_classes} weights, one for each class, not the shape {tuple(weights_NK.shape)}"
        raise InvalidInput([Problem(pointer="/weights", detail=detail)])
    # Written so that what is no number is refused too.
    if not bool(((weights_NK >= 0).all(1) & ((weights_NK.sum(1) - 1).abs() <= 1e-4)).all()):
        detail = "the weights of a mixture are at least 0 and add up to 1; divide each row by its sum"
        raise InvalidInput([Problem(pointer="/weights", detail=detail)])


def parametrization_class(kind: str) -> type[Parametrization]:
    """The class behind a kind. Raises ArtifactError for one that this version does not know."""
    if kind not in PARAMETRIZATIONS:
        raise ArtifactError(f"unknown kind {kind!r}; this version reads {', '.join(PARAMETRIZATIONS)}: update it")
    module, name = PARAMETRIZATIONS[kind].split(":")
    return getattr(import_module(module), name)
