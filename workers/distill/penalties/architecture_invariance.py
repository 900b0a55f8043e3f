"""Architecture invariance (MetaDD): networks of several families look at the same places and say the same.

Zhao et al., "MetaDD: Boosting Dataset Distillation with Neural Network Architecture-Invariant Generalization",
arXiv 2410.05103: for M frozen networks f_m, trained on the real data, with class-activation maps c_m in [0, 1],
L_var = mean over images and pixels of 1/M sum_m (c_m - mean_m c_m)^2, and
L_ai = sum_m CE(f_m(s), y) + KL(f_m(s) || f_b(s)), where f_b is the backbone. `docs/penalties.md` says what the paper
leaves open and what we took.
"""
# Shapes: N images, C channels, H height, W width, K classes, M networks.

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from distilled.knobs import knob
from distilled.recipe import network_names
from workers.distill.batches import Draw, RealBatches, each_class
from workers.distill.events import Preparing
from workers.distill.penalties import cams
from workers.distill.penalties.base import Penalty, PenaltyConfig
from workers.distill.rng import Rng
from workers.distill.shelf import Shelf
from workers.distill.teachers import TeacherKnobs, Teachers


class ArchitectureInvariance(Penalty):
    kind = "architecture_invariance"
    summary = "networks of several families, trained on the real data, look at the same places and say the same"
    source = "Zhao et al., MetaDD, arXiv 2410.05103"
    paper: ClassVar[dict[str, Any]] = {
        "title": "MetaDD: Boosting Dataset Distillation with Neural Network Architecture-Invariant Generalization",
        "authors": "Yunlong Zhao, Xiaoheng Deng, Xiu Su, Hongyan Xu, Xiuxing Li, Yijing Liu, Shan You",
        "venue": "arXiv",
        "year": 2024,
        "url": "https://arxiv.org/abs/2410.05103",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(PenaltyConfig, TeacherKnobs):
        networks: str = knob(
            "convnet3,convnet3-batch,resnet10,vit_tiny",
            "networks that shall agree, separated by commas; one that is named twice is trained from two seeds",
        )
        backbone: str = knob(
            "",
            "network whose answers the others shall give; empty for the objective's, or else the first of `networks`",
        )
        variance_weight: float = knob(
            1.0, "weight of the variance of the class-activation maps over the networks", ge=0, le=1e6
        )
        agreement_weight: float = knob(
            1.0, "weight of the networks' cross-entropy and of their distance from the backbone", ge=0, le=1e6
        )
        position_weight: float = knob(
            0.0, "weight of the variance of the maps' centres of mass; not the paper's, 0 leaves it out", ge=0, le=1e6
        )
        batch: int = knob(8, "synthetic images of each class and step, at most", unit="images", ge=1, le=4096)

    def prepare(self, real: RealBatches, *, shelf: Shelf) -> Iterator[Preparing]:
        config: ArchitectureInvariance.Config = self.config
        named = network_names(config.networks)
        backbone = config.backbone or (network_names(self.network)[0] if self.network else named[0])
        self.count = len(named)
        if backbone not in named:
            named = [*named, backbone]
        self.backbone = named.index(backbone)
        self.teachers = Teachers(
            config.teacher_training(), networks=named, space=self.space, device=self.device, slot=self.kind
        )
        yield from self.teachers.prepare(real, shelf=shelf)

    def loss(self, draw: Draw, *, rng: Rng) -> Tensor:
        config: ArchitectureInvariance.Config = self.config
        held, classes = draw.parametrization.per_class, self.space.num_classes
        count = config.batch if held is None else min(held, config.batch)
        labels_N = each_class(classes, [count] * classes)
        batch = draw(labels_N, rng=rng.child("draw"))
        labels_N = labels_N.to(self.device)
        maps = [net.maps(batch.images_NCHW) for net in self.teachers.nets[: self.count]]
        _, height, wide = self.space.shape
        cams_MNHW = torch.stack([cams.class_activation(one, labels_N, size=(height, wide)) for one in maps])
        logits = [one.logits_NK for one in maps]
        # A backbone that is none of the networks says what it says, and has no map.
        backbone_NK = logits[self.backbone] if self.backbone < self.count else self.teachers.nets[-1](batch.images_NCHW)
        variance = cams.variance(cams_MNHW)
        agreement = disagreement(logits, backbone_NK, batch.targets)
        position = cams.apart(cams_MNHW)
        told = torch.stack([variance, agreement, position]).detach().tolist()
        self.metrics = dict(zip(("penalty_variance", "penalty_agreement", "penalty_position"), told, strict=True))
        self.metrics["penalty_teacher_accuracy"] = min(self.teachers.accuracies)  # of the one that learnt least
        return config.weight * (
            config.variance_weight * variance + config.agreement_weight * agreement + config.position_weight * position
        )


def disagreement(logits: Sequence[Tensor], backbone_NK: Tensor, targets: Tensor) -> Tensor:
    """sum_m CE(f_m, y) + KL(f_m || f_b), in mean over the images.

    logits: [N, K] of each network. targets: int64 [N] or float32 [N, K]. KL(p || q) = sum_k p_k (log p_k - log q_k):
    a network is held to account where it is sure of itself and the backbone is not.
    """
    total, backbone = backbone_NK.new_zeros(()), backbone_NK.log_softmax(1)
    for logits_NK in logits:
        divergence = functional.kl_div(backbone, logits_NK.log_softmax(1), log_target=True, reduction="batchmean")
        total = total + functional.cross_entropy(logits_NK, targets) + divergence
    return total
