"""Continual learning: a memory goes on with the classes of a further data set, without the data it was made from.

Deng & Russakovsky, "Remember the Past: Distilling Datasets into Addressable Memories for Neural Networks", NeurIPS
2022, propose memories for it. Images that a memory recalls stand for data that are gone, which is pseudo-rehearsal:
Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection Science 7(2), 1995.
"""
# Shapes: N images, C channels, H height, W width, K classes, R images recalled of a class, D = C*h*w.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from distilled import continuing
from distilled.errors import ArtifactError, Problem, RecipeError
from distilled.files import open_artifact
from distilled.images import to_bytes, to_pixels
from distilled.manifest import digest_json
from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.memory import Memory
from workers.distill.data import RealData


@dataclass(frozen=True, kw_only=True)
class Continued:
    """What a run that continues a memory learns from.

    digest, header: of the base's file. memory: the base. fresh: the new data alone, standardised as the base is.
    real: images recalled from the base as those of the old classes, and the new data; old classes come first.
    """

    digest: str
    header: Mapping[str, Any]
    memory: Memory
    fresh: RealData
    real: RealData

    def marks(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """What the header of the new artifact says in another way than one that continues nothing.

        The recipe names the base by its digest: an id or an alias is a registry's, and the file follows from neither.
        """
        return {
            "dataset": {"name": self.fresh.name, "digest": self.fresh.digest, "licence": self.fresh.licence},
            "recipe": {**recipe, "base_artifact": self.digest},
            "base": {"digest": self.digest, "datasets": continuing.parts(self.header)},
        }


def of_recipe(recipe: Mapping[str, Any], content: bytes | None, new: RealData) -> Continued | None:
    """What an expanded recipe continues; None where it begins anew. Raises RecipeError, also where one is missing."""
    if (recipe["base_artifact"] is None) != (content is None):
        detail = "the file of the base artifact goes with the recipe that names it, and with no other"
        raise RecipeError([Problem(pointer="/base_artifact", detail=detail)])
    return None if content is None else begin(content, new)


def begin(content: bytes, new: RealData) -> Continued:
    """The base, as the bytes of its file, with a further data set. Raises RecipeError where they do not go together."""
    try:
        opened = open_artifact(content)
    except ArtifactError as error:
        raise RecipeError([Problem(pointer="/base_artifact", detail=str(error))]) from error
    facts = {"classes": list(new.space.classes), "shape": list(new.space.shape)}
    problems = continuing.problems(opened.header, facts)
    memory = opened.parametrization
    if problems or not isinstance(memory, Memory):
        raise RecipeError(problems)
    fresh = replace(new, space=replace(memory.space, classes=new.space.classes))
    real = rehearsing(memory, fresh, digest=digest_json({"base": opened.digest, "dataset": new.digest}))
    return Continued(digest=opened.digest, header=opened.header, memory=memory, fresh=fresh, real=real)


def rehearsing(memory: Memory, fresh: RealData, *, digest: str) -> RealData:
    """Recalled images, rounded to bytes, as the training images of the memory's classes, and the new data behind them.

    Each old class has as many training images as a new one has in mean, so that whatever draws from all of them sees
    classes alike: recalled images are repeated evenly, or every so many is left out. Validation and test images are of
    the new classes alone: nothing real is left of the old ones.
    """
    space, old = memory.space, memory.space.num_classes
    count = continuing.rehearsed(fresh.train_counts)
    with torch.no_grad():
        recalled_NCHW = memory.whole().images_NCHW
    chosen_N = (torch.arange(old)[:, None] * memory.per_class + evenly(memory.per_class, count)).flatten()
    recalled_NHWC = to_bytes(to_pixels(recalled_NCHW, mean=space.mean, std=space.std))
    return replace(
        fresh,
        space=replace(space, classes=(*space.classes, *fresh.space.classes)),
        train_bytes_NHWC=torch.cat([recalled_NHWC[chosen_N], fresh.train_bytes_NHWC]),
        train_labels_N=torch.cat([torch.arange(old).repeat_interleave(count), fresh.train_labels_N + old]),
        val_labels_N=fresh.val_labels_N + old,
        test_labels_N=fresh.test_labels_N + old,
        digest=digest,
    )


def evenly(of: int, count: int) -> Tensor:
    """`count` of the places 0 .. of - 1, in order and spread evenly; with more than there are each comes as often."""
    return torch.arange(count) * of // count


def joined(space: ImageSpace, sizes: Sequence[int], data: Sequence[RealData | None]) -> RealData:
    """Real data of several data sets as one, for an evaluation; data[i] has the next sizes[i] of the space's classes.

    None stands for a data set that is not there any more: its classes then have no images at all. The last is there.
    Raises ValueError where sizes and data do not fit the space.
    """
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    there = [(start, real) for start, real in zip(starts, data, strict=True) if real is not None]
    names = [name for _, real in there for name in real.space.classes]
    expected = [
        name
        for start, size, real in zip(starts, sizes, data, strict=True)
        if real is not None
        for name in space.classes[start : start + size]
    ]
    if names != expected or sum(sizes) != space.num_classes:
        raise ValueError(f"classes {names[:20]} are not those of the artifact, {list(space.classes)[:20]}")
    last = there[-1][1]

    def labels(split: str) -> Tensor:
        return torch.cat([getattr(real, f"{split}_labels_N") + start for start, real in there])

    def images(split: str) -> Tensor:
        return torch.cat([getattr(real, f"{split}_bytes_NHWC") for _, real in there])

    return RealData(
        name=last.name,
        space=space,
        train_bytes_NHWC=images("train"),
        train_labels_N=labels("train"),
        val_bytes_NHWC=images("val"),
        val_labels_N=labels("val"),
        test_bytes_NHWC=images("test"),
        test_labels_N=labels("test"),
        digest=digest_json([None if real is None else real.digest for real in data]),
        licence=last.licence,
    )
