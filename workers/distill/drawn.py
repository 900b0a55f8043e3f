"""What of an artifact a network is trained on: its fixed set, or, where it can make any number, so many for a class.

Of the latter there are two modes at the same number of training steps. `fixed` draws a set once, the one that a
download of as many images has; `fresh` makes new images for every step, in the same order of labels, so that a network
sees as many different images as forward passes.
"""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from distilled.budget import evaluated_whole
from distilled.errors import RecipeError
from distilled.files import Artifact
from distilled.images import standardise, to_pixels
from distilled.parametrizations.base import Batch, ImageSpace, Parametrization
from workers.distill.batches import each_class
from workers.distill.rng import Rng
from workers.distill.training import EvaluationConfig, TrainingSet


def images_per_class(artifact: Artifact, config: EvaluationConfig) -> int | None:
    """Images of each class that `fixed` draws; None of a fixed set, which is taken whole.

    Raises RecipeError where `config.ipc` asks for a number of a fixed set.
    """
    held = artifact.parametrization.per_class
    if held is None:
        return config.ipc or int(artifact.header["ipc"])
    if config.ipc:
        raise RecipeError([evaluated_whole(held)])
    return None


@torch.no_grad()
def fixed(parametrization: Parametrization, ipc: int | None) -> Batch:
    """The whole fixed set, or `ipc` images of each class in stored order."""
    if ipc is None:
        return parametrization.whole()
    return parametrization.draw(_labels_N(parametrization, ipc), rng=None)


class FreshImages:
    """New images of fixed labels whenever they are asked for, standardised as `to` is; it counts them."""

    def __init__(self, parametrization: Parametrization, labels_N: Tensor, *, rng: Generator, to: ImageSpace) -> None:
        self.parametrization, self.labels_N, self.rng, self.to = parametrization, labels_N, rng, to
        self.seen = 0

    @torch.no_grad()
    def __call__(self, index_N: Tensor) -> Tensor:
        self.seen += len(index_N)
        drawn = self.parametrization.draw(self.labels_N[index_N], rng=self.rng)
        return in_space(drawn.images_NCHW, of=self.parametrization.space, to=self.to)


def fresh(
    parametrization: Parametrization, ipc: int, targets: Tensor, *, rngs: Sequence[Rng], to: ImageSpace
) -> list[TrainingSet]:
    """For each repeat a set whose images are new at each step; a target belongs to a label, not to an image."""
    labels_N = _labels_N(parametrization, ipc).to(targets.device)
    return [
        TrainingSet(
            images_at=FreshImages(parametrization, labels_N, rng=rng.child("noise").generator(), to=to), targets=targets
        )
        for rng in rngs
    ]


def _labels_N(parametrization: Parametrization, ipc: int) -> Tensor:
    classes = parametrization.space.num_classes
    return each_class(classes, [ipc] * classes)


def in_space(images_NCHW: Tensor, *, of: ImageSpace, to: ImageSpace) -> Tensor:
    """Standardised images of one space in another: a data set may be known under two normalisations."""
    if (of.mean, of.std) == (to.mean, to.std):
        return images_NCHW
    return standardise(to_pixels(images_NCHW, mean=of.mean, std=of.std), mean=to.mean, std=to.std)
