"""Statistics of a teacher's batch normalisations (SRe2L): squeeze, recover, relabel.

Yin, Xing & Shen, "Squeeze, Recover and Relabel: Dataset Condensation at ImageNet Scale From A New Perspective",
NeurIPS 2023, section 3. Squeeze: a teacher with batch normalisation learns the real images. Recover: synthetic images
are what it names rightly, and let its normalisations see the means and variances that the real images did:
L = CE(f(A(s)), y) + alpha * sum_l (|| mean_l(s) - running mean_l ||_2 + || var_l(s) - running var_l ||_2).
Relabel: the finished images get the teacher's probabilities as their soft labels.
"""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from distilled.knobs import knob
from distilled.parametrizations.base import Parametrization
from distilled.parametrizations.images import Images
from workers.distill.augment import CHOICES, augment, crops, operations_for
from workers.distill.batches import Draw, RealBatches, each_class
from workers.distill.events import Preparing
from workers.distill.objectives.base import Objective, OptimiserConfig
from workers.distill.rng import Rng
from workers.distill.shelf import Shelf
from workers.distill.teachers import TeacherKnobs, Teachers

#: Finished images that the teacher labels in one go.
LABEL_BATCH = 512


class StatisticsMatching(Objective):
    kind = "statistics"
    summary = "a teacher names the synthetic images rightly and sees the statistics of the real ones in them"
    source = "Yin, Xing & Shen, Squeeze, Recover and Relabel (SRe2L), NeurIPS 2023, section 3"

    @dataclass(frozen=True, kw_only=True)
    class Config(TeacherKnobs, OptimiserConfig):
        learning_rate: float = knob(0.1, "learning rate of the synthetic parameters", gt=0, le=1000)
        schedule: str = knob(
            "cosine",
            "learning rate over the run: as it is, or falling to 0 on a cosine",
            choices=("constant", "cosine"),
        )
        network: str = knob("convnet3-batch", "teacher; a network with batch normalisation")
        statistics_weight: float = knob(1.0, "weight of the batch statistics beside the cross-entropy", ge=0, le=1e6)
        tv_weight: float = knob(0.0, "weight of the total variation, the mean step between neighbours", ge=0, le=1e6)
        l2_weight: float = knob(0.0, "weight of the mean square of the standardised pixels", ge=0, le=1e6)
        drawn_batch: int = knob(
            10, "synthetic images of each class and step, at most, in one batch", unit="images", ge=1, le=65536
        )
        augment: str = knob(
            "crop",
            "augmentation of the synthetic images: a part of each at full size, or DSA",
            choices=("crop", *CHOICES),
        )
        crop_area: float = knob(0.5, "least share of an image's area that a crop keeps", gt=0, le=1)
        relabel: str = knob(
            "teacher",
            "soft labels of the finished images: the teacher's probabilities, or as they were; hard ones are kept",
            choices=("none", "teacher"),
        )
        temperature: float = knob(1.0, "what the teacher's logits are divided by for soft labels", gt=0, le=1000)

    def prepare(self, real: RealBatches, *, parametrization: Parametrization, shelf: Shelf) -> Iterator[Preparing]:
        """Squeeze."""
        config: StatisticsMatching.Config = self.config
        teachers = Teachers(config.teacher_training(), networks=[config.network], space=self.space, device=self.device)
        yield from teachers.prepare(real, shelf=shelf)
        self.teacher, self.teacher_accuracy = teachers.nets[0], teachers.accuracies[0]

    def loss(self, draw: Draw, real: RealBatches, *, rng: Rng) -> Tensor:
        """Recover. Labels are the classes that were drawn, also where the images have soft ones."""
        config: StatisticsMatching.Config = self.config
        held = draw.parametrization.per_class
        drawn = config.drawn_batch if held is None else min(held, config.drawn_batch)
        labels_N = each_class(self.space.num_classes, [drawn] * self.space.num_classes)
        images_NCHW = draw(labels_N, rng=rng.child("draw")).images_NCHW
        logits_NK, distance = look(self.teacher, self._varied(images_NCHW, rng=rng.child("augment")))
        entropy = functional.cross_entropy(logits_NK, labels_N.to(logits_NK.device))
        self.metrics = {
            "cross_entropy": entropy.item(),
            "statistics": distance.item(),
            "teacher_accuracy": self.teacher_accuracy,
        }
        return (
            entropy
            + config.statistics_weight * distance
            + config.tv_weight * total_variation(images_NCHW)
            + config.l2_weight * images_NCHW.square().mean()
        )

    @torch.no_grad()
    def finish(self, parametrization: Parametrization) -> None:
        """Relabel: what the teacher says of the images as they are stored, rounded."""
        config: StatisticsMatching.Config = self.config
        if config.relabel == "none" or not (isinstance(parametrization, Images) and parametrization.soft):
            return
        stored = Images.from_stored(parametrization.config, space=self.space, tensors=parametrization.stored())
        parts = stored.whole().images_NCHW.split(LABEL_BATCH)
        logits_NK = torch.cat([self.teacher(part_NCHW.to(self.device)) for part_NCHW in parts])
        parametrization.logits_NK.copy_((logits_NK / config.temperature).log_softmax(1))

    def _varied(self, images_NCHW: Tensor, *, rng: Rng) -> Tensor:
        config: StatisticsMatching.Config = self.config
        operations = operations_for(self.space)
        if config.augment == "crop":
            return crops(images_NCHW, rng=rng.generator(), least_area=config.crop_area, flip="flip" in operations)
        return augment(images_NCHW, how=config.augment, rng=rng.generator(), operations=operations)


def look(teacher: nn.Module, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """logits_NK of a teacher in evaluation mode, and how far what its batch normalisations see is from what they know.

    That is the sum over them of || mean - running mean ||_2 + || var - running var ||_2, means and (unbiased, as
    running ones are) variances of a channel over all images and places of its input. Running statistics stay as they
    are.
    """
    distances: list[Tensor] = []

    def hold_against(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        for found_C, known_C in zip(_moments(inputs[0]), _running(layer), strict=True):
            distances.append(torch.linalg.vector_norm(found_C - known_C))

    layers = [layer for layer in teacher.modules() if isinstance(layer, nn.BatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(hold_against) for layer in layers]
    try:
        logits_NK = teacher(images_NCHW)
    finally:
        for hook in hooks:
            hook.remove()
    return logits_NK, torch.stack(distances).sum()


def _moments(maps_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    var_C, mean_C = torch.var_mean(maps_NCHW, dim=(0, 2, 3))
    return mean_C, var_C


def _running(layer: nn.Module) -> tuple[Tensor, Tensor]:
    return layer.get_buffer("running_mean"), layer.get_buffer("running_var")


def total_variation(images_NCHW: Tensor) -> Tensor:
    """The mean absolute difference of neighbours in a column, and the same in a row, in sum."""
    down, across = (images_NCHW.diff(dim=side).abs() for side in (2, 3))
    return down.mean() + across.mean()
